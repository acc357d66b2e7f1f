#include "sandbox/spec.h"

#include <fmt/format.h>

#include "os/os.h"

namespace gantry::sandbox {

std::string_view to_string(Grade grade) {
  switch (grade) {
    case Grade::enforced:
      return "enforced";
    case Grade::best_effort:
      return "best_effort";
    case Grade::none:
      break;
  }
  return "none";
}

std::string_view to_string(ExitReason reason) {
  switch (reason) {
    case ExitReason::exited:
      return "exited";
    case ExitReason::out_of_memory:
      return "out_of_memory";
    case ExitReason::workspace:
      return "workspace";
    case ExitReason::abandoned:
      return "abandoned";
    case ExitReason::lost:
      break;
  }
  return "lost";
}

std::string ExitInfo::describe() const {
  switch (reason) {
    case ExitReason::out_of_memory:
      return fmt::format("exit {}, out of memory at {}", code, limit);
    case ExitReason::workspace:
      return fmt::format("workspace above {}", limit);
    case ExitReason::abandoned:
      return "stopped: no server came back";
    case ExitReason::lost:
      if (signal != 0) return fmt::format("killed from outside ({})", os::signal_name(signal));
      return "gone: its end was not seen";
    case ExitReason::exited:
      break;
  }
  if (signal != 0) return fmt::format("signal {} ({})", signal, os::signal_name(signal));
  return fmt::format("exit {}", code);
}

}  // namespace gantry::sandbox
