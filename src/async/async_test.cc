#include "async/async.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>

namespace gantry {
namespace {

Task<void> add_from_pool(BlockingPool& pool, std::atomic<int>& sum, int value) {
  auto result = co_await pool.run([value] { return value * 2; });
  sum += result.value_or(-1000);
}

TEST(BlockingPool, RunsWorkAndResumesTheCallerWithItsResult) {
  IoThreads threads(2);
  threads.start();
  BlockingPool pool(2, 1000);
  TaskGroup group;
  std::atomic<int> sum = 0;
  for (int i = 0; i < 100; ++i) group.spawn(threads.executor(static_cast<size_t>(i % 2)), add_from_pool(pool, sum, i));
  group.join();
  EXPECT_EQ(sum, 9900);
  pool.stop();
  threads.stop();
}

TEST(TaskGroup, RefusesTasksAfterJoin) {
  IoThreads threads(1);
  threads.start();
  TaskGroup group;
  group.join();
  EXPECT_FALSE(group.spawn(threads.executor(0), sleep_for(std::chrono::seconds(1))));
}

Task<void> wait_for(Notifier& notifier, Notifier::Ticket ticket, Duration patience, SystemClock& clock,
                    std::atomic<int>& woken) {
  if (co_await notifier.wait(ticket, clock.steady() + patience)) ++woken;
}

TEST(Notifier, WakesEveryWaiterOnEveryThread) {
  IoThreads threads(2);
  threads.start();
  SystemClock clock;
  Notifier notifier;
  TaskGroup group;
  std::atomic<int> woken = 0;
  for (size_t i = 0; i < 50; ++i)
    group.spawn(threads.executor(i % 2), wait_for(notifier, notifier.ticket(), std::chrono::minutes(1), clock, woken));
  // Either the waiter is listed already or its ticket is older than this notify.
  notifier.notify();
  group.join();
  EXPECT_EQ(woken, 50);
}

TEST(Notifier, EndsAtTheDeadlineWithFalse) {
  IoThreads threads(1);
  threads.start();
  SystemClock clock;
  Notifier notifier;
  TaskGroup group;
  std::atomic<int> woken = 0;
  group.spawn(threads.executor(0), wait_for(notifier, notifier.ticket(), std::chrono::milliseconds(1), clock, woken));
  group.join();
  EXPECT_EQ(woken, 0);
}

Task<void> park(std::vector<Suspended>& parked, std::mutex& mutex, Notifier& full, size_t wanted,
                std::atomic<size_t>& resumed) {
  co_await suspend([&](Suspended me) {
    std::lock_guard lock(mutex);
    parked.push_back(std::move(me));
    if (parked.size() == wanted) full.notify();
  });
  ++resumed;
}

Task<void> resume_when_full(std::vector<Suspended>& parked, std::mutex& mutex, Notifier& full, size_t wanted,
                            SystemClock& clock) {
  for (;;) {
    auto ticket = full.ticket();
    {
      std::lock_guard lock(mutex);
      if (parked.size() == wanted) {
        Suspended::resume_all(parked);
        co_return;
      }
    }
    co_await full.wait(ticket, clock.steady() + std::chrono::minutes(1));
  }
}

TEST(Suspended, ResumeAllWakesEachInItsOwnContext) {
  IoThreads threads(2);
  threads.start();
  SystemClock clock;
  std::vector<Suspended> parked;
  std::mutex mutex;
  Notifier full;
  TaskGroup group;
  std::atomic<size_t> resumed = 0;
  group.spawn(threads.executor(0), resume_when_full(parked, mutex, full, 64, clock));
  for (size_t i = 0; i < 64; ++i) group.spawn(threads.executor(i % 2), park(parked, mutex, full, 64, resumed));
  group.join();
  EXPECT_EQ(resumed, 64u);
}

TEST(Backoff, GrowsAsItsPolicySaysAndNeverPassesTheCap) {
  SeededRandom random(1);
  Backoff exponential{Backoff::Policy::exponential, std::chrono::seconds(1), std::chrono::seconds(10)};
  Backoff linear{Backoff::Policy::linear, std::chrono::seconds(1), std::chrono::seconds(10)};
  Backoff fixed{Backoff::Policy::fixed, std::chrono::seconds(1), std::chrono::seconds(10)};
  struct Row {
    const Backoff& backoff;
    uint32_t failures;
    int most_s;
  };
  for (const Row& row : {Row{exponential, 1, 1}, Row{exponential, 3, 4}, Row{exponential, 2000, 10}, Row{linear, 3, 3},
                         Row{linear, 99, 10}, Row{fixed, 9, 1}}) {
    for (int i = 0; i < 100; ++i) {
      Duration delay = row.backoff.delay(row.failures, random);
      EXPECT_LE(delay, std::chrono::seconds(row.most_s));
      EXPECT_GE(delay, std::chrono::milliseconds(row.most_s * 500));
    }
  }
}

TEST(Backoff, FullJitterReachesFromNothingToTheWholeDelay) {
  SeededRandom random(1);
  const Backoff backoff{.policy = Backoff::Policy::fixed,
                        .initial = std::chrono::seconds(10),
                        .cap = std::chrono::seconds(10),
                        .jitter = Backoff::Jitter::full};
  Duration least = std::chrono::hours(1);
  Duration most{};
  for (int i = 0; i < 1000; ++i) {
    const Duration delay = backoff.delay(1, random);
    least = std::min(least, delay);
    most = std::max(most, delay);
  }
  EXPECT_LT(least, std::chrono::seconds(1));
  EXPECT_GT(most, std::chrono::seconds(9));
  EXPECT_LE(most, std::chrono::seconds(10));
}

Task<void> receive_all(Channel<int>& channel, std::vector<int>& received) {
  while (co_await channel.wait(SteadyTime::max())) {
    for (int value : channel.take_all()) received.push_back(value);
    if (channel.closed() && channel.size() == 0) co_return;
  }
}

Task<void> send_range(Channel<int>& channel, int from, int count, std::atomic<int>& refused) {
  for (int i = 0; i < count; ++i) {
    auto sent = co_await channel.send(from + i, SteadyTime::max());
    if (!sent.has_value()) ++refused;
  }
}

TEST(Channel, ManyProducersLoseNothingAndKeepTheirOwnOrder) {
  IoThreads threads(3);
  threads.start();
  Channel<int> channel(4);
  TaskGroup producers;
  TaskGroup consumer;
  std::vector<int> received;
  std::atomic<int> refused = 0;
  consumer.spawn(threads.executor(0), receive_all(channel, received));
  for (int i = 0; i < 4; ++i)
    producers.spawn(threads.executor(static_cast<size_t>(1 + i % 2)), send_range(channel, i * 1000, 250, refused));
  producers.join();
  channel.close();
  consumer.join();
  threads.stop();
  EXPECT_EQ(refused, 0);
  ASSERT_EQ(received.size(), 1000u);
  std::map<int, int> last;
  for (int value : received) {
    auto [place, is_first] = last.emplace(value / 1000, value);
    if (!is_first) EXPECT_EQ(value, place->second + 1);
    place->second = value;
  }
}

TEST(Channel, AFullOneRefusesAndAClosedOneGivesOutWhatItHolds) {
  Channel<int> channel(2);
  EXPECT_TRUE(channel.try_send(1).has_value());
  EXPECT_TRUE(channel.try_send(2).has_value());
  EXPECT_EQ(channel.try_send(3).error().code(), Code::exhausted);
  EXPECT_EQ(channel.take(), 1);
  EXPECT_TRUE(channel.try_send(3).has_value());
  channel.close();
  EXPECT_EQ(channel.try_send(4).error().code(), Code::cancelled);
  EXPECT_EQ(channel.take_all(), (std::deque<int>{2, 3}));
  EXPECT_EQ(channel.take(), std::nullopt);
}

Task<void> wait_on(Channel<int>& channel, SteadyTime deadline, std::optional<bool>& answer) {
  answer = co_await channel.wait(deadline);
}

Task<void> send_by(Channel<int>& channel, SteadyTime deadline, std::optional<Code>& code) {
  auto sent = co_await channel.send(1, deadline);
  code = sent.has_value() ? Code::internal : sent.error().code();
}

TEST(Channel, WaitsEndAtTheirDeadlineAndWithTheClose) {
  IoThreads threads(1);
  threads.start();
  Channel<int> channel(1);
  SystemClock clock;
  std::optional<bool> late;
  std::optional<Code> too_late;
  {
    TaskGroup group;
    group.spawn(threads.executor(0), wait_on(channel, clock.steady(), late));
    group.join();
  }
  EXPECT_EQ(late, false);
  ASSERT_TRUE(channel.try_send(1).has_value());
  {
    TaskGroup group;
    group.spawn(threads.executor(0), send_by(channel, clock.steady(), too_late));
    group.join();
  }
  EXPECT_EQ(too_late, Code::timeout);
  std::optional<Code> closed;
  TaskGroup group;
  group.spawn(threads.executor(0), send_by(channel, SteadyTime::max(), closed));
  channel.close();
  group.join();
  threads.stop();
  EXPECT_EQ(closed, Code::cancelled);
}

/// A call that fails so often, and the sleeps between, which take no real time.
struct Stubborn {
  ManualClock clock{};
  SeededRandom random{1};
  uint32_t failures = 0;
  Code code = Code::unavailable;
  std::vector<Duration> pauses = {};
  uint32_t calls = 0;
  uint32_t wakes_before_stop = UINT32_MAX;

