#include "proxy/asked.h"

#include <gtest/gtest.h>

namespace gantry::proxy {
namespace {

const Time now(std::chrono::seconds(1'800'000'000));

TEST(Asked, AKeyIsAStringOrABareWord) {
  struct Case {
    std::string_view value;
    std::string_view key;
  };
  for (const Case& one :
       {Case{"\"abc\"", "abc"}, Case{"abc", "abc"}, Case{"  \"a b, c\"  ", "a b, c"}, Case{R"("a\"b\\c")", R"(a"b\c)"},
        Case{"8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"}}) {
    auto key = parse_key(one.value);
    ASSERT_TRUE(key.has_value()) << one.value << ": " << key.error().reason();
    EXPECT_EQ(*key, one.key);
  }
}

TEST(Asked, WhatIsNoKeyIsRefusedWithItsReason) {
  const std::string long_key(256, 'k');
  for (std::string_view value :
       {std::string_view(""), std::string_view("\"\""), std::string_view("\"abc"), std::string_view("a b"),
        std::string_view("a,b"), std::string_view("\"a\"; q=1"), std::string_view(R"("a\b")"),
        std::string_view("\"a\tb\""), std::string_view("\""), std::string_view(R"("a\")"),
        std::string_view("caf\xc3\xa9"), std::string_view(long_key)}) {
    auto key = parse_key(value);
    ASSERT_FALSE(key.has_value()) << value;
    EXPECT_EQ(key.error().id(), ErrorId::GR0409);
    EXPECT_FALSE(key.error().hint().empty());
  }
}

TEST(Asked, TheLongestKeyIsTaken) { EXPECT_TRUE(parse_key(std::string(255, 'k')).has_value()); }

TEST(Asked, ATimeOrADelayPutsARequestOff) {
  auto at = parse_asked({{"gantry-not-before", "2027-01-15T08:00:10Z"}}, now);
  ASSERT_TRUE(at.has_value()) << at.error().reason();
  EXPECT_EQ(at->not_before, now + std::chrono::seconds(10));
  auto delay = parse_asked({{"Gantry-Delay", "10m"}}, now);
  ASSERT_TRUE(delay.has_value());
  EXPECT_EQ(delay->not_before, now + std::chrono::minutes(10));
  // A time that has passed is at once.
  auto past = parse_asked({{"Gantry-Not-Before", "2026-01-15T08:00:10Z"}}, now);
  ASSERT_TRUE(past.has_value());
  EXPECT_EQ(past->not_before, Time{});
}

TEST(Asked, ContradictionsAndNonsenseAreRefused) {
  for (const std::vector<net::Header>& headers :
       {std::vector<net::Header>{{"Gantry-Delay", "10m"}, {"Gantry-Not-Before", "2027-01-15T08:00:10Z"}},
        std::vector<net::Header>{{"Gantry-Delay", "soon"}}, std::vector<net::Header>{{"Gantry-Not-Before", "tomorrow"}},
        std::vector<net::Header>{{"Gantry-Delay", "9000h"}},
        std::vector<net::Header>{{"Gantry-Delay", "1s"}, {"Gantry-Delay", "1s"}},
        std::vector<net::Header>{{"Gantry-Not-Before", "2031-01-15T08:00:10Z"}}}) {
    auto asked = parse_asked(headers, now);
    ASSERT_FALSE(asked.has_value()) << headers[0].value;
    EXPECT_EQ(asked.error().id(), ErrorId::GR0410);
  }
  EXPECT_EQ(parse_asked({{"Idempotency-Key", "a"}, {"idempotency-key", "a"}}, now).error().id(), ErrorId::GR0409);
}

}  // namespace
}  // namespace gantry::proxy
