// The bubblewrap driver: starts, finds again, cleans up. See sandbox.h for the contract.
#pragma once

#include <atomic>
#include <map>
#include <set>
#include <thread>
#include <unordered_map>

#include "sandbox/drivers/bubblewrap/arguments.h"
#include "sandbox/drivers/bubblewrap/instance.h"
#include "sandbox/drivers/bubblewrap/seccomp.h"

namespace gantry::sandbox::bubblewrap {

class BubblewrapDriver final : public Driver {
 public:
  BubblewrapDriver(DriverParts parts, DriverOptions options);
  ~BubblewrapDriver() override;

  std::string_view name() const override { return "bubblewrap"; }
  Capabilities capabilities() const override {
    return {.listeners = true, .pause = true, .recover = true, .own_network = true};
  }
  Result<> open() override;
  void close() override;
  Task<Result<Probe>> probe() override;
  Task<Result<std::shared_ptr<Sandbox>>> start(Spec spec) override;
  Task<Recovered> recover(std::vector<Known> known, Duration patience) override;
  Task<> remove_leftovers(std::vector<InstanceId> known) override;

 private:
  using InstancePointer = std::shared_ptr<Instance>;
  // What a start has made so far, to be undone if it fails.
  struct Attempt {
    Spec spec;
    SandboxRecord record;
    pid_t bwrap = 0;
    std::optional<int> bwrap_status;
    os::Fd errors;
    InstancePointer instance;
  };

  Result<> check_machine() const;
  Result<> open_here();
  Task<Result<>> open_on_thread();
  void close_on_thread();

  Task<Result<InstancePointer>> do_start(Spec spec);
  Task<Result<>> try_start(std::shared_ptr<Attempt> attempt);
  Result<std::vector<os::Fd>> prepare_start(Attempt& attempt, os::Fd shim_end);
  Task<void> undo_start(std::shared_ptr<Attempt> attempt);
  Error explain_failure(const Attempt& attempt, Error error) const;
  Result<> check_spec(const Spec& spec) const;
  Result<uid_t> choose_uid(const Spec& spec);
  Achieved describe(const Spec& spec, uid_t uid) const;
  std::filesystem::path visible(const std::filesystem::path& path) const;
  Result<> let_pass(const std::filesystem::path& path) const;

  Task<Result<Probe>> do_probe();
  /// Who runs with a uid: sandboxes of one workspace, such as two revisions of an agent during a rollout.
  struct UidHolders {
    std::filesystem::path workspace;
    uint32_t count = 0;
  };
  /// False if sandboxes of another workspace run with it.
  bool claim_uid(uid_t uid, const std::filesystem::path& workspace);
  void release_uid(uid_t uid);

  Task<Recovered> do_recover(std::vector<Known> known, Duration patience);
  std::optional<Recovered::Dead> adopt(const Known& known, std::vector<InstancePointer>& waiting);
  Task<> do_remove_leftovers(std::vector<InstanceId> known);
  Task<void> remove_group(std::string name);

  Task<void> accept_shims(std::shared_ptr<WatchedFd> listener);
  Task<void> welcome(os::Fd connection);
  void forget(Instance& instance);

  DriverParts parts_;
  DriverOptions options_;
  bool rootless_ = true;
  uint64_t most_files_ = 0;
  Filters filters_;
  HostView host_;

  asio::io_context loop_{1};
  std::optional<asio::executor_work_guard<Executor>> guard_;
  std::thread thread_;
  std::atomic<bool> closed_ = true;
  TaskGroup tasks_;

  // On the driver's thread only.
  std::unique_ptr<spawn::Client> spawn_;
  std::unique_ptr<UsageWatch> usage_;
  std::unique_ptr<Shared> shared_;
  std::vector<std::filesystem::path> shared_dirs_;
  std::shared_ptr<WatchedFd> listener_;
  os::Fd run_fd_;
  std::unordered_map<InstanceId, InstancePointer> instances_;
  std::map<InstanceId, InstancePointer> starting_;  // null until bubblewrap was asked for
  std::map<uid_t, UidHolders> uids_;
  uid_t next_uid_ = 0;
  std::set<std::shared_ptr<WatchedFd>> greeting_;  // connections that have not said hello yet
  bool everybody_is_known_ = false;                // strangers are sent away for good
};

}  // namespace gantry::sandbox::bubblewrap
