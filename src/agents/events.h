// What happened to agents and their instances, kept for people: `gantry events`. Part of the door (agents.h).
//
// A deed of a caller (deploy, scale, a verb, remove) is written in the transaction of the deed itself. What happens to
// programs is written a moment later, many at once: it survives a crash of the server, not always one of the machine.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "json/json.h"

namespace gantry::agents {

/// One thing that happened.
struct Event {
  std::string type;  ///< one of `event_types()`
  std::string agent;
  std::optional<InstanceId> instance;
  std::optional<uint32_t> replica;
  uint32_t revision = 0;  ///< number of the revision that was deployed or started; 0 if it does not matter
  std::string reason;     ///< in words; may be empty
};

/// The same with its place in the order of all.
struct EventView {
  uint64_t seq = 0;
  Time at;
  Event event;
};
json::Value to_json(const EventView& view);

/// Every type: `agent.deploy`, `instance.exit`, …
std::vector<std::string_view> event_types();
/// The types that a word names: one of them, or all that begin (`instance`) or end (`exit`) with it. Empty for none.
std::vector<std::string_view> event_types_named(std::string_view word);

/// Which events to read.
struct EventFilter {
  std::vector<std::string> agents;  ///< empty for all
  std::vector<std::string> types;   ///< words of `event_types_named`; empty for all
  std::optional<Time> since, until;
  size_t limit = 100;
  uint64_t before_seq = 0;                 ///< newest first, only older ones; 0 for the newest
  std::optional<uint64_t> after_seq = {};  ///< instead: oldest first, only newer ones
};

}  // namespace gantry::agents
