// A server that this process starts: for `up --detach` and for the demo.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/base.h"
#include "json/json.h"
#include "os/os.h"

namespace gantry::cli {

/// Set for a server that this folder starts: it answers on stdout with its ready line, or with why there will be none
/// (`{"error": {"code", "message", "hint", "id"}}`).
inline constexpr std::string_view child_variable = "GANTRY_STARTED_BY_COMMAND";

/// The line in which such a server says why it did not start.
std::string failure_line(const Error& error);

/// `gantry up -o json` as a child in a session of its own (so that Ctrl-C does not reach it), its stderr
/// appended to a file, which gets little: what comes before its log is open, and last words. Destroyed unreleased, it
/// is killed and reaped.
class ServerChild {
 public:
  struct Options {
    std::filesystem::path program;
    std::vector<std::string> flags;
    std::filesystem::path log;
    Duration ready_timeout = std::chrono::seconds(30);
  };

  /// Starts it and waits for its ready line. The child's own error if it says why it did not start; GR0807 with the
  /// end of the file if it ends without a word or says nothing.
  static Result<ServerChild> start(const Options& options);

  ServerChild(ServerChild&&) noexcept = default;
  ServerChild& operator=(ServerChild&& other) noexcept;
  ~ServerChild();

  /// `{"url", "key_file", "pid"}`.
  const json::Value& ready() const { return ready_; }
  pid_t pid() const { return process_.pid; }
  /// Sends a signal; nothing happens if it has ended.
  void signal(int number);
  /// Waits until it has ended, at most `patience`; false if it still runs.
  bool wait(Duration patience);
  /// From now on it lives by itself.
  void release() { process_ = {}; }

 private:
  explicit ServerChild(os::Process process) : process_(std::move(process)) {}
  void end();

  os::Process process_;
  json::Value ready_;
};

}  // namespace gantry::cli
