// Reads what the instances of one agent wrote. Private to agents/.
#pragma once

#include "agents/actor.h"

namespace gantry::agents {

/// A reader over the log files of an agent's instances; a follower also finds instances that appear
/// later.
std::unique_ptr<LogReader> make_log_reader(std::shared_ptr<Actor> actor, ActorWorld& world, LogOptions options,
                                           size_t lines_at_once);

}  // namespace gantry::agents
