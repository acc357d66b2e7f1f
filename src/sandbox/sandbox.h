// Isolation: one program in one sandbox, and the pipes that lead into it.
//
//   Driver        starts sandboxes and finds them again after a restart of the daemon
//   Sandbox       one running program: dial into it, signal it, freeze it, wait for its end
//   Spec          what to run and its bounds; Achieved: what this machine really gave (spec.h)
//   Exec          a program beside the main one (exec.h)
//   read_logs     captured output (logs.h)
//
// Every sandbox has its own user, pid, mount, net, ipc, uts and cgroup namespace; its network has only
// `lo`. `gantry-shim` is pid 1 inside. It makes sockets *in there* and hands them out, so the daemon
// connects to the program with no veth, no bridge and no published port (ARCHITECTURE section 5).
// A sandbox does not depend on the daemon: it outlives it for `Spec::reattach_window` and is found
// again by `recover`. A program of the same machine's other sandboxes, or one that guesses, cannot
// take its place: the daemon checks the pid, the uid and the network namespace of who answers.
//
// The composition root owns the driver and names it (`make_bubblewrap_driver`); nobody else knows
// which one it is. Everything here is thread-safe; Tasks resume on the caller's io_context. The driver
// runs one thread of its own for control traffic and one that measures workspaces.
//
// Example:
//
//   GANTRY_CO_TRY(auto box, co_await driver.start(spec));
//   GANTRY_CO_TRY(os::Fd socket, co_await box->dial(8000));
//   …
//   sandbox::ExitInfo end = co_await box->stop(std::chrono::seconds(10));   // end.describe(): "exit 0"
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/async.h"
#include "base/base.h"
#include "os/os.h"
#include "sandbox/exec.h"
#include "sandbox/logs.h"
#include "sandbox/spec.h"

namespace gantry::sandbox {

/// Whom a signal goes to.
enum class SignalTarget {
  main,        ///< the program that `Spec::command` names
  everything,  ///< every process in the sandbox but the shim
};

/// One running program. Shared by the driver (until its end is known) and by whoever holds it.
class Sandbox {
 public:
  virtual ~Sandbox() = default;

  virtual InstanceId id() const = 0;
  /// The pid, on the host, of pid 1 inside.
  virtual pid_t pid() const = 0;
  virtual Time started_at() const = 0;
  virtual const Achieved& achieved() const = 0;

  /// A socket connected to 127.0.0.1:`port` inside; non-blocking. Never waits for the program: the shim
  /// made the sockets before. `unavailable` (GR0306) if nothing listens, no answer came within
  /// `DriverOptions::dial_timeout` or the sandbox is gone; `cancelled` is not used.
  virtual Task<Result<os::Fd>> dial(uint16_t port) = 0;
  /// A duplicate of the listening socket that `Spec::listeners` asked for; non-blocking. Who connects
  /// to it is this sandbox and nobody else. `not_found` if it was not asked for.
  virtual Result<os::Fd> listener(uint16_t port) = 0;

  virtual Task<Result<>> signal(int number, SignalTarget target) = 0;
  /// TERM to everything, `grace`, then KILL of the whole tree. Returns when nothing of it is left.
  /// Works on a paused sandbox and on one that ended already.
  virtual Task<ExitInfo> stop(Duration grace) = 0;
  /// Freezes every process (cgroup freezer, else SIGSTOP). New connections wait in the backlog.
  virtual Task<Result<>> pause() = 0;
  virtual Task<Result<>> resume() = 0;

  /// Starts a program beside the main one; returns once its `execve` has succeeded. GR0302 if it cannot be
  /// executed, `conflict` while the sandbox is paused, `exhausted` above 60 at a time, `unsupported` if the driver, or
  /// the older shim of a sandbox from before an upgrade, cannot.
  virtual Task<Result<std::unique_ptr<Exec>>> exec(ExecSpec) {
    co_return fail(Code::unsupported, "this driver runs no program beside the main one");
  }

  virtual Task<Result<Stats>> stats() = 0;

