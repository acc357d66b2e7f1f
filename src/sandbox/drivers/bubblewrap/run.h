// A program beside the main one as the driver keeps it: shared by the instance, which hears of it from the
// shim, and by the Exec that the caller holds. Private to the driver.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "sandbox/exec.h"
#include "sandbox/watch.h"
#include "shim/protocol.h"

namespace gantry::sandbox::bubblewrap {

class Instance;

/// Its life ends with `finish`, which the instance calls once, before the driver's thread ends.
class Run {
 public:
  Run(const Executor& executor, std::weak_ptr<Instance> instance, uint32_t id, ExecSpec::Purpose its_purpose)
      : purpose(its_purpose),
        answered(std::make_unique<Gate>(executor)),
        executor_(executor),
        instance_(std::move(instance)),
        id_(id) {}

  const ExecSpec::Purpose purpose;

  // On the driver's thread only.
  std::unique_ptr<Gate> answered;  ///< null once somebody has waited: a caller may keep this longer than the driver
  std::optional<shim::Ran> answer;
  os::Fd master;        ///< came with the answer
  ExecStreams streams;  ///< the daemon's ends

  void finish(const ExitInfo& end);
  std::optional<ExitInfo> ended() const;
  /// From any thread.
  void signal(int number);
  Task<std::optional<ExitInfo>> wait_until(SteadyTime deadline);

 private:
  const Executor executor_;
  const std::weak_ptr<Instance> instance_;
  const uint32_t id_;
  mutable std::mutex mutex_;
  std::optional<ExitInfo> end_;  // guarded by mutex_
  Notifier finished_;
};

/// What the caller holds.
class RunExec final : public Exec {
 public:
  explicit RunExec(std::shared_ptr<Run> run) : run_(std::move(run)), streams_(std::move(run_->streams)) {}
  ~RunExec() override;
  ExecStreams& streams() override { return streams_; }
  void signal(int number) override { run_->signal(number); }
  Result<> resize(WindowSize size) override;
  Task<std::optional<ExitInfo>> wait_until(SteadyTime deadline) override { return run_->wait_until(deadline); }
  /// The descriptor that `resize` works on.
  void keep_terminal(os::Fd terminal) { terminal_ = std::move(terminal); }

 private:
  const std::shared_ptr<Run> run_;
  ExecStreams streams_;
  os::Fd terminal_;
};

}  // namespace gantry::sandbox::bubblewrap