  Task<Result<uint32_t>> call() {
    if (++calls <= failures) co_return fail(code, "not yet");
    co_return calls;
  }
  Task<bool> sleep(Duration pause) {
    pauses.push_back(pause);
    clock.advance(pause);
    co_return pauses.size() <= wakes_before_stop;
  }
  RetryPlan plan() {
    return {.backoff = {.initial = std::chrono::seconds(1), .cap = std::chrono::seconds(8)},
            .sleep = [this](Duration pause) { return sleep(pause); },
            .clock = clock,
            .random = random};
  }
};

Task<void> try_it(Stubborn& stubborn, RetryPlan plan, std::optional<Result<uint32_t>>& answer) {
  answer.emplace(co_await retry(std::move(plan), [&stubborn] { return stubborn.call(); }));
}

Result<uint32_t> outcome_of(Stubborn& stubborn, RetryPlan plan) {
  asio::io_context context(1);
  TaskGroup group;
  std::optional<Result<uint32_t>> answer;
  group.spawn(context.get_executor(), try_it(stubborn, std::move(plan), answer));
  context.run();
  group.join();
  return std::move(*answer);
}

TEST(Retry, CallsAgainWithGrowingPausesUntilItSucceeds) {
  Stubborn stubborn{.failures = 5};
  EXPECT_EQ(outcome_of(stubborn, stubborn.plan()).value(), 6u);
  ASSERT_EQ(stubborn.pauses.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    const Duration whole = std::chrono::seconds(std::min(1 << i, 8));
    EXPECT_GE(stubborn.pauses[i], whole / 2);
    EXPECT_LE(stubborn.pauses[i], whole);
  }
}

TEST(Retry, WhatIsNotWorthItIsNotRepeated) {
  Stubborn stubborn{.failures = 5, .code = Code::invalid};
  EXPECT_EQ(outcome_of(stubborn, stubborn.plan()).error().code(), Code::invalid);
  EXPECT_EQ(stubborn.calls, 1u);
  RetryPlan plan = stubborn.plan();
  plan.again = [](const Error&) { return true; };
  EXPECT_EQ(outcome_of(stubborn, std::move(plan)).value(), 6u);
}

TEST(Retry, NoPauseReachesBeyondTheDeadlineAndAStopEndsIt) {
  Stubborn late{.failures = 100};
  RetryPlan plan = late.plan();
  plan.deadline = late.clock.steady() + std::chrono::seconds(10);
  EXPECT_EQ(outcome_of(late, std::move(plan)).error().code(), Code::unavailable);
  EXPECT_LT(late.clock.steady(), SteadyTime{} + std::chrono::seconds(10));
  Stubborn stopped{.failures = 100, .wakes_before_stop = 2};
  EXPECT_FALSE(outcome_of(stopped, stopped.plan()).has_value());
  EXPECT_EQ(stopped.calls, 3u);
}

}  // namespace
}  // namespace gantry
