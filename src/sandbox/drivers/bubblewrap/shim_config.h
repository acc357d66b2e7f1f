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
/// The records of a run.
std::string run_config(const ExecSpec& spec);
/// A file in memory that nobody can change any more.
Result<os::Fd> sealed_file(std::string_view content);
/// What the shim could not do when it started a program, in words; GR0302 if it was the execve.
Result<> check_stage(shim::Stage stage, int error);

}  // namespace gantry::sandbox::bubblewrap
