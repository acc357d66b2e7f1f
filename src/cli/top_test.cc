// stats --watch and top: what stays on a screen.
#include <gtest/gtest.h>

#include "cli/canned.h"
#include "cli/fake_api.h"
#include "cli/fake_terminal.h"
#include "cli/spark.h"

namespace gantry::cli {
namespace {

class Screen : public testing::Test {
 protected:
  Screen() {
    terminal.variables["GANTRY_URL"] = api.url();
    terminal.variables["GANTRY_KEY"] = "gk_secret";
    terminal.environment.out_device = Device::terminal;
    terminal.environment.in_device = Device::terminal;
    terminal.environment.width = 200;
    terminal.environment.height = 24;
    api.on("GET /v1/stats", {200, canned::stats});
  }
  /// The picture that was drawn as number `index`, from 0.
  std::string picture(size_t index) const {
    std::vector<size_t> starts;
    const std::string out = terminal.out();
    for (size_t at = out.find("\x1b[H"); at != std::string::npos; at = out.find("\x1b[H", at + 1)) starts.push_back(at);
    EXPECT_LT(index, starts.size());
    return out.substr(starts.at(index),
                      index + 1 < starts.size() ? starts[index + 1] - starts[index] : std::string::npos);
  }

  FakeApi api;
  FakeTerminal terminal;
};

bool comes_before(const std::string& text, std::string_view first, std::string_view second) {
  return text.find(first) != std::string::npos && text.find(first) < text.find(second);
}

TEST_F(Screen, TopSortsByTheKeyThatWasPressedAndLeavesWithQ) {
  terminal.keys = "mrncq";
  EXPECT_EQ(terminal.run({"top", "--no-color"}), 0) << terminal.err();
  EXPECT_TRUE(comes_before(picture(0), "bot ", "hungry ")) << picture(0);
  EXPECT_TRUE(picture(0).contains("sorted by cpu"));
  EXPECT_TRUE(picture(0).contains("2 agents, 2/3 instances ready, CPU 15.5 %, memory 1.4 GiB, 11.5 requests/s"));
  EXPECT_TRUE(comes_before(picture(1), "hungry ", "bot ")) << "memory";
  EXPECT_TRUE(comes_before(picture(2), "hungry ", "bot ")) << "requests";
  EXPECT_TRUE(comes_before(picture(3), "bot ", "hungry ")) << "name";
  EXPECT_TRUE(comes_before(picture(4), "bot ", "hungry ")) << "cpu";
  EXPECT_EQ(api.lines().size(), 1u) << "keys ask for nothing";
  EXPECT_TRUE(terminal.out().starts_with("\x1b[?1049h")) << "the screen of before comes back";
  EXPECT_TRUE(terminal.out().ends_with("\x1b[?1049l"));
}

TEST_F(Screen, TopLooksAgainAndDrawsTheTrend) {
  std::string busy = canned::stats;
  busy.replace(busy.rfind("\"cpu_percent\":3,"), 16, "\"cpu_percent\":100,");
  api.on("GET /v1/stats", {200, busy});
  terminal.keys = "  q";
  EXPECT_EQ(terminal.run({"top", "--no-color"}), 0) << terminal.err();
  EXPECT_EQ(api.lines().size(), 3u);
  EXPECT_TRUE(comes_before(picture(2), "hungry ", "bot "));
  EXPECT_TRUE(picture(2).contains("▁██")) << picture(2);
}

TEST_F(Screen, TopGivesTheTerminalBackAtCtrlC) {
  EXPECT_EQ(terminal.run({"top"}), 130);
  EXPECT_TRUE(terminal.out().ends_with("\x1b[?25h\x1b[?1049l"));
}

TEST_F(Screen, TopWaitsForAServerThatRestarts) {
  api.on("GET /v1/stats", FakeApi::problem(503, "unavailable", "the server is stopping"));
  api.on("GET /v1/stats", {200, canned::stats});
  terminal.keys = "  q";
  EXPECT_EQ(terminal.run({"top", "--no-color"}), 0) << terminal.err();
  EXPECT_TRUE(picture(1).contains("the server is stopping; trying again")) << picture(1);
  EXPECT_TRUE(picture(1).contains("hungry"));
  EXPECT_FALSE(picture(2).contains("trying again"));
}

TEST_F(Screen, TopFitsWhatIsSmall) {
  terminal.environment.width = 60;
  terminal.environment.height = 4;
  terminal.keys = "q";
  EXPECT_EQ(terminal.run({"top", "--no-color"}), 0);
  EXPECT_FALSE(picture(0).contains("P99")) << picture(0);
  EXPECT_TRUE(picture(0).contains("MEMORY"));
  EXPECT_FALSE(picture(0).contains("hungry"));
}

TEST_F(Screen, StatsThatStayShowATrendAndFitTheTerminal) {
  int looks = 0;
  terminal.on_pause = [&] { return ++looks == 3 ? Interrupted::yes : Interrupted::no; };
  EXPECT_EQ(terminal.run({"stats", "--watch", "--no-color"}), 130);
  EXPECT_TRUE(terminal.out().contains("TREND"));
  EXPECT_TRUE(terminal.out().contains("███")) << terminal.out();
  terminal.environment.width = 70;
  EXPECT_EQ(terminal.run({"stats", "--no-color"}), 0);
  EXPECT_FALSE(terminal.out().contains("BREAKER"));
  EXPECT_TRUE(terminal.out().contains("REQ/S")) << terminal.out();
}

TEST(Sparkline, DrawsTheLatestValuesAgainstTheLargest) {
  const std::vector<double> values = {0, 1, 2, 4};
  EXPECT_EQ(sparkline(values, 4, 0), "▁▃▅█");
  EXPECT_EQ(sparkline(values, 2, 0), "▅█");
  EXPECT_EQ(sparkline(values, 6, 8), "  ▁▂▃▅");
  EXPECT_EQ(sparkline({}, 3, 1), "   ");
}

TEST(Sparkline, HistoriesForgetWhatIsGone) {
  Histories histories(3);
  for (double value : {1, 2, 3, 4}) {
    histories.begin_look();
    histories.add("a", value);
    if (value < 2) histories.add("b", value);
    histories.end_look();
  }
  EXPECT_EQ(histories.draw("a", 0), "▅▆█");
  EXPECT_EQ(histories.draw("b", 0), "   ");
}

}  // namespace
}  // namespace gantry::cli
