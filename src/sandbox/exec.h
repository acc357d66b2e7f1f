// A program beside the main one, in a sandbox that runs already: `gantry exec`, probes. Part of the door
// (sandbox.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "async/async.h"
#include "base/base.h"
#include "os/os.h"
#include "sandbox/spec.h"

namespace gantry::sandbox {

/// Of a terminal, in characters.
struct WindowSize {
  uint16_t rows = 24;
  uint16_t columns = 80;
};

/// What to run. It has the limits, the filters, the uid and the environment of the main program.
struct ExecSpec {
  std::vector<std::string> command;                      ///< [0] is searched in PATH inside unless it has a `/`
  std::vector<std::pair<std::string, std::string>> env;  ///< instead of, or besides, the main program's
  std::string directory = "/app";                        ///< inside
  /// A few places are kept for probes, so that sessions cannot make a program look ill.
  enum class Purpose { session, probe } purpose = Purpose::session;
  /// With a terminal of the sandbox's own; without, stdin, stdout and stderr are pipes.
  std::optional<WindowSize> terminal;
};

/// The daemon's ends, non-blocking. With a terminal both `input` and `output` are its master, `errors` is none, and
/// a read fails with EIO once the program is gone.
struct ExecStreams {
  os::Fd input;  ///< of its stdin; closing it is the end of input
  os::Fd output;
  os::Fd errors;
};

/// One such program. It is killed when this is destroyed, when the daemon goes, and with its sandbox. Thread-safe but
/// for `streams`.
class Exec {
 public:
  virtual ~Exec() = default;
  /// To take from; the descriptors are the caller's then.
  virtual ExecStreams& streams() = 0;
  /// To its process group. No effect once it has ended.
  virtual void signal(int number) = 0;
  /// `invalid` without a terminal.
  virtual Result<> resize(WindowSize size) = 0;
  /// Waits for its end, nullopt if the deadline passed first; `lost` if the sandbox or the daemon's hold on it ended
  /// before. Output may still be in the streams.
  virtual Task<std::optional<ExitInfo>> wait_until(SteadyTime deadline) = 0;
  /// The same without a deadline.
  Task<ExitInfo> wait() { co_return *co_await wait_until(SteadyTime::max()); }
};

}  // namespace gantry::sandbox
