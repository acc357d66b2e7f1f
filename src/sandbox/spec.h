// What a sandbox is asked to be and what it turned out to be: plain values. Part of the door
// (sandbox.h).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/base.h"

namespace gantry::sandbox {

/// Bounds on resources; 0 means no bound.
struct Limits {
  Bytes memory = mebibytes(512);  ///< all processes and their tmpfs; at least 4Mi
  MilliCpu cpu{1000};
  uint32_t pids = 256;             ///< processes and threads, the shim is one of them
  Bytes tmp = mebibytes(64);       ///< of /tmp and of /dev/shm, each
  Bytes workspace = gibibytes(1);  ///< files below /workspace
  uint32_t open_files = 8192;      ///< of each process
};

/// Captured output: `file_bytes` × `files` is the most that is kept on disk.
struct LogBounds {
  Bytes file_bytes = mebibytes(10);
  uint32_t files = 3;
};

/// Something of the host that the program sees. `host` is absolute and has no links.
struct Volume {
  enum class Access { read_write, read_only };
  std::filesystem::path host;
  std::string place;  ///< an absolute path inside; below /app also where the program's files have no such directory
  Access access = Access::read_only;
};

/// What to run. Paths are of the host and absolute.
struct Spec {
  InstanceId id;
  std::string name;                  ///< the host name inside: a name (SPEC section 2)
  std::vector<std::string> command;  ///< [0] is searched in PATH inside unless it has a `/`
  /// The whole environment, but PATH, HOME, USER, LANG and TMPDIR which have defaults.
  std::vector<std::pair<std::string, std::string>> env;
  std::filesystem::path app_dir;        ///< read-only at /app, the working directory; empty means an empty one
  std::filesystem::path workspace_dir;  ///< read-write at /workspace; made if missing, given to the program's uid
  std::vector<Volume> volumes;          ///< what the program's user may not use as asked refuses the start (GR0301)
  std::filesystem::path instance_dir;   ///< the driver's: record and `logs/`; made if missing
  Limits limits;
  std::vector<uint16_t> listeners;  ///< ports of 127.0.0.1 inside that the daemon accepts on; at most 16
  LogBounds logs;
  /// How long the program goes on without a daemon.
  Duration reattach_window = std::chrono::seconds(30);
};

/// How far a limit holds.
enum class Grade {
  enforced,     ///< by the kernel, for all processes together
  best_effort,  ///< per process, or by watching: a determined program overshoots for a while
  none,
};
std::string_view to_string(Grade grade);

/// One limit and how it is kept: `memory`, `512Mi`, enforced, `cgroup v2 memory.max`.
struct AchievedLimit {
  std::string name;   ///< memory, cpu, pids, tmp, workspace, files
  std::string limit;  ///< as in YAML; `none` if there is no bound
  Grade grade = Grade::none;
  std::string how;
};

/// What isolation this machine gave.
struct Achieved {
  std::string driver;
  bool rootless = false;
  uid_t uid = 0;                        ///< on the host; never 0
  std::vector<std::string> namespaces;  ///< those that differ from the daemon's: user pid mount ipc uts cgroup net
  Grade seccomp = Grade::none;
  Grade pause = Grade::none;  ///< enforced by a freezer, best effort by SIGSTOP
  std::vector<AchievedLimit> limits;
};

/// Why a sandbox ended.
enum class ExitReason {
  exited,         ///< by itself or by a signal, see `code` and `signal`
  out_of_memory,  ///< the kernel killed it at its memory limit
  workspace,      ///< the driver stopped it: /workspace above its limit
  abandoned,      ///< no daemon came back within the re-attach window
  lost,           ///< it is gone without a word: killed from outside if `signal` says so, else nobody saw how
};
std::string_view to_string(ExitReason reason);

/// How a sandbox ended.
struct ExitInfo {
  ExitReason reason = ExitReason::lost;
  int code = 0;       ///< exit code, or 128 + signal
  int signal = 0;     ///< 0 if it exited by itself
  std::string limit;  ///< the limit that was reached, for out_of_memory and workspace
  std::optional<Time> at;
  Duration cpu_time{};
  Bytes max_rss;

  /// In words: `exit 1`, `signal 11 (SIGSEGV)`, `exit 137, out of memory at 512Mi`,
  /// `workspace above 1Gi`.
  std::string describe() const;
  bool success() const { return reason == ExitReason::exited && code == 0; }
};

/// Use of resources now. What cannot be known is 0.
struct Stats {
  Bytes memory;
  Duration cpu_time{};  ///< since the start
  uint64_t pids = 0;
  uint64_t oom_kills = 0;  ///< processes that the kernel killed at the memory limit
  Bytes workspace;         ///< at the last measurement
};

}  // namespace gantry::sandbox
