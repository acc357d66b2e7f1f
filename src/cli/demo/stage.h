// The server of the demo: a temporary directory, a child process that can be killed and started again,
// the agents on it, and the promise that nothing of it stays behind.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/api_client.h"
#include "cli/child.h"
#include "cli/session.h"

namespace gantry::cli {

/// A program that the demo runs.
struct DemoProgram {
  std::string agent;          ///< `counter`
  std::string_view language;  ///< `Python`
  std::string file;           ///< `app.py`
  std::string_view text;
  std::vector<std::string> command;
  std::string path;  ///< where it takes items and lists them: `/items`
};

/// Owns the server and the files.
class DemoStage {
 public:
  explicit DemoStage(Session& session) : session_(session) {}
  ~DemoStage();  ///< clear()
  DemoStage(const DemoStage&) = delete;

  /// Makes the directory and starts the server.
  Result<> open();
  /// Starts the server on the same data directory, after `kill_server`.
  Result<> start_server();
  /// SIGKILL, and waits until it is gone.
  void kill_server();
  /// Writes the program into the directory and deploys it.
  Result<> deploy(const DemoProgram& program);
  /// Waits until all are ready.
  Result<> wait_until_ready(const std::vector<DemoProgram>& programs, Duration timeout);
  /// SIGKILL to the program of the agent's first instance; its pid.
  Result<int64_t> kill_agent(const std::string& agent);
  /// Removes the agents, stops the server, deletes the directory. Idempotent; goes on whatever fails.
  void clear();

  ApiClient& api() { return *api_; }
  const ServerAddress& address() const { return address_; }
  pid_t server_pid() const { return server_ ? server_->pid() : 0; }

 private:
  /// Programs that may be left if the server cannot be asked to end them.
  void remember_instances(const json::Value& agent);
  void kill_remembered();

  Session& session_;
  std::filesystem::path directory_;
  std::optional<ServerChild> server_;
  ServerAddress address_;
  std::optional<ApiClient> api_;
  std::vector<std::string> agents_;
  std::vector<os::ProcessIdentity> instances_;
};

/// The first of the usual directories that holds the program; a sandbox sees no others.
std::optional<std::filesystem::path> find_in_usual_places(std::string_view program);

}  // namespace gantry::cli
