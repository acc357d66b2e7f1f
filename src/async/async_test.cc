#include "async/async.h"

#include <gtest/gtest.h>

#include <atomic>

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

}  // namespace
}  // namespace gantry
