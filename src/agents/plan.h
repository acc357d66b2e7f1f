// What a deploy would do: plain values and their JSON. Part of the door (agents.h).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "json/json.h"

namespace gantry::agents {

/// What happens to one agent.
struct PlanStep {
  enum class Action { create, change, none, remove };
  Action action = Action::none;
  std::string name;
  std::string stack;  ///< to which it belongs; empty for none
  std::vector<core::Change> changes;
  /// The change replaces the running instances; otherwise they take it over.
  bool replaces_instances = false;
  /// Agents that stay and depend on one that is removed.
  std::vector<std::string> needed_by;
};
std::string_view to_string(PlanStep::Action action);
json::Value to_json(const PlanStep& step);

/// What is planned for.
struct PlanOptions {
  /// Agents of these stacks that no spec describes are removed.
  std::vector<std::string> prune;
};

}  // namespace gantry::agents
