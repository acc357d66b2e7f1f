#include "vault/secret_key.h"

#include <gtest/gtest.h>

#include "crypto/crypto.h"
#include "vault/key_ring.h"

namespace gantry::vault {
namespace {

std::string sealed(const SecretKey& key, std::string_view context, std::string_view text, Random& random) {
  std::string out;
  seal(key, context, text, random, out);
  return out;
}

// draft-irtf-cfrg-xchacha-03, appendix A.3.1: the construction is the one that others implement too.
TEST(Sealing, OpensTheTestVectorOfTheDraft) {
  const auto key = crypto::unhex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  const auto nonce = crypto::unhex("404142434445464748494a4b4c4d4e4f5051525354555657");
  const auto context = crypto::unhex("50515253c0c1c2c3c4c5c6c7");
  const auto text = crypto::unhex(
      "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216"
      "cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13"
      "b52ec0875924c1c7987947deafd8780acf49");
  ASSERT_TRUE(key && nonce && context && text);
  std::string all(nonce->begin(), nonce->end());
  all.append(text->begin(), text->end());
  const SecretKey secret(std::span<const uint8_t, SecretKey::size>(key->data(), SecretKey::size));
  EXPECT_EQ(open(secret, std::string(context->begin(), context->end()), all).value_or("?"),
            "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen "
            "would be it.");
}

TEST(Sealing, NeverOpensWithAFlippedBit) {
  SeededRandom random(1);
  const SecretKey key = SecretKey::make_random(random);
  const std::string text = sealed(key, "context", "a payload", random);
  ASSERT_EQ(open(key, "context", text).value_or("?"), "a payload");
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string wrong = text;
    wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(open(key, "context", wrong)) << bit;
  }
  for (size_t length = 0; length < text.size(); ++length) EXPECT_FALSE(open(key, "context", text.substr(0, length)));
}

TEST(Sealing, NeverOpensAsSomethingElseOrWithAnotherKey) {
  SeededRandom random(1);
  const SecretKey key = SecretKey::make_random(random);
  const std::string text = sealed(key, "one", "payload", random);
  EXPECT_FALSE(open(key, "two", text));
  EXPECT_FALSE(open(SecretKey::make_random(random), "one", text));
}

TEST(Sealing, OfTheSameTextIsDifferentEachTime) {
  SeededRandom random(1);
  const SecretKey key = SecretKey::make_random(random);
  EXPECT_NE(sealed(key, "", "same", random), sealed(key, "", "same", random));
}

TEST(Fingerprint, TellsKeysApartAndIsNoPartOfThem) {
  SeededRandom random(1);
  const SecretKey key = SecretKey::make_random(random);
  EXPECT_EQ(fingerprint(key), fingerprint(SecretKey(key.bytes())));
  EXPECT_NE(fingerprint(key), fingerprint(SecretKey::make_random(random)));
  EXPECT_EQ(crypto::hex(key.bytes()).find(fingerprint(key)), std::string::npos);
}

TEST(KeyRing, SealsWithTheNewestAndOpensWithTheKeyThatSealed) {
  SeededRandom random(1);
  const Scope scope = Scope::standard();
  const auto key = [&](uint32_t id) {
    return DataKey{id, Time(), std::make_shared<const SecretKey>(SecretKey::make_random(random))};
  };
  const DataKey first = key(1), second = key(2);
  const KeyRing before(KeyRing::Keys{{scope, {first}}});
  const KeyRing after(KeyRing::Keys{{scope, {first, second}}});
  const auto old = before.seal(scope, "c", "old", random);
  const auto fresh = after.seal(scope, "c", "fresh", random);
  ASSERT_TRUE(old && fresh);
  EXPECT_EQ(old->size(), 3 + journal::PayloadCipher::overhead);
  EXPECT_EQ(after.open(scope, "c", *old).value_or("?"), "old");
  EXPECT_EQ(after.open(scope, "c", *fresh).value_or("?"), "fresh");
  auto unknown = before.open(scope, "c", *fresh);
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().reason().find("data key 2 of default/default/dev"), std::string::npos);
}

TEST(KeyRing, BindsATextToItsScopeAndKey) {
  SeededRandom random(1);
  const Scope one = Scope::standard();
  const Scope other{"default", "default", "prod"};
  // The same key under two names: only what a text is bound to can tell.
  const auto key = std::make_shared<const SecretKey>(SecretKey::make_random(random));
  const KeyRing ring(KeyRing::Keys{{one, {{1, Time(), key}, {2, Time(), key}}}, {other, {{2, Time(), key}}}});
  auto text = ring.seal(one, "c", "text", random);
  ASSERT_TRUE(text);
  EXPECT_TRUE(ring.open(one, "c", *text));
  EXPECT_FALSE(ring.open(other, "c", *text));
  std::string renamed = *text;
  renamed[0] = 1;
  EXPECT_FALSE(ring.open(one, "c", renamed));
}

}  // namespace
}  // namespace gantry::vault
