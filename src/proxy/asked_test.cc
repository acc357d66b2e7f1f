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

TEST(Asked, APolicyIsAListOfPairs) {
  using namespace std::chrono_literals;
  const net::Header field{
      "gantry-retry",
      R"(max=3, policy="linear" ,initial=2s,cap=1m, timeout=30s, deadline=10m, retry_on=(died  503 429))"};
  auto asked = parse_asked({field}, now);
  ASSERT_TRUE(asked.has_value()) << asked.error().reason();
  EXPECT_EQ(asked->retry.max, 3u);
  EXPECT_EQ(asked->retry.policy, Backoff::Policy::linear);
  EXPECT_EQ(asked->retry.initial, 2s);
  EXPECT_EQ(asked->retry.cap, 1min);
  EXPECT_EQ(asked->retry.timeout, 30s);
  EXPECT_EQ(asked->deadline, 10min);
  ASSERT_TRUE(asked->retry.on.has_value());
  EXPECT_EQ(*asked->retry.on,
            (core::RetryOn{.connect = false, .timeout = false, .died = true, .statuses = {429, 503}}));
  // Two fields are one list, and the agent's policy has what is not said.
  asked = parse_asked({{"Gantry-Retry", "max=9"}, {"Gantry-Retry", "policy=constant"}}, now);
  ASSERT_TRUE(asked.has_value());
  const core::Retry policy = asked->retry.applied_to({.max = 2, .timeout = 7s});
  EXPECT_EQ(policy.max, 9u);
  EXPECT_EQ(policy.backoff.policy, Backoff::Policy::fixed);
  EXPECT_EQ(policy.timeout, 7s);
  EXPECT_TRUE(parse_asked({{"Gantry-Retry", ""}}, now)->retry.empty());
}

TEST(Asked, APolicyThatIsNotUnderstoodIsRefused) {
  for (std::string_view value :
       {"max=0", "max=1001", "max=3x", "max", "=3", "policy=Exponential", "initial=2", "initial=0s", "cap=8d",
        "timeout=1ms", "deadline=366d", "retry_on=200", "retry_on=(503,504)", "retry_on=\"connect", "colour=red",
        "max=3;q=1", "initial=2s,cap=1s", ","}) {
    auto asked = parse_asked({{"Gantry-Retry", value}}, now);
    ASSERT_FALSE(asked.has_value()) << value;
    EXPECT_EQ(asked.error().id(), ErrorId::GR0411) << value;
    EXPECT_FALSE(asked.error().hint().empty());
  }
}

TEST(Asked, OrderAndPriorityAreReadAndChecked) {
  auto asked = parse_asked({{"Gantry-Order-Key", " customer 17 "}, {"Gantry-Priority", "0"}}, now);
  ASSERT_TRUE(asked.has_value());
  EXPECT_EQ(asked->order_key, "customer 17");
  EXPECT_EQ(asked->priority, 0);
  EXPECT_EQ(parse_asked({}, now)->priority, requests::usual_priority);
  const std::string long_key(256, 'k');
  for (const std::vector<net::Header>& headers :
       {std::vector<net::Header>{{"Gantry-Order-Key", ""}}, std::vector<net::Header>{{"Gantry-Order-Key", long_key}},
        std::vector<net::Header>{{"Gantry-Order-Key", "a\tb"}}, std::vector<net::Header>{{"Gantry-Priority", "10"}},
        std::vector<net::Header>{{"Gantry-Priority", "-1"}}, std::vector<net::Header>{{"Gantry-Priority", ""}},
        std::vector<net::Header>{{"Gantry-Order-Key", "a"}, {"Gantry-Order-Key", "b"}}}) {
    auto refused = parse_asked(headers, now);
    ASSERT_FALSE(refused.has_value()) << headers[0].name << ": " << headers[0].value;
    EXPECT_EQ(refused.error().id(), ErrorId::GR0412);
  }
}

TEST(Asked, OnlyWhoSaysSoIsCancelledWithItsCaller) {
  for (std::string_view yes : {"true", "?1", "1", " True "})
    EXPECT_TRUE(parse_asked({{"Gantry-Cancel-On-Disconnect", yes}}, now)->cancel_on_disconnect) << yes;
  for (std::string_view no : {"false", "?0", "", "maybe"})
    EXPECT_FALSE(parse_asked({{"Gantry-Cancel-On-Disconnect", no}}, now)->cancel_on_disconnect) << no;
}

}  // namespace
}  // namespace gantry::proxy
