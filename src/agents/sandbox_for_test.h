// A machine made of scripts for the tests of this folder: programs that answer, refuse, die and freeze
// as a test says, and that outlive the `Agents` that started them, as real ones do.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "os/os.h"
#include "sandbox/sandbox.h"

namespace gantry::agents {

/// What a program does when it is started and asked.
struct Script {
  std::optional<Error> start_error;
  /// What a connection reads; nullopt refuses connections.
  std::optional<std::string> answer = "HTTP/1.1 200 OK\r\n\r\n";
};

class ScriptedSandbox final : public sandbox::Sandbox {
 public:
  ScriptedSandbox(sandbox::Spec its_spec, int64_t its_pid, Time started_at, Script script)
      : spec(std::move(its_spec)), pid_(its_pid), started_at_(started_at), script_(std::move(script)) {
    achieved_ = {.driver = "scripted",
                 .rootless = true,
                 .uid = 200001,
                 .namespaces = {"net"},
                 .seccomp = sandbox::Grade::enforced};
    achieved_.limits.push_back({"memory", "512Mi", sandbox::Grade::enforced, "cgroup v2 memory.max"});
  }

  InstanceId id() const override { return spec.id; }
  pid_t pid() const override { return static_cast<pid_t>(pid_); }
  Time started_at() const override { return started_at_; }
  const sandbox::Achieved& achieved() const override { return achieved_; }

  Task<Result<os::Fd>> dial(uint16_t) override {
    std::lock_guard lock(mutex_);
    if (!script_.answer.has_value() || exit_.has_value())
      co_return fail(Code::unavailable, "connect: Connection refused");
    int ends[2];
    // SAFETY: socketpair(2) into a local array; both ends are owned at once.
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
      co_return fail_errno("socketpair");
    os::Fd ours(ends[0]);
    os::Fd theirs(ends[1]);
    // The answer is there before the question; the other end stays open until the program ends.
    if (!script_.answer->empty()) static_cast<void>(os::write_all(theirs, *script_.answer));
    peers_.push_back(std::move(theirs));
    co_return ours;
  }
  Result<os::Fd> listener(uint16_t) override { return fail(Code::not_found, "no listeners"); }
  Task<Result<>> signal(int, sandbox::SignalTarget) override { co_return Result<>(); }
  Task<sandbox::ExitInfo> stop(Duration) override {
    die({.reason = sandbox::ExitReason::exited, .code = 143, .signal = 15});
    co_return *exited();
  }
  Task<Result<>> pause() override {
    frozen = true;
    co_return Result<>();
  }
  Task<Result<>> resume() override {
    frozen = false;
    co_return Result<>();
  }
  Task<Result<sandbox::Stats>> stats() override {
    co_return sandbox::Stats{.memory = mebibytes(10), .cpu_time = cpu_time, .pids = 3};
  }
  Task<sandbox::ExitInfo> wait_exit() override { co_return sandbox::ExitInfo{}; }
  std::optional<sandbox::ExitInfo> exited() const override {
    std::lock_guard lock(mutex_);
    return exit_;
  }
  void on_exit(std::function<void(const sandbox::ExitInfo&)> callback) override {
    {
      std::lock_guard lock(mutex_);
      if (!exit_.has_value()) {
        callbacks_.push_back(std::move(callback));
        return;
      }
    }
    callback(*exited());
  }

  /// The program ends now.
  void die(sandbox::ExitInfo info) {
    std::vector<std::function<void(const sandbox::ExitInfo&)>> callbacks;
    {
      std::lock_guard lock(mutex_);
      if (exit_.has_value()) return;
      exit_ = info;
      callbacks.swap(callbacks_);
      peers_.clear();
    }
    for (auto& callback : callbacks) callback(info);
  }
  void set_script(Script script) {
    std::lock_guard lock(mutex_);
    script_ = std::move(script);
  }

  const sandbox::Spec spec;
  std::atomic<bool> frozen = false;
  Duration cpu_time{};

 private:
  const int64_t pid_;
  const Time started_at_;
  sandbox::Achieved achieved_;
  mutable std::mutex mutex_;
  Script script_;
  std::optional<sandbox::ExitInfo> exit_;
  std::vector<std::function<void(const sandbox::ExitInfo&)>> callbacks_;
  std::vector<os::Fd> peers_;
};

class ScriptedDriver final : public sandbox::Driver {
 public:
  explicit ScriptedDriver(Clock& clock) : clock_(clock) {}

  std::string_view name() const override { return "scripted"; }
  sandbox::Capabilities capabilities() const override { return {.pause = true, .recover = true}; }
  Result<> open() override { return {}; }
  void close() override {}
  Task<Result<sandbox::Probe>> probe() override { co_return sandbox::Probe{}; }

  Task<Result<std::shared_ptr<sandbox::Sandbox>>> start(sandbox::Spec spec) override {
    std::lock_guard lock(mutex_);
    ++starts_;
    if (script_.start_error.has_value()) co_return std::unexpected(*script_.start_error);
    auto running = boxes_.find(spec.id);
    if (running != boxes_.end() && !running->second->exited().has_value())
      co_return fail(Code::conflict, "{} runs already", spec.id);
    const InstanceId id = spec.id;
    auto box = std::make_shared<ScriptedSandbox>(std::move(spec), 1000 + starts_, clock_.now(), script_);
    boxes_[id] = box;
    co_return box;
  }
  Task<sandbox::Recovered> recover(std::vector<sandbox::Known> known, Duration) override {
    std::lock_guard lock(mutex_);
    sandbox::Recovered recovered;
    for (const sandbox::Known& one : known) {
      auto found = boxes_.find(one.id);
      if (found != boxes_.end() && !found->second->exited().has_value())
        recovered.attached.push_back(found->second);
      else
        recovered.dead.push_back({one.id, {}});
    }
    co_return recovered;
  }
  Task<> remove_leftovers(std::vector<InstanceId>) override { co_return; }

  /// For programs that start from now on.
  void set_script(Script script) {
    std::lock_guard lock(mutex_);
    script_ = std::move(script);
  }
  int starts() const {
    std::lock_guard lock(mutex_);
    return starts_;
  }
  std::shared_ptr<ScriptedSandbox> box(InstanceId id) const {
    std::lock_guard lock(mutex_);
    auto found = boxes_.find(id);
    return found == boxes_.end() ? nullptr : found->second;
  }
  size_t running() const {
    std::lock_guard lock(mutex_);
    return static_cast<size_t>(
        std::count_if(boxes_.begin(), boxes_.end(), [](const auto& one) { return !one.second->exited().has_value(); }));
  }

 private:
  Clock& clock_;
  mutable std::mutex mutex_;
  Script script_;
  int starts_ = 0;
  std::map<InstanceId, std::shared_ptr<ScriptedSandbox>> boxes_;
};

}  // namespace gantry::agents
