// Reads what the instances of many agents wrote, merged in order of time. Private to agents/.
//
// Memory is bounded whatever is asked for: each instance has one chunk of lines in memory, all together about
// `LogReaderLimits::memory`. The last lines are found by reading the files backwards from their ends, so that a tail
// costs what it prints and not what was kept. One look of `next` reads a bounded part; the caller sees in between
// whether anybody still listens.
#pragma once

#include "agents/log_filter.h"
#include "agents/registry.h"

namespace gantry::agents {

struct LogReaderLimits {
  size_t lines_at_once = 1000;              ///< of one answer of `next`, and of one chunk
  size_t memory = size_t{16} << 20;         ///< of all chunks, about
  size_t bytes_at_once = size_t{16} << 20;  ///< that one look reads from the disk, about
  size_t max_instances = 2000;              ///< that are merged at once
};

/// Where the reader finds agents and files; all outlive it.
struct LogSources {
  ActorWorld& world;
  const Registry& registry;
  LogReaderLimits limits;
};

/// A reader over the log files of the instances that `options` names; a follower also finds those that appear later.
/// GR0511 for conditions that mean nothing or too many instances, `not_found` for an instance that is not there.
Result<std::unique_ptr<LogReader>> make_log_reader(LogSources sources, Scope scope, LogOptions options);

}  // namespace gantry::agents
