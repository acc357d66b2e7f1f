// Child processes and pidfds. A pid is a number that the kernel gives away again; a pidfd is not.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/base.h"
#include "os/fd.h"

namespace gantry::os {

/// Descriptor `from` of this process is `to` in the child.
struct FdMapping {
  int from;
  int to;
};

/// Whether the child gets a session of its own, so that signals of the terminal do not reach it.
enum class Session { inherit, own };

/// What to start.
struct SpawnOptions {
  std::filesystem::path program;
  std::vector<std::string> arguments;                   ///< with argv[0]
  std::optional<std::vector<std::string>> environment;  ///< `NAME=value`; nullopt: that of this process
  std::vector<FdMapping> fds;                           ///< all others are closed by CLOEXEC
  Session session = Session::inherit;
};

/// A child.
struct Process {
  pid_t pid = 0;
  Fd pidfd;
};

/// Starts a program with default signal dispositions. Safe with other threads (posix_spawn(3)). The
/// error is that of execve(2). The caller reaps it with `wait_process`.
Result<Process> spawn_process(const SpawnOptions& options);

/// `not_found` if there is no such process. Only a proof of identity as long as the caller knows by other
/// means that the process has not ended and been replaced; see `ProcessIdentity`.
Result<Fd> open_pidfd(pid_t pid);
/// `not_found` if it has ended.
Result<> signal_process(const Fd& pidfd, int number);
/// True if the process has ended (as a zombie or for good).
Result<bool> process_ended(const Fd& pidfd);
/// Reaps a child: its wait status, nullopt if it runs.
Result<std::optional<int>> reap_process(const Fd& pidfd);
/// Waits for the end of a child and reaps it.
Result<int> wait_process(const Fd& pidfd);

/// Raises the limit on open descriptors of this process to what it may have, and returns that.
Result<uint64_t> raise_descriptor_limit();

/// Tells one life of a pid from another.
struct ProcessIdentity {
  pid_t pid = 0;
  uint64_t start_ticks = 0;  ///< since boot, field 22 of /proc/PID/stat
  uid_t uid = 0;             ///< effective
  friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;
};
/// `not_found` if there is no such process.
Result<ProcessIdentity> identify_process(pid_t pid);

/// The process and everything that descends from it, at most `most`; those that end meanwhile are missing.
std::vector<pid_t> process_tree(pid_t root, size_t most);

/// Field 22 of the text of /proc/PID/stat, whatever the program calls itself; nullopt if it is malformed.
std::optional<uint64_t> start_ticks_of_stat(std::string_view stat);

}  // namespace gantry::os
