// Programs that the daemon starts beside the main one, for `gantry exec` and for probes.
#pragma once

#include <sys/types.h>

#include "shim/channel.h"
#include "shim/config.h"

namespace gantry::shim {

/// Obeys a `run` and answers with `ran`. Takes the descriptors.
void start_run(int control, const Run& run, Descriptors& descriptors, const Config& main);
/// A child has ended: says `run_ended` if it was a run.
void note_run(int control, pid_t pid, int wait_status);
/// To the process group of a run that has not ended.
void signal_run(const RunSignal& signal);
/// Nobody waits for them any more.
void kill_runs();

}  // namespace gantry::shim
