#include "crypto/crypto.h"

#include <gtest/gtest.h>

namespace gantry::crypto {
namespace {

std::string text_of(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

// FIPS 180-4 examples and the NIST long message.
TEST(Sha256, MatchesTheExamplesOfTheStandard) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, InPiecesGivesTheSameAndStartsAgainAfterFinish) {
  Sha256 hash;
  hash.update("a");
  hash.update("");
  hash.update("bc");
  EXPECT_EQ(hash.finish(), sha256("abc"));
  hash.update("abc");
  Sha256 moved = std::move(hash);
  EXPECT_EQ(moved.finish(), sha256("abc"));
}

TEST(ContentAddress, HasOneSpelling) {
  std::string address = content_address(sha256("abc"));
  EXPECT_EQ(address, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(parse_content_address(address).value(), sha256("abc"));
  std::string upper = address;
  upper[7] = 'B';
  EXPECT_FALSE(parse_content_address(upper).has_value());
  EXPECT_FALSE(parse_content_address(address.substr(0, 70)).has_value());
  EXPECT_FALSE(parse_content_address(address.substr(7)).has_value());
  EXPECT_FALSE(parse_content_address("sha256:../../etc/passwd").has_value());
}

// RFC 4231 test cases 1, 2, 3 and 6.
TEST(Hmac, MatchesTheVectorsOfTheRfc) {
  EXPECT_EQ(hex(hmac_sha256(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex(hmac_sha256(std::string(20, '\xaa'), std::string(50, '\xdd'))),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  EXPECT_EQ(hex(hmac_sha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Hmac, TakesAnEmptyKeyForWhatItIs) {
  Digest first = hmac_sha256("another key", "");
  EXPECT_EQ(hex(hmac_sha256("", "")), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
  EXPECT_NE(first, hmac_sha256(std::span<const uint8_t>(), std::span<const uint8_t>()));
  EXPECT_EQ(hmac_sha256("", ""), hmac_sha256(std::span<const uint8_t>(), std::span<const uint8_t>()));
}

// RFC 3720 B.4 and the check value of the CRC catalogue.
TEST(Crc32c, MatchesTheVectorsOfTheRfcOnBothPaths) {
  std::string up(32, '\0'), down(32, '\0');
  for (size_t i = 0; i < 32; ++i) {
    up[i] = static_cast<char>(i);
    down[i] = static_cast<char>(31 - i);
  }
  struct Row {
    std::string text;
    uint32_t crc;
  };
  for (const Row& row : {Row{"", 0}, Row{"123456789", 0xe3069283}, Row{std::string(32, '\0'), 0x8a9136aa},
                         Row{std::string(32, '\xff'), 0x62a8ab43}, Row{up, 0x46dd794e}, Row{down, 0x113fdb5c}}) {
    EXPECT_EQ(crc32c(row.text), row.crc);
    EXPECT_EQ(crc32c_by_table(bytes_of(row.text)), row.crc);
  }
}

TEST(Crc32c, PathsAgreeOnEveryLengthAlignmentAndSplit) {
  SeededRandom random(7);
  std::vector<uint8_t> data(600);
  random.fill(data);
  for (size_t start = 0; start < 8; ++start)
    for (size_t size = 0; size + start <= 300; ++size) {
      auto part = std::span(data).subspan(start, size);
      uint32_t whole = crc32c(part);
      ASSERT_EQ(whole, crc32c_by_table(part)) << start << " " << size;
      size_t cut = random.below(size + 1);
      ASSERT_EQ(whole, crc32c(part.subspan(cut), crc32c(part.first(cut))));
      ASSERT_EQ(whole, crc32c_by_table(part.subspan(cut), crc32c_by_table(part.first(cut))));
    }
}

TEST(SecureEqual, IsEquality) {
  EXPECT_TRUE(secure_equal("", ""));
  EXPECT_TRUE(secure_equal("key", "key"));
  EXPECT_FALSE(secure_equal("key", "kex"));
  EXPECT_FALSE(secure_equal("key", "key "));
}

TEST(Hex, RoundTripsAndRefusesOtherText) {
  EXPECT_EQ(hex(std::vector<uint8_t>{0x00, 0xab, 0xff}), "00abff");
  EXPECT_EQ(unhex("00aBFf").value(), (std::vector<uint8_t>{0x00, 0xab, 0xff}));
  EXPECT_FALSE(unhex("0").has_value());
  EXPECT_EQ(unhex("0g").error().reason(), "digit 2 of the hex text is none");
}

// RFC 4648 section 10.
TEST(Base64, MatchesTheVectorsOfTheRfc) {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
  };
  for (auto [plain, encoded] : rows) {
    EXPECT_EQ(base64(plain), encoded);
    EXPECT_EQ(text_of(unbase64(encoded).value()), plain);
    std::string_view bare = encoded.substr(0, encoded.find('='));
    EXPECT_EQ(base64url(plain), bare);
    EXPECT_EQ(text_of(unbase64url(bare).value()), plain);
  }
  EXPECT_EQ(base64("\xfb\xff"), "+/8=");
  EXPECT_EQ(base64url("\xfb\xff"), "-_8");
}

TEST(Base64, AcceptsOneSpellingOnly) {
  for (std::string_view text : {"Zg=", "Zg", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "====", "A===", "Zg==Zg==", "-_8="})
    EXPECT_FALSE(unbase64(text).has_value()) << text;
  for (std::string_view text : {"Zg==", "Zh", "Zm9vY", "+/8"}) EXPECT_FALSE(unbase64url(text).has_value()) << text;
}

TEST(RandomToken, HasTheWantedEntropyAndComesFromTheInjectedSource) {
  SeededRandom a(1), b(1), c(2);
  std::string token = random_token(a);
  EXPECT_EQ(token.size(), 43u);
  EXPECT_EQ(token, random_token(b));
  EXPECT_NE(token, random_token(c));
  EXPECT_EQ(unbase64url(token).value().size(), 32u);
}

}  // namespace
}  // namespace gantry::crypto
