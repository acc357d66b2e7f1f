#include "agents/window.h"

#include <gtest/gtest.h>

namespace gantry::agents {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

SteadyTime at(Duration since) { return SteadyTime(seconds(100'000) + since); }

void expect_near(Duration actual, Duration wanted) {
  EXPECT_NEAR(static_cast<double>(actual.count()), static_cast<double>(wanted.count()),
              0.035 * static_cast<double>(wanted.count()));
}

TEST(RequestWindow, IsEmptyAtFirst) {
  const RequestWindow::Reading reading = RequestWindow().read(at(seconds(0)));
  EXPECT_EQ(reading.count, 0u);
  EXPECT_EQ(reading.per_second, 0);
  EXPECT_EQ(reading.p99, Duration::zero());
}

TEST(RequestWindow, TellsPercentilesWithinThreePercentFromMicrosecondsToHours) {
  for (Duration unit :
       {Duration(microseconds(1)), Duration(microseconds(47)), Duration(milliseconds(3)), Duration(seconds(20))}) {
    RequestWindow window;
    for (int i = 1; i <= 1000; ++i) window.add(at(seconds(0)), i * unit);
    const RequestWindow::Reading reading = window.read(at(seconds(1)));
    EXPECT_EQ(reading.count, 1000u);
    expect_near(reading.p50, 500 * unit);
    expect_near(reading.p95, 950 * unit);
    expect_near(reading.p99, 990 * unit);
  }
}

TEST(RequestWindow, OneSlowRequestOfAHundredIsNotInTheNinetyNinth) {
  RequestWindow window;
  for (int i = 0; i < 99; ++i) window.add(at(seconds(0)), milliseconds(1));
  window.add(at(seconds(0)), seconds(5));
  expect_near(window.read(at(seconds(0))).p99, milliseconds(1));
  window.add(at(seconds(0)), seconds(5));
  expect_near(window.read(at(seconds(0))).p99, seconds(5));
}

TEST(RequestWindow, ForgetsWhatIsOlderThanAMinute) {
  RequestWindow window;
  window.add(at(seconds(0)), seconds(9));
  EXPECT_EQ(window.read(at(seconds(49))).count, 1u);
  EXPECT_EQ(window.read(at(seconds(60))).count, 0u);
  window.add(at(seconds(61)), milliseconds(2));
  EXPECT_EQ(window.read(at(seconds(61))).count, 1u);
  expect_near(window.read(at(seconds(61))).p99, milliseconds(2));
}

TEST(RequestWindow, CountsARateOverTenSeconds) {
  RequestWindow window;
  for (int second = 0; second < 30; ++second)
    for (int i = 0; i < 7; ++i) window.add(at(seconds(second)), milliseconds(1));
  EXPECT_DOUBLE_EQ(window.read(at(seconds(29))).per_second, 7);
  EXPECT_DOUBLE_EQ(window.read(at(seconds(34))).per_second, 3.5);
  EXPECT_DOUBLE_EQ(window.read(at(seconds(45))).per_second, 0);
}

TEST(RequestWindow, TakesTimesThatCannotBe) {
  RequestWindow window;
  window.add(at(seconds(0)), Duration(-1));
  window.add(at(seconds(0)), std::chrono::hours(1000));
  EXPECT_EQ(window.read(at(seconds(0))).count, 2u);
}

}  // namespace
}  // namespace gantry::agents
