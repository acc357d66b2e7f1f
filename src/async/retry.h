// Trying again: one loop for everybody who does. Part of the door (async.h).
//
// The plan says how long to wait after failure n, when to give up, which failures are worth another attempt, and how
// to sleep. That the sleep is a function is what makes a retry stoppable (its owner wakes it and answers false) and
// testable (a test lets no time pass).
//
// Example:
//
//   RetryPlan plan{.backoff = options_.backoff, .sleep = [this](Duration pause) { return sleep_unless_stopping(pause);
//   },
//                  .clock = parts_.clock, .random = parts_.random};
//   auto written = co_await retry(std::move(plan), [this] { return write_record(); });
#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include "async/async.h"

namespace gantry {

/// How a call is repeated.
struct RetryPlan {
  Backoff backoff = {};
  /// No pause reaches beyond it: the last failure is returned instead.
  SteadyTime deadline = SteadyTime::max();
  /// Whether a failure is worth another attempt; by default, if its code is retryable.
  std::function<bool(const Error&)> again = [](const Error& error) { return is_retryable(error.code()); };
  /// Lets the time pass; false ends the retry, because its owner stops. The function is no coroutine itself, it calls
  /// one: a coroutine must not be a lambda with captures.
  std::function<Task<bool>(Duration)> sleep = {};
  /// Both outlive the retry.
  Clock& clock;
  Random& random;
};

/// Calls `attempt`, which returns a Task of a Result, until it succeeds or the plan says to stop: then its last
/// failure.
template <class Attempt>
std::invoke_result_t<Attempt&> retry(RetryPlan plan, Attempt attempt) {
  GANTRY_CHECK(plan.sleep != nullptr);
  for (uint32_t failures = 1;; ++failures) {
    auto result = co_await attempt();
    if (result.has_value() || !plan.again(result.error())) co_return result;
    const Duration pause = plan.backoff.delay(failures, plan.random);
    // Compared as a distance: the latest time plus a pause would overflow.
    if (plan.deadline - plan.clock.steady() <= pause) co_return result;
    const bool goes_on = co_await plan.sleep(pause);
    if (!goes_on) co_return result;
  }
}

}  // namespace gantry
