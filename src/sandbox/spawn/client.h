// The daemon's end of the spawn process. Lives on the driver's thread, all calls from there.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "async/async.h"
#include "sandbox/spawn/protocol.h"
#include "sandbox/watch.h"

namespace gantry::sandbox::spawn {

/// How the spawn process is started, again when it dies.
struct ClientOptions {
  std::filesystem::path program;
  Setup setup;
  Duration timeout = std::chrono::seconds(10);              ///< of one answer
  Duration restart_after = std::chrono::milliseconds(200);  ///< if it dies
};

/// Sends requests and matches answers. If the process dies, what waits fails with `unavailable` and a new
/// one is started; sandboxes live on.
class Client {
 public:
  Client(Executor executor, Clock& clock, ClientOptions options);
  ~Client();

  /// Starts the process and waits for its `ready`.
  Task<Result<Ready>> open();
  /// Closes the connection, which ends the process, and reaps it. Idempotent.
  void close();

  /// `on_ended` is called if bubblewrap ends before `release`.
  Task<Result<Started>> start(Start start, std::vector<os::Fd> fds, std::function<void(int status)> on_ended);
  void release(pid_t pid);

  /// One verb on one control group: freeze, thaw, kill, remove.
  Task<Result<>> act(std::string verb, std::string name);
  /// The names of all control groups of this data directory.
  Task<Result<std::vector<std::string>>> list();

  const Ready& ready() const { return ready_; }
  /// Of the process that runs now, 0 if there is none.
  pid_t pid() const { return process_.pid; }

 private:
  struct Call {
    explicit Call(const Executor& executor) : answered(executor) {}
    Gate answered;
    std::optional<json::Value> answer;
  };
  Result<> launch();
  Task<void> run();
  Task<void> receive(std::shared_ptr<WatchedFd> control);
  void take(const json::Value& message);
  void lose();
  Task<void> end_process();
  Task<Result<json::Value>> call(json::Object message, std::vector<os::Fd> fds);

  Executor executor_;
  Clock& clock_;
  ClientOptions options_;
  TaskGroup tasks_;
  std::shared_ptr<WatchedFd> control_;
  os::Process process_;
  bool closing_ = false;
  bool is_ready_ = false;
  Notifier state_changed_;
  Ready ready_;
  std::optional<Error> error_;  // of the last launch
  uint64_t serial_ = 0;
  std::map<uint64_t, std::shared_ptr<Call>> calls_;
  std::map<pid_t, std::function<void(int)>> starting_;
  std::map<pid_t, int> ended_early_;  // before the caller of `start` was resumed
};

}  // namespace gantry::sandbox::spawn
