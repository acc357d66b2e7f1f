// A driver without isolation, for tests of folders that start agents: nothing is executed, sandboxes are
// objects that do what a test says. `dial` connects to loopback ports of the test's own servers.
//
// Example:
//
//   FakeDriver driver(clock);
//   driver.serve(8000, port_of_my_test_server);          // dial(8000) inside any sandbox goes there
//   driver.fail_next_start(Error(ErrorId::GR0302, "no such file"));
//   …
//   driver.running()[0]->end({.reason = ExitReason::exited, .code = 1});
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "sandbox/sandbox.h"

namespace gantry::sandbox {

/// What every FakeSandbox of a driver shares.
struct FakeWorld;

/// A sandbox that only a test ends. Thread-safe.
class FakeSandbox final : public Sandbox {
 public:
  FakeSandbox(std::shared_ptr<FakeWorld> world, Spec spec, pid_t pid);

  InstanceId id() const override { return spec_.id; }
  pid_t pid() const override { return pid_; }
  Time started_at() const override { return started_at_; }
  const Achieved& achieved() const override { return achieved_; }
  Task<Result<os::Fd>> dial(uint16_t port) override;
  Result<os::Fd> listener(uint16_t port) override;
  Task<Result<>> signal(int number, SignalTarget target) override;
  Task<ExitInfo> stop(Duration grace) override;
  Task<Result<>> pause() override;
  Task<Result<>> resume() override;
  Task<Result<Stats>> stats() override;
  Task<ExitInfo> wait_exit() override;
  std::optional<ExitInfo> exited() const override;
  void on_exit(std::function<void(const ExitInfo&)> callback) override;

  const Spec& spec() const { return spec_; }
  bool paused() const;
  /// Signals that were sent, in order; `stop` sends TERM.
  std::vector<int> signals() const;
  /// Ends it, as if the program had. Later calls do nothing.
  void end(ExitInfo info);
  /// Whether the program listens; `dial` is refused while it does not. It does at first.
  enum class Listening { no, yes };
  void set_listening(Listening listening);

 private:
  const std::shared_ptr<FakeWorld> world_;
  const Spec spec_;
  const pid_t pid_;
  const Time started_at_;
  Achieved achieved_;
  mutable std::mutex mutex_;
  bool paused_ = false;
  Listening listening_ = Listening::yes;
  std::vector<int> signals_;
  std::optional<ExitInfo> end_;
  std::vector<std::function<void(const ExitInfo&)>> callbacks_;
  Notifier ended_;
};

/// Makes FakeSandboxes. What it started survives it in the world, which a second driver may share: that is
/// a restart of the daemon.
class FakeDriver final : public Driver {
 public:
  explicit FakeDriver(Clock& clock);
  /// The driver of the next life of the daemon: its `recover` finds what this one started.
  std::unique_ptr<FakeDriver> next_life() const {
    return std::unique_ptr<FakeDriver>(new FakeDriver(world_, sandboxes_));
  }

  std::string_view name() const override { return "fake"; }
  Capabilities capabilities() const override { return {.pause = true, .recover = true}; }
  Result<> open() override { return {}; }
  void close() override {}
  Task<Result<Probe>> probe() override;
  Task<Result<std::shared_ptr<Sandbox>>> start(Spec spec) override;
  Task<Recovered> recover(std::vector<Known> known, Duration patience) override;
  Task<> remove_leftovers(std::vector<InstanceId> known) override;

  /// `port` inside every sandbox is `host_port` of this machine's loopback.
  void serve(uint16_t port, uint16_t host_port);
  /// The next starts fail, one error each.
  void fail_next_start(Error error);
  /// The next sandboxes end with this as soon as they have started, one each.
  void end_next_start(ExitInfo info);
  /// Those that have not ended, in the order of their start.
  std::vector<std::shared_ptr<FakeSandbox>> running() const;
  size_t starts() const;

 private:
  /// Guarded by the world's mutex, and apart from it: sandboxes point to their world, and nothing in there back to
  /// them.
  using Sandboxes = std::vector<std::shared_ptr<FakeSandbox>>;
  FakeDriver(std::shared_ptr<FakeWorld> world, std::shared_ptr<Sandboxes> sandboxes)
      : world_(std::move(world)), sandboxes_(std::move(sandboxes)) {}
  const std::shared_ptr<FakeWorld> world_;
  const std::shared_ptr<Sandboxes> sandboxes_;
};

}  // namespace gantry::sandbox
