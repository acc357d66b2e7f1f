#include "os/process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "os/file.h"

namespace gantry::os {
namespace {

TEST(SpawnProcess, GivesTheChildItsDescriptorsAndNothingElse) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  SpawnOptions options;
  options.program = "/bin/sh";
  // The numbers cross over: 3 and 4 are exchanged, whatever they are here.
  options.arguments = {"sh", "-c", "echo one >&3; echo $X >&4; ls /proc/self/fd | tr '\\n' ' ' >&3"};
  options.environment = std::vector<std::string>{"X=two", "PATH=/usr/bin:/bin"};
  options.fds = {{write_end.get(), 3}, {write_end.get(), 4}};
  auto child = spawn_process(options);
  ASSERT_TRUE(child.has_value()) << child.error().reason();
  write_end.reset();
  auto text = read_fd(read_end, kibibytes(4));
  ASSERT_TRUE(text.has_value());
  EXPECT_TRUE(text->starts_with("one\ntwo\n")) << *text;
  EXPECT_EQ(text->find(std::to_string(read_end.get()) + " 6"), std::string::npos);
  EXPECT_EQ(*wait_process(child->pidfd), 0);
}

TEST(SpawnProcess, ReportsTheErrorOfExecve) {
  auto child = spawn_process({.program = "/no/such/program", .arguments = {"x"}});
  ASSERT_FALSE(child.has_value());
  EXPECT_EQ(child.error().code(), Code::not_found);
}

TEST(SpawnProcess, ResetsIgnoredSignals) {
  std::signal(SIGPIPE, SIG_IGN);
  auto child = spawn_process({.program = "/bin/sh", .arguments = {"sh", "-c", "kill -PIPE $$; exit 0"}});
  ASSERT_TRUE(child.has_value());
  int status = *wait_process(child->pidfd);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGPIPE);
}

TEST(Pidfd, TellsWhetherAProcessHasEnded) {
  auto child = spawn_process({.program = "/bin/sleep", .arguments = {"sleep", "1000"}});
  ASSERT_TRUE(child.has_value());
  EXPECT_FALSE(*process_ended(child->pidfd));
  EXPECT_FALSE(reap_process(child->pidfd)->has_value());
  ASSERT_TRUE(signal_process(child->pidfd, SIGKILL).has_value());
  EXPECT_EQ(*wait_process(child->pidfd), SIGKILL);
  EXPECT_TRUE(*process_ended(child->pidfd));
  EXPECT_FALSE(open_pidfd(child->pid).has_value());
}

TEST(ProcessIdentity, IsTheSameForTheSameLifeOfAPid) {
  auto self = identify_process(getpid());
  ASSERT_TRUE(self.has_value()) << self.error().reason();
  EXPECT_EQ(self->uid, geteuid());
  EXPECT_GT(self->start_ticks, 0u);
  EXPECT_EQ(*self, *identify_process(getpid()));
}

TEST(ProcessIdentity, ReadsTheStartTimeWhateverTheProgramIsCalled) {
  std::string tail = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21 22";
  struct Row {
    std::string stat;
    std::optional<uint64_t> ticks;
  };
  for (const Row& row : {Row{"7 (sh)" + tail, 4242}, Row{"7 (a b) c) (d)" + tail, 4242}, Row{"7 (sh", std::nullopt},
                         Row{"7 (sh) S 1 2", std::nullopt}, Row{"", std::nullopt}})
    EXPECT_EQ(start_ticks_of_stat(row.stat), row.ticks) << row.stat;
}

}  // namespace
}  // namespace gantry::os
