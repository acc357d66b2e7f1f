// The configuration that the shim gets: what to run, where, and under which per-process limits.
#pragma once

#include <string>

#include "sandbox/drivers/bubblewrap/seccomp.h"
#include "sandbox/sandbox.h"
#include "shim/protocol.h"

namespace gantry::sandbox::bubblewrap {

/// Which limits the shim must set because no control group does.
struct ProcessLimits {
  bool memory = false;
  bool pids = false;
  uint64_t most_files = 0;  ///< what this process may have itself
};

/// The records of shim/protocol.h for a spec.
std::string shim_config(const Spec& spec, const Filters& filters, const ProcessLimits& limits);

}  // namespace gantry::sandbox::bubblewrap
