// The part of the conformance suite about programs beside the main one. Test code only; included by
// driver_suite.h.
#pragma once

#include <poll.h>
#include <unistd.h>

#include <csignal>

#include "sandbox/suite_host.h"

namespace gantry::sandbox {

class ExecSuite : public testing::TestWithParam<DriverCase> {
 protected:
  static ExecSpec sh(std::string script) { return {.command = {"/bin/sh", "-c", std::move(script)}}; }
  std::unique_ptr<Exec> exec(Sandbox& box, ExecSpec spec) {
    auto started = host.wait(box.exec(std::move(spec)));
    EXPECT_TRUE(started.has_value()) << started.error().reason();
    return started ? *std::move(started) : nullptr;
  }
  /// Everything until the end of the stream, or until `text` was read.
  static std::string read(const os::Fd& fd, std::string_view until = {}) {
    std::string text;
    char buffer[4096];
    while (until.empty() || !text.contains(until)) {
      pollfd entry{fd.get(), POLLIN, 0};
      if (::poll(&entry, 1, 60'000) != 1) return text + " (and then nothing)";
      ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
      if (got <= 0) break;  // a terminal whose program is gone says EIO
      text.append(buffer, static_cast<size_t>(got));
    }
    return text;
  }
  /// Runs to its end and returns what it printed.
  std::string output(Sandbox& box, ExecSpec spec) {
    auto program = exec(box, std::move(spec));
    return program == nullptr ? "" : read(program->streams().output);
  }
  std::shared_ptr<Sandbox> idle(std::string name = "idle") {
    return host.start(host.shell(std::move(name), "while :; do sleep 1; done"));
  }

  SuiteHost host{GetParam()};
};

TEST_P(ExecSuite, ConnectsItsThreeStreams) {
  auto box = idle();
  auto program = exec(*box, sh("echo out; echo err >&2; cat; exit 3"));
  ASSERT_TRUE(program != nullptr);
  ASSERT_TRUE(os::write_all(program->streams().input, "from outside\n").has_value());
  program->streams().input.reset();
  EXPECT_EQ(read(program->streams().output), "out\nfrom outside\n");
  EXPECT_EQ(read(program->streams().errors), "err\n");
  ExitInfo end = host.wait(program->wait());
  EXPECT_EQ(end.describe(), "exit 3");
  EXPECT_FALSE(box->exited().has_value());
}

TEST_P(ExecSuite, HasTheEnvironmentOfTheMainProgramAndItsOwn) {
  Spec spec = host.shell("environment", "sleep 1000");
  spec.env = {{"KEPT", "1"}, {"CHANGED", "2"}};
  auto box = host.start(spec);
  ExecSpec wanted = sh("echo $KEPT $CHANGED $ADDED $HOME; pwd");
  wanted.env = {{"CHANGED", "3"}, {"ADDED", "4"}};
  wanted.directory = "/workspace";
  EXPECT_EQ(output(*box, wanted), "1 3 4 /workspace\n/workspace\n");
}

TEST_P(ExecSuite, HoldsIt) {
  auto box = idle();
  EXPECT_EQ(output(*box, sh("grep -E '^(Seccomp|NoNewPrivs|CapEff):' /proc/self/status")),
            "CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n");
  EXPECT_EQ(output(*box, sh("unshare -n true 2>/dev/null && echo free; touch /app/x 2>/dev/null && echo wrote; id -u")),
            output(*box, sh("id -u")));
  EXPECT_EQ(output(*box, sh("ulimit -c; ls /proc/self/fd | wc -l")), "0\n4\n") << "stdio and the directory itself";
}

TEST_P(ExecSuite, SaysWhatCannotBeExecuted) {
  auto box = idle();
  auto started = host.wait(box->exec({.command = {"no-such-program"}}));
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().id(), ErrorId::GR0302);
  EXPECT_NE(started.error().reason().find("no-such-program"), std::string::npos) << started.error().reason();
  ExecSpec nowhere = sh("true");
  nowhere.directory = "/no/such/place";
  started = host.wait(box->exec(nowhere));
  ASSERT_FALSE(started.has_value());
  EXPECT_NE(started.error().reason().find("working directory"), std::string::npos) << started.error().reason();
  EXPECT_FALSE(host.wait(box->exec({})).has_value());
  EXPECT_FALSE(host.wait(box->exec(sh(std::string("true\0", 5)))).has_value());
}

TEST_P(ExecSuite, GivesATerminal) {
  auto box = idle();
  ExecSpec wanted =
      sh("tty; stty size; read line; echo got $line; trap 'stty size' WINCH; echo now; "
         "while :; do sleep 0.1; done");
  wanted.terminal = WindowSize{33, 101};
  auto program = exec(*box, wanted);
  ASSERT_TRUE(program != nullptr);
  std::string first = read(program->streams().output, "33 101");
  EXPECT_TRUE(first.starts_with("/dev/pts/")) << first;
  ASSERT_TRUE(os::write_all(program->streams().input, "hello\n").has_value());
  EXPECT_TRUE(read(program->streams().output, "now").contains("got hello"));
  ASSERT_TRUE(program->resize({44, 55}).has_value());
  EXPECT_TRUE(read(program->streams().output, "44 55").contains("44 55"));
  ASSERT_TRUE(os::write_all(program->streams().input, "\x03").has_value());
  EXPECT_EQ(host.wait(program->wait()).describe(), "signal 2 (SIGINT)");
}

TEST_P(ExecSuite, ResizesNoPipe) {
  auto box = idle();
  auto program = exec(*box, sh("sleep 1000"));
  ASSERT_TRUE(program != nullptr);
  EXPECT_EQ(program->resize({}).error().code(), Code::invalid);
  program->signal(SIGTERM);
  EXPECT_EQ(host.wait(program->wait()).describe(), "signal 15 (SIGTERM)");
}

TEST_P(ExecSuite, IsKilledWhenNobodyHoldsIt) {
  auto box = idle();
  auto program = exec(*box, sh("trap '' TERM HUP; (sleep 1000); echo never"));
  ASSERT_TRUE(program != nullptr);
  os::Fd stream = std::move(program->streams().output);
  program.reset();
  EXPECT_EQ(read(stream), "") << "the end of the pipe: nobody has it any more";
}

TEST_P(ExecSuite, EndsWithItsSandbox) {
  auto box = idle();
  auto program = exec(*box, sh("sleep 1000"));
  ASSERT_TRUE(program != nullptr);
  auto end = host.begin(program->wait());
  host.wait(box->stop(Duration{}));
  EXPECT_NE(end.get().code, 0);
  EXPECT_EQ(host.wait(box->exec(sh("true"))).error().id(), ErrorId::GR0306);
}

TEST_P(ExecSuite, IsBoundedAndGivesItsPlaceBack) {
  constexpr size_t most = 60;
  Spec spec = host.shell("many", "sleep 1000");
  spec.limits.pids = 0;
  auto box = host.start(spec);
  std::vector<std::unique_ptr<Exec>> programs;
  for (size_t i = 0; i < most; ++i) programs.push_back(exec(*box, {.command = {"sleep", "1000"}}));
  auto refused = host.wait(box->exec(sh("true")));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Code::exhausted);
  ExecSpec check = sh("echo well");
  check.purpose = ExecSpec::Purpose::probe;
  EXPECT_EQ(output(*box, check), "well\n") << "a probe has a place of its own";
  programs.front()->signal(SIGKILL);
  host.wait(programs.front()->wait());
  EXPECT_EQ(output(*box, sh("echo again")), "again\n");
}

TEST_P(ExecSuite, WaitsForNobodyFrozen) {
  auto box = idle();
  ASSERT_TRUE(host.wait(box->pause()).has_value());
  auto refused = host.wait(box->exec(sh("true")));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Code::conflict);
  ASSERT_TRUE(host.wait(box->resume()).has_value());
  EXPECT_EQ(output(*box, sh("echo thawed")), "thawed\n");
}

TEST_P(ExecSuite, DoesNotOutliveTheDaemon) {
  Spec spec = host.shell("survivor", "while :; do sleep 1; done");
  auto box = host.start(spec);
  auto program = exec(*box, sh("echo $$; sleep 1000"));
  ASSERT_TRUE(program != nullptr);
  os::Fd stream = std::move(program->streams().output);
  EXPECT_NE(read(stream, "\n"), "");
  box.reset();
  host.reopen();
  EXPECT_EQ(host.wait(program->wait()).reason, ExitReason::lost);
  EXPECT_EQ(read(stream), "") << "it was killed";
  auto recovered = host.wait(host.driver->recover({{spec.id, spec.instance_dir}}, std::chrono::seconds(30)));
  ASSERT_EQ(recovered.attached.size(), 1u);
  EXPECT_EQ(output(*recovered.attached[0], sh("echo and on")), "and on\n");
}

}  // namespace gantry::sandbox
