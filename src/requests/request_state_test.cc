#include "requests/request_state.h"

#include <gtest/gtest.h>

namespace gantry::requests {
namespace {

constexpr Time noon = time_from_unix_ms(1'000'000);
constexpr Time later = time_from_unix_ms(1'002'000);

InstanceId instance(uint8_t n) { return InstanceId(IdBytes{n}); }

RequestState processing(uint32_t attempts = 1) {
  RequestState state;
  for (uint32_t n = 1; n <= attempts; ++n) {
    EXPECT_TRUE(apply_attempt(state, {.number = n, .instance = instance(1)}, noon));
    if (n < attempts) EXPECT_TRUE(apply_attempt_ended(state, {.number = n, .outcome = Outcome::died}, noon));
  }
  return state;
}

TEST(RequestState, GoesFromPendingThroughProcessingToCompleted) {
  RequestState state;
  EXPECT_EQ(state.status, Status::pending);
  EXPECT_TRUE(apply_attempt(state, {.number = 1, .instance = instance(1)}, noon));
  EXPECT_EQ(state.status, Status::processing);
  EXPECT_TRUE(apply_completed(state, {.number = 1, .status = 200}, later));
  EXPECT_EQ(state.status, Status::completed);
  EXPECT_EQ(state.response_status, 200);
  ASSERT_EQ(state.log.size(), 1u);
  EXPECT_EQ(state.log[0].outcome, Outcome::completed);
  EXPECT_EQ(state.log[0].ended_at, later);
}

TEST(RequestState, RefusesEventsThatDoNotFit) {
  RequestState fresh;
  EXPECT_FALSE(apply_completed(fresh, {.number = 1, .status = 200}, noon)) << "nothing was delivered";
  EXPECT_FALSE(apply_attempt(fresh, {.number = 2}, noon)) << "attempt 1 is missing";
  RequestState busy = processing();
  EXPECT_FALSE(apply_attempt(busy, {.number = 2}, noon)) << "attempt 1 has not ended";
  EXPECT_FALSE(apply_completed(busy, {.number = 2, .status = 200}, noon)) << "attempt 2 has not begun";
  EXPECT_TRUE(apply_completed(busy, {.number = 1, .status = 200}, noon));
  EXPECT_FALSE(apply_completed(busy, {.number = 1, .status = 500}, noon)) << "an outcome is never computed again";
  EXPECT_FALSE(apply_failed(busy, {.number = 1}, noon));
  EXPECT_EQ(busy.response_status, 200);
}

TEST(RequestState, ADeadInstanceUsesUpAnAttemptAndARestartDoesNot) {
  RequestState state = processing();
  EXPECT_TRUE(apply_attempt_ended(state, {.number = 1, .outcome = Outcome::died, .next_attempt_at = later}, noon));
  EXPECT_EQ(state.failures, 1u);
  EXPECT_EQ(state.not_before, later);
  EXPECT_TRUE(apply_attempt(state, {.number = 2, .instance = instance(2)}, later));
  apply_restart(state, later);
  EXPECT_EQ(state.status, Status::pending);
  EXPECT_EQ(state.failures, 1u);
  EXPECT_EQ(state.attempts, 2u);
  EXPECT_EQ(state.log.back().outcome, Outcome::interrupted);
}

TEST(RequestState, KeepsABoundedLog) {
  RequestState state = processing(100);
  EXPECT_EQ(state.log.size(), RequestState::attempts_kept);
  EXPECT_EQ(state.log.back().number, 100u);
}

Verdict judge_after(Outcome outcome, uint32_t failures, const RetryPolicy& policy, Failure rest = {}) {
  SeededRandom random(7);
  rest.outcome = outcome;
  rest.failures = failures;
  return judge(rest, noon, policy, random);
}

RetryPolicy every_two_seconds(uint32_t max) {
  return {.max = max, .backoff = {Backoff::Policy::fixed, std::chrono::seconds(2), std::chrono::seconds(2)}};
}

TEST(Judge, GivesUpAfterMaxFailuresAndNeverForInterruptions) {
  const RetryPolicy policy{.max = 3};
  EXPECT_FALSE(judge_after(Outcome::died, 0, policy).dead);
  EXPECT_FALSE(judge_after(Outcome::answered, 1, policy).dead);
  EXPECT_TRUE(judge_after(Outcome::timeout, 2, policy).dead);
  EXPECT_FALSE(judge_after(Outcome::interrupted, 1000, policy).dead);
}

TEST(Judge, AConnectionThatNobodyTookUsesUpNoAttempt) {
  const RetryPolicy policy{.max = 1, .backoff = {.jitter = Backoff::Jitter::equal}};
  Verdict verdict = judge_after(Outcome::refused, 0, policy, {.refusals = 3});
  EXPECT_FALSE(verdict.dead);
  EXPECT_GE(verdict.next_attempt_at, noon + std::chrono::seconds(4)) << "it waits longer each time";
}

TEST(Judge, RepeatsOnlyWhatThePolicyLists) {
  RetryPolicy policy{.max = 9};
  policy.on = {.connect = false, .timeout = true, .died = false};
  EXPECT_TRUE(judge_after(Outcome::died, 0, policy).dead);
  EXPECT_TRUE(judge_after(Outcome::refused, 0, policy).dead);
  EXPECT_FALSE(judge_after(Outcome::timeout, 0, policy).dead);
  EXPECT_FALSE(judge_after(Outcome::interrupted, 0, policy).dead) << "a restart is nobody's failure";
}

TEST(Judge, WaitsByThePolicyAndNotAtAllAfterAnInterruption) {
  Verdict died = judge_after(Outcome::died, 0, every_two_seconds(9));
  EXPECT_GE(died.next_attempt_at, noon + std::chrono::seconds(1));
  EXPECT_LE(died.next_attempt_at, noon + std::chrono::seconds(2));
  EXPECT_EQ(judge_after(Outcome::interrupted, 3, every_two_seconds(9)).next_attempt_at, noon);
}

TEST(Judge, NeverTriesAgainInTheSameInstant) {
  SeededRandom random(7);
  const RetryPolicy policy{.max = 9};
  for (int i = 0; i < 1000; ++i) {
    const Verdict verdict = judge({.outcome = Outcome::died}, noon, policy, random);
    ASSERT_GE(verdict.next_attempt_at, noon + shortest_pause);
    ASSERT_LE(verdict.next_attempt_at, noon + policy.backoff.initial);
  }
}

TEST(Judge, WaitsAsLongAsTheProgramAsksWithinReason) {
  const auto after = [](Duration asked) {
    return judge_after(Outcome::answered, 0, every_two_seconds(9), {.retry_after = asked}).next_attempt_at - noon;
  };
  EXPECT_EQ(after(std::chrono::seconds(30)), std::chrono::seconds(30));
  EXPECT_LE(after(std::chrono::seconds(0)), std::chrono::seconds(2));
  EXPECT_EQ(after(std::chrono::hours(1000)), longest_retry_after);
}

TEST(Judge, GivesUpWhenTheNextAttemptWouldComeAfterTheDeadline) {
  const auto with = [](Duration left, Outcome outcome) {
    return judge_after(outcome, 0, every_two_seconds(9), {.deadline = noon + left});
  };
  EXPECT_FALSE(with(std::chrono::seconds(3), Outcome::died).dead);
  EXPECT_TRUE(with(std::chrono::seconds(1), Outcome::died).dead);
  EXPECT_FALSE(with(std::chrono::seconds(1), Outcome::interrupted).dead);
  EXPECT_TRUE(with(std::chrono::seconds(0), Outcome::interrupted).dead);
}

// Millions of random histories against what must always hold.
TEST(RequestState, HoldsItsInvariantsInRandomHistories) {
  SeededRandom random(42);
  for (int history = 0; history < 20'000; ++history) {
    RequestState state;
    for (int step = 0; step < 60; ++step) {
      RequestState before = state;
      uint32_t number = state.attempts + static_cast<uint32_t>(random.below(3)) - 1;
      bool changed = false;
      switch (random.below(5)) {
        case 0:
          changed = apply_attempt(state, {.number = number, .instance = instance(1)}, noon);
          break;
        case 1:
          changed = apply_attempt_ended(state, {.number = number, .outcome = static_cast<Outcome>(2 + random.below(6))},
                                        noon);
          break;
        case 2:
          changed = apply_completed(state, {.number = number, .status = 200}, noon);
          break;
        case 3:
          if (random.below(8) == 0) changed = apply_failed(state, {.number = number}, noon);
          break;
        case 4:
          apply_restart(state, noon);
          break;
      }
      ASSERT_GE(state.attempts, before.attempts);
      ASSERT_LE(state.failures, state.attempts);
      if (before.finished()) {
        ASSERT_FALSE(changed);
        ASSERT_EQ(state.status, before.status);
      }
      if (state.status == Status::processing) {
        ASSERT_EQ(state.log.back().outcome, Outcome::running);
      } else if (!state.log.empty()) {
        ASSERT_NE(state.log.back().outcome, Outcome::running);
      }
    }
  }
}

}  // namespace
}  // namespace gantry::requests
