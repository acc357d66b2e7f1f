#include "vault/master_key.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "os/os.h"

namespace gantry::vault {
namespace {

constexpr std::string_view hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr std::string_view base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

telemetry::Secret secret(std::string_view text) { return telemetry::Secret(std::string(text)); }

TEST(ParseMasterKey, TakesHexAndBase64WithWhiteSpaceAroundIt) {
  for (std::string_view text : {hex, base64}) {
    for (std::string_view end : {"", "\n", "\r\n", " "}) {
      auto key = parse_master_key(secret(fmt::format("{}{}", text, end)));
      ASSERT_TRUE(key) << text;
      EXPECT_EQ(crypto::hex(key->bytes()), hex);
    }
  }
}

TEST(ParseMasterKey, RefusesOtherLengthsAndOtherTexts) {
  for (std::string_view text : {"", "key", "0001", "AAECAwQFBgcICQoLDA0ODw==", "hunter2hunter2hunter2hunter2hunter2"}) {
    auto key = parse_master_key(secret(text));
    ASSERT_FALSE(key) << text;
    EXPECT_EQ(key.error().id(), ErrorId::GR1003);
    EXPECT_NE(key.error().hint().find("openssl rand -base64 32"), std::string::npos);
    if (!text.empty()) EXPECT_EQ(key.error().reason().find(text), std::string::npos) << "a secret in an error";
  }
}

class KeyFileTest : public testing::Test {
 protected:
  KeyFileTest() : file_(testing::TempDir() + fmt::format("gantry-master-key-{}", ::getpid())) {}
  ~KeyFileTest() override { std::filesystem::remove(file_); }
  void write(std::string_view text, os::Mode mode) { ASSERT_TRUE(os::replace_file(file_, text, mode)); }
  void expect_refused(std::string_view reason, std::string_view hint) {
    auto key = read_master_key(file_);
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error().id(), ErrorId::GR1003);
    EXPECT_NE(key.error().reason().find(reason), std::string::npos) << key.error().reason();
    EXPECT_NE(key.error().reason().find(file_.string()), std::string::npos) << key.error().reason();
    EXPECT_NE(key.error().hint().find(hint), std::string::npos) << key.error().hint();
  }
  std::filesystem::path file_;
};

TEST_F(KeyFileTest, IsReadWhenOnlyItsOwnerMay) {
  for (os::Mode mode : {0600, 0400}) {
    write(fmt::format("{}\n", base64), mode);
    auto key = read_master_key(file_);
    ASSERT_TRUE(key) << key.error().reason();
    EXPECT_EQ(crypto::hex(key->bytes()), hex);
  }
}

TEST_F(KeyFileTest, IsRefusedWithTheCureInTheHint) {
  for (os::Mode mode : {0640, 0604, 0620, 0602}) {
    write(base64, 0600);
    ASSERT_EQ(::chmod(file_.c_str(), mode), 0);
    expect_refused(fmt::format("its mode is {:04o}", mode), "chmod 600 " + file_.string());
  }
  write("too short", 0600);
  expect_refused("neither 64 hex digits nor base64", "openssl rand");
  std::filesystem::remove(file_);
  expect_refused("No such file", "openssl rand");
  ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
  expect_refused("not a regular file", "");
}

TEST_F(KeyFileTest, IsNotTakenTogetherWithAKeyFromTheEnvironment) {
  write(base64, 0600);
  EXPECT_FALSE(load_master_key({}).value().has_value());
  EXPECT_TRUE(load_master_key({.file = file_, .text = {}}).value().has_value());
  EXPECT_TRUE(load_master_key({.file = {}, .text = secret(hex)}).value().has_value());
  auto both = load_master_key({.file = file_, .text = secret(hex)});
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().id(), ErrorId::GR1003);
}

}  // namespace
}  // namespace gantry::vault
