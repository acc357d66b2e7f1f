#include "sandbox/drivers/bubblewrap/record.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

namespace gantry::sandbox::bubblewrap {
namespace {

constexpr int exited_with(int code) { return code << 8; }

TEST(ExitFile, IsReadBackAndNothingElseIs) {
  auto exited = parse_exit_file("1 256 1700000000123 2500 4096\n");
  ASSERT_TRUE(exited.has_value());
  EXPECT_EQ(exited->reason, shim::EndReason::abandoned);
  EXPECT_EQ(exited->wait_status, 256);
  EXPECT_EQ(exited->unix_ms, 1700000000123);
  EXPECT_EQ(exited->cpu_us, 2500u);
  EXPECT_EQ(exited->max_rss_kib, 4096u);
  for (std::string_view bad : {"", "1", "1 2 3 4", "1 2 3 4 5", "x 2 3 4 5\n", "9 2 3 4 5\n", "1 99999999999 3 4 5\n",
                               "1 -2 3 4 5\n", "1  2 3 4 5\n"})
    EXPECT_FALSE(parse_exit_file(bad).has_value()) << bad;
}

TEST(ExplainExit, WeighsWhatIsKnown) {
  auto ended = [](int status) { return shim::Exited{shim::EndReason::ended, status, 1, 0, 0}; };
  struct Row {
    const char* what;
    std::optional<shim::Exited> exited;
    uint64_t oom_kills;
    bool workspace;
    std::string_view words;
  };
  const Row rows[] = {
      {"by itself", ended(exited_with(3)), 0, false, "exit 3"},
      {"by a signal", ended(SIGSEGV), 0, false, "signal 11 (SIGSEGV)"},
      {"killed at the limit", ended(SIGKILL), 1, false, "exit 137, out of memory at 512Mi"},
      {"a child was killed at the limit, the program ended by itself", ended(exited_with(1)), 1, false, "exit 1"},
      {"the shim was killed at the limit", std::nullopt, 2, false, "exit 137, out of memory at 512Mi"},
      {"the driver stopped it", ended(SIGKILL), 0, true, "workspace above 1Gi"},
      {"abandoned", shim::Exited{shim::EndReason::abandoned, SIGKILL, 1, 0, 0}, 0, false,
       "stopped: no server came back"},
      {"the shim was killed", std::nullopt, 0, false, "killed from outside (SIGKILL)"},
  };
  for (const Row& row : rows) {
    ExitInfo info = explain_exit({row.exited, row.oom_kills, row.workspace, Limits{}});
    EXPECT_EQ(info.describe(), row.words) << row.what;
  }
}

TEST(Record, IsReadBack) {
  std::string pattern = "/tmp/gantry-record-XXXXXX";
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  ManualClock clock;
  SeededRandom random(1);
  SandboxRecord record;
  record.id = InstanceId::make(clock, random);
  record.shim = {4242, 99, 200'001};
  record.network = 0xffff'ffff'ffff;
  record.group.memory = "/sys/fs/cgroup/memory/x";
  record.group.abilities.memory = "memory.limit_in_bytes";
  record.started_at = clock.now();
  record.limits.memory = mebibytes(64);
  record.listeners = {7070, 53};
  record.workspace = "/data/workspaces/x";
  record.achieved = {.driver = "bubblewrap", .uid = 200'001, .namespaces = {"net"}, .seccomp = Grade::enforced};
  record.achieved.limits.push_back({"memory", "64Mi", Grade::best_effort, "somehow"});
  ASSERT_TRUE(write_record(pattern, record).has_value());
  auto again = read_record(pattern);
  ASSERT_TRUE(again.has_value()) << again.error().reason();
  EXPECT_EQ(again->id, record.id);
  EXPECT_EQ(again->shim, record.shim);
  EXPECT_EQ(again->network, record.network);
  EXPECT_EQ(again->group.memory, record.group.memory);
  EXPECT_EQ(again->group.abilities.memory, record.group.abilities.memory);
  EXPECT_EQ(again->started_at, record.started_at);
  EXPECT_EQ(again->limits.memory, record.limits.memory);
  EXPECT_EQ(again->listeners, record.listeners);
  EXPECT_EQ(again->workspace, record.workspace);
  EXPECT_EQ(again->achieved.uid, record.achieved.uid);
  EXPECT_EQ(again->achieved.limits.at(0).grade, Grade::best_effort);
  ASSERT_TRUE(os::replace_file(std::filesystem::path(pattern) / "sandbox.json", "{\"version\":2}").has_value());
  EXPECT_EQ(read_record(pattern).error().code(), Code::unsupported);
  static_cast<void>(os::remove_tree(pattern));
  EXPECT_EQ(read_record(pattern).error().code(), Code::not_found);
}

}  // namespace
}  // namespace gantry::sandbox::bubblewrap
