// One running sandbox of this driver. State lives on the driver's thread; the public calls hop to it, but
// for `dial` and `exited`, which are thread-safe themselves.
#pragma once

#include <map>
#include <set>

#include "sandbox/drivers/bubblewrap/record.h"
#include "sandbox/drivers/bubblewrap/run.h"
#include "sandbox/drivers/bubblewrap/socket_pool.h"
#include "sandbox/drivers/bubblewrap/usage_watch.h"
#include "sandbox/sandbox.h"
#include "sandbox/spawn/client.h"
#include "sandbox/watch.h"
#include "shim/protocol.h"

namespace gantry::sandbox::bubblewrap {

class Instance;

/// What all instances of a driver share; outlives them.
struct Shared {
  Executor executor;  ///< of the driver's thread
  Clock& clock;
  const DriverOptions& options;
  spawn::Client& spawn;
  UsageWatch& usage;
  TaskGroup& tasks;
  uint64_t host_network = 0;
  std::function<void(Instance&)> on_end;  ///< on the driver's thread, once for each instance

  /// Runs a coroutine on the driver's thread and comes back.
  template <class T>
  Task<T> on_thread(Task<T> task) const {
    co_return co_await asio::co_spawn(executor, std::move(task), use_task);
  }
};

class Instance final : public Sandbox, public std::enable_shared_from_this<Instance> {
 public:
  Instance(Shared& shared, SandboxRecord record, std::filesystem::path instance_dir);
  ~Instance() override;

  InstanceId id() const override { return record_.id; }
  pid_t pid() const override { return record_.shim.pid; }
  Time started_at() const override { return record_.started_at; }
  const Achieved& achieved() const override { return record_.achieved; }
  Task<Result<os::Fd>> dial(uint16_t port) override;
  Result<os::Fd> listener(uint16_t port) override;
  Task<Result<>> signal(int number, SignalTarget target) override;
  Task<ExitInfo> stop(Duration grace) override;
  Task<Result<>> pause() override;
  Task<Result<>> resume() override;
  Task<Result<std::unique_ptr<Exec>>> exec(ExecSpec spec) override;
  Task<Result<Stats>> stats() override;
  Task<ExitInfo> wait_exit() override;
  std::optional<ExitInfo> exited() const override;
  void on_exit(std::function<void(const ExitInfo&)> callback) override;

  // The rest is for the driver, on its thread.

  const SandboxRecord& record() const { return record_; }
  SandboxRecord& record() { return record_; }
  /// Takes the conversation over: from the socket pair of a start or from a shim that came back. The
  /// first hello is awaited with `greeted`.
  void attach(os::Fd control);
  /// The shim's hello, checked; it names the pid and the network. Errors end the instance.
  Task<Result<>> greeted(Duration patience);
  /// Sends the configuration and waits until the program runs. GR0302 if it cannot.
  Task<Result<>> configure(const std::string& config, Duration patience);
  /// Accepts a shim that came back, which speaks `version`; false if it is not the one that was recorded.
  bool reattach(os::Fd control, const os::Packet& hello, uint32_t version);
  bool attached() const { return control_ != nullptr; }
  /// Gets hold of the shim's process; `unavailable` if it has ended. Before the program is started, so that
  /// a program that ends at once is not missed.
  Result<> open_process();
  /// From now on the end is noticed and reported.
  void watch();
  /// Opens the workspace to the usage watch.
  void watch_usage();
  /// Makes an instance that was found dead: `exited` is set, nothing else works.
  void bury();
  /// Kills everything now; the end is reported as always.
  void kill_now();
  /// To a program that `exec` started, if it has not ended.
  void signal_run(uint32_t id, int number);
  /// Lets go without ending it: who waits for anything of it goes on.
  void detach();
  /// A frozen shim cannot come back: lets it run for that moment.
  Task<void> thaw_to_reattach();
  Task<void> freeze_again();

 private:
  Task<void> serve(std::shared_ptr<WatchedFd> control);
  void take(const shim::Message& message, os::Packet packet);
  Result<> check_hello(const os::Packet& packet);
  void take_sockets(std::vector<os::Fd> fds);
  Result<> check_sockets(std::span<const os::Fd> fds, bool listening) const;
  Result<> send(shim::MessageType type, shim::Message message, std::span<const int> fds = {});
  void ask_for_sockets(uint32_t count);
  Task<Result<os::Fd>> wait_for_socket();

  Task<Result<std::unique_ptr<Exec>>> do_exec(ExecSpec spec);
  Result<> check_exec(const ExecSpec& spec) const;
  Result<> send_run(const ExecSpec& spec, uint32_t id, Run& run);
  void take_run(const shim::Message& message, os::Packet& packet);
  void lose_runs();

  Task<void> watch_end(std::shared_ptr<WatchedFd> process);
  Task<void> end();
  Task<void> kill_group();
  void publish(ExitInfo info);
  /// The end, or `lost` if nobody will see it; nullopt while it is awaited.
  std::optional<ExitInfo> outcome() const;
  Task<Result<>> do_signal(int number, SignalTarget target);
  Task<ExitInfo> do_stop(Duration grace);
  Task<Result<>> do_pause();
  Task<Result<>> do_resume();
  Task<Result<Stats>> do_stats();
  Task<void> ask_usage();
  std::string group_name() const { return record_.id.to_string(); }

  Shared& shared_;
  SandboxRecord record_;
  const std::filesystem::path instance_dir_;
  SocketPool pool_;

  // On the driver's thread only.
  std::shared_ptr<WatchedFd> control_;
  std::shared_ptr<WatchedFd> process_;
  Gate hello_, started_;
  std::optional<Error> hello_error_;
  std::optional<shim::Started> start_report_;
  std::optional<shim::Exited> exited_;
  uint32_t shim_version_ = shim::protocol_version;
  std::map<uint32_t, std::shared_ptr<Run>> runs_;  // under way
  uint32_t last_run_ = 0;
  std::shared_ptr<Gate> usage_gate_;
  shim::Usage usage_{};
  bool paused_ = false;
  bool stopped_for_workspace_ = false;

  mutable std::mutex mutex_;
  std::map<uint16_t, os::Fd> listeners_;                         // guarded by mutex_
  std::optional<ExitInfo> end_;                                  // guarded by mutex_
  bool detached_ = false;                                        // guarded by mutex_
  std::vector<std::function<void(const ExitInfo&)>> callbacks_;  // guarded by mutex_
  Notifier ended_;
};

}  // namespace gantry::sandbox::bubblewrap
