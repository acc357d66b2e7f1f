#include "agents/breaker.h"

#include <gtest/gtest.h>

namespace gantry::agents {
namespace {

using namespace std::chrono_literals;

constexpr core::Breaker policy{.failures = 3, .open = 10s};
const SteadyTime start{};

Breaker opened() {
  Breaker breaker;
  for (int i = 0; i < 3; ++i) breaker.failed(start, policy);
  return breaker;
}

TEST(Breaker, OpensAfterFailuresInARow) {
  Breaker breaker;
  breaker.failed(start, policy);
  breaker.failed(start, policy);
  breaker.succeeded();
  breaker.failed(start, policy);
  breaker.failed(start, policy);
  EXPECT_TRUE(breaker.allows(start)) << "a success in between begins anew";
  breaker.failed(start, policy);
  EXPECT_FALSE(breaker.allows(start));
  EXPECT_EQ(breaker.state(start), Breaker::State::open);
  EXPECT_EQ(breaker.reopens_at(), start + 10s);
}

TEST(Breaker, LetsOneProbeThroughWhenItsTimeHasCome) {
  Breaker breaker = opened();
  EXPECT_FALSE(breaker.allows(start + 9s));
  ASSERT_TRUE(breaker.allows(start + 10s));
  EXPECT_TRUE(breaker.began(start + 10s));
  EXPECT_FALSE(breaker.allows(start + 10s)) << "only one";
  EXPECT_EQ(breaker.state(start + 10s), Breaker::State::half_open);
  breaker.succeeded();
  EXPECT_TRUE(breaker.allows(start + 10s));
  EXPECT_EQ(breaker.state(start + 10s), Breaker::State::closed);
}

TEST(Breaker, StaysOpenTwiceAsLongAfterEachProbeThatFails) {
  Breaker breaker = opened();
  SteadyTime now = start + 10s;
  for (Duration open : {20s, 40s, 80s, 160s, 300s, 300s}) {
    ASSERT_TRUE(breaker.began(now));
    breaker.failed(now, policy);
    EXPECT_EQ(breaker.reopens_at(), now + open);
    now += open;
  }
}

TEST(Breaker, WhatWasUnderWayWhenItOpenedChangesNothing) {
  Breaker breaker = opened();
  breaker.failed(start + 9s, policy);
  EXPECT_EQ(breaker.reopens_at(), start + 10s);
}

TEST(Breaker, AProbeThatToldNothingLeavesItHalfOpen) {
  Breaker breaker = opened();
  ASSERT_TRUE(breaker.began(start + 10s));
  breaker.probe_abandoned();
  EXPECT_TRUE(breaker.allows(start + 10s));
}

TEST(Breaker, CanBeToldThatAProbeIsWorthWhileAtOnce) {
  Breaker breaker = opened();
  breaker.half_open(start + 1s);
  EXPECT_TRUE(breaker.began(start + 1s));
  breaker.failed(start + 1s, policy);
  EXPECT_EQ(breaker.reopens_at(), start + 21s);
  Breaker closed;
  closed.half_open(start);
  EXPECT_EQ(closed.state(start), Breaker::State::closed);
}

TEST(Breaker, NeverOpensWithoutABound) {
  Breaker breaker;
  for (int i = 0; i < 1000; ++i) breaker.failed(start, {.failures = 0, .open = 1s});
  EXPECT_TRUE(breaker.allows(start));
}

}  // namespace
}  // namespace gantry::agents
