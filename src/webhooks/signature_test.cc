#include "webhooks/signature.h"

#include <gtest/gtest.h>

#include <vector>

#include "crypto/crypto.h"

namespace gantry::webhooks {
namespace {

using telemetry::Secret;

// The first is the example that libraries of the specification are tested with; all were computed with Python's hmac.
TEST(Signatures, AreThoseOfStandardWebhooks) {
  struct Case {
    std::string secret, id;
    int64_t timestamp;
    std::string body, expected;
  };
  for (const auto& [secret, id, timestamp, body, expected] : std::vector<Case>{
           {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
            R"({"test": 2432232314})", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
           {"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "req_01JD4YA3T5W7Y9B1C2D3E4F5G6", 1700000000,
            R"({"type":"request.completed","data":{"x":"ü"}})", "v1,2d9VNSEG3nHl+UNO5B5CT+TL4ogYEMeOC4ac6P7D27E="}}) {
    std::vector<Secret> secrets{Secret(secret)};
    auto header = signatures(secrets, id, timestamp, body);
    ASSERT_TRUE(header.has_value()) << header.error().reason();
    EXPECT_EQ(*header, expected);
  }
}

TEST(Signatures, StandSideBySideWhileASecretIsRotated) {
  std::vector<Secret> secrets{Secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
                              Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")};
  auto both = signatures(secrets, "a", 1, "b");
  auto first = signatures(std::span(secrets).first(1), "a", 1, "b");
  auto second = signatures(std::span(secrets).last(1), "a", 1, "b");
  ASSERT_TRUE(both && first && second);
  EXPECT_EQ(*both, *first + " " + *second);
}

TEST(Signatures, RefuseASecretThatIsDamaged) {
  for (const char* damaged : {"", "wrong_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_*"}) {
    std::vector<Secret> secrets{Secret(damaged)};
    auto header = signatures(secrets, "a", 1, "b");
    ASSERT_FALSE(header.has_value()) << damaged;
    EXPECT_EQ(header.error().code(), Code::data_loss);
    EXPECT_EQ(header.error().reason().find("MfKQ"), std::string::npos);
  }
}

TEST(MakeSecret, Holds32RandomBytes) {
  SeededRandom random(7);
  Secret one = make_secret(random), other = make_secret(random);
  ASSERT_TRUE(one.reveal().starts_with("whsec_"));
  auto bytes = crypto::unbase64(one.reveal().substr(6));
  ASSERT_TRUE(bytes.has_value());
  EXPECT_EQ(bytes->size(), 32U);
  EXPECT_NE(one.reveal(), other.reveal());
}

}  // namespace
}  // namespace gantry::webhooks
