#include "journal/drivers/segments/queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace gantry::journal::segments {
namespace {

constexpr Gathering at_once{};
constexpr Duration long_time = std::chrono::hours(1);

class QueueTest : public testing::Test {
 protected:
  void push() {
    pendings_.push_back(std::make_unique<Pending>(Pending{.bytes = 100}));
    queue_.push(*pendings_.back(), Suspended(nullptr));
  }
  size_t take(Gathering gathering) { return queue_.take(1'000'000, 1'000'000, std::nullopt, gathering).group.size(); }

  Options options_;
  Queue queue_{options_};
  std::vector<std::unique_ptr<Pending>> pendings_;
};

TEST_F(QueueTest, TakesWhatWaitsAtOnce) {
  push();
  push();
  EXPECT_EQ(take(at_once), 2u);
}

TEST_F(QueueTest, GathersUntilEnoughWait) {
  push();
  std::thread others([this] {
    push();
    push();
  });
  // Neither the gap nor the time ends in this test's life: the third entry does.
  EXPECT_EQ(take({.entries = 3, .gap = long_time, .time = long_time}), 3u);
  others.join();
}

TEST_F(QueueTest, GathersNoLongerThanSomethingComes) {
  push();
  EXPECT_EQ(take({.entries = 3, .gap = std::chrono::milliseconds(1), .time = long_time}), 1u);
}

TEST_F(QueueTest, AJobEndsTheGathering) {
  push();
  std::thread other([this] { EXPECT_TRUE(queue_.run_soon([] {})); });
  Work work = queue_.take(1'000'000, 1'000'000, std::nullopt, {.entries = 3, .gap = long_time, .time = long_time});
  other.join();
  EXPECT_EQ(work.jobs.size(), 1u);
  EXPECT_TRUE(work.group.empty());
  EXPECT_EQ(take(at_once), 1u);
}

TEST_F(QueueTest, ClosingEndsTheGathering) {
  push();
  std::thread other([this] { queue_.close(); });
  EXPECT_EQ(take({.entries = 3, .gap = long_time, .time = long_time}), 1u);
  other.join();
}

}  // namespace
}  // namespace gantry::journal::segments
