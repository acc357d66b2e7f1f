#include "base/clock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <thread>
#include <vector>

namespace gantry {
namespace {

TEST(ManualClock, MovesBothTimesTogetherFromAnyThread) {
  ManualClock clock;
  Time before = clock.now();
  SteadyTime steady = clock.steady();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < 1000; ++k) clock.advance(std::chrono::milliseconds(1));
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(clock.now() - before, std::chrono::seconds(4));
  EXPECT_EQ(clock.steady() - steady, std::chrono::seconds(4));
}

TEST(SystemRandom, AForkedChildGetsOtherBytesThanItsParent) {
  SystemRandom random;
  std::array<uint8_t, 16> mine{}, theirs{};
  random.fill(mine);  // the buffer holds more bytes now, and the fork copies them
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    random.fill(mine);
    bool sent = ::write(ends[1], mine.data(), mine.size()) == static_cast<ssize_t>(mine.size());
    ::_exit(sent ? 0 : 1);
  }
  random.fill(mine);
  ASSERT_EQ(::read(ends[0], theirs.data(), theirs.size()), static_cast<ssize_t>(theirs.size()));
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_EQ(status, 0);
  EXPECT_NE(mine, theirs);
}

}  // namespace
}  // namespace gantry