  /// Waits for the end of the program and of everything that it started.
  virtual Task<ExitInfo> wait_exit() = 0;
  /// The end if it is known already.
  virtual std::optional<ExitInfo> exited() const = 0;
  /// `callback` is called once, from the driver's thread or, if it ended already, from the caller's.
  /// It must not block.
  virtual void on_exit(std::function<void(const ExitInfo&)> callback) = 0;
};

/// What a driver can do at all, on any machine.
struct Capabilities {
  bool listeners = false;  ///< sockets made inside before the program starts
  bool pause = false;
  bool recover = false;
  bool own_network = false;  ///< no network but `lo`
};

/// The answer of `Driver::probe`: facts, seen in a sandbox that was really started.
struct Probe {
  Achieved achieved;
  Duration start_time{};           ///< from `start` to the end of `execve`
  std::string version;             ///< of the isolation tool
  std::vector<std::string> notes;  ///< what is missing and how to get it, for `gantry doctor`
};

/// The result of `Driver::recover`.
struct Recovered {
  struct Dead {
    InstanceId id;
    ExitInfo exit;
  };
  std::vector<std::shared_ptr<Sandbox>> attached;
  std::vector<Dead> dead;
};

/// An instance that `Driver::start` started before, perhaps in an earlier life of the daemon.
struct Known {
  InstanceId id;
  std::filesystem::path instance_dir;
};

/// Starts sandboxes. Owned by the composition root; outlives every coroutine that uses it.
class Driver {
 public:
  virtual ~Driver() = default;
  virtual std::string_view name() const = 0;
  virtual Capabilities capabilities() const = 0;

  /// Takes the run directory and starts the helper process. Blocks; once, before anything else.
  virtual Result<> open() = 0;
  /// Lets go of every sandbox without ending it: they wait for the next daemon. Whoever waits for the end of
  /// one is told `lost`. Idempotent; blocks. A sandbox may be kept after that, and not be asked for anything.
  virtual void close() = 0;

  /// Starts a real sandbox with a trivial program and reports what it got.
  virtual Task<Result<Probe>> probe() = 0;
  /// Starts the program and returns once its `execve` has succeeded. GR0301 if the sandbox cannot be
  /// made, GR0302 if the program cannot be executed, `conflict` if the instance runs already.
  virtual Task<Result<std::shared_ptr<Sandbox>>> start(Spec spec) = 0;
  /// Finds what earlier lives of the daemon started. Those that do not answer until `patience` has
  /// passed are killed and reported as dead.
  virtual Task<Recovered> recover(std::vector<Known> known, Duration patience) = 0;
  /// Kills what this data directory's daemons started and nobody in `known` claims. After `recover`.
  virtual Task<> remove_leftovers(std::vector<InstanceId> known) = 0;
};

/// How to make sandboxes on this machine.
struct DriverOptions {
  /// The driver's own directory: control socket, shim, generated /etc. Made if it is missing.
  std::filesystem::path run_dir;
  /// Absolute directories below which `Spec::app_dir`, `workspace_dir` and `instance_dir` are; they exist.
  /// As root, sandboxes see them even when they are below a directory that only root may enter.
  std::vector<std::filesystem::path> shared_dirs;
  /// What is started as `<spawn_program> __spawn`: the program itself.
  std::filesystem::path spawn_program = "/proc/self/exe";
  std::filesystem::path bwrap_program = "/usr/bin/bwrap";
  /// Further host paths that programs see read-only at the same place, such as /opt/python.
  std::vector<std::filesystem::path> host_paths;
  /// As root, each sandbox runs with a uid and gid of its own from here.
  uint32_t first_uid = 200'000;
  uint32_t last_uid = 265'535;

  uint32_t max_sandboxes = 10'000;
  uint32_t pool_first = 16;     ///< unconnected sockets that a new sandbox gets
  uint32_t pool_batch = 64;     ///< asked for at a time later, at most 250
  uint32_t pool_low_water = 8;  ///< fewer than this asks for more
  Duration start_timeout = std::chrono::seconds(20);
  Duration dial_timeout = std::chrono::seconds(10);
  Duration usage_interval = std::chrono::seconds(2);  ///< between two measurements of a workspace, at least
};

/// What the driver is built on; both outlive it.
struct DriverParts {
  Clock& clock;
  Random& random;
};

/// bubblewrap (≥ 0.8) as root or as an ordinary user; kernel 5.14 or newer.
std::unique_ptr<Driver> make_bubblewrap_driver(DriverParts parts, DriverOptions options);

/// The hidden role `__spawn`: the single-threaded process that has the privileges to make sandboxes. It
/// serves the daemon at the other end of the SEQPACKET socket `control_fd` until that end closes, and
/// returns the exit code of the process. Sandboxes outlive it.
int spawn_process_main(int control_fd);

}  // namespace gantry::sandbox
