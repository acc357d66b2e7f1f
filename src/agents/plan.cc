#include "agents/plan.h"

#include <algorithm>
#include <map>

#include "agents/state.h"

namespace gantry::agents {
namespace {

bool has(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

using Specs = std::map<std::string, std::shared_ptr<const core::AgentSpec>>;

std::vector<std::string> names_of(const std::vector<const core::AgentSpec*>& specs) {
  std::vector<std::string> names;
  for (size_t index : core::start_order(specs)) names.push_back(specs[index]->name);
  return names;
}

PlanStep step_of(const core::AgentSpec& spec, const core::AgentSpec* before) {
  PlanStep step{.name = spec.name, .stack = std::string(spec.stack())};
  if (before == nullptr) {
    step.action = PlanStep::Action::create;
    return step;
  }
  step.changes = core::differences(*before, spec);
  if (step.changes.empty()) return step;
  step.action = PlanStep::Action::change;
  step.replaces_instances = !same_program(*before, spec);
  return step;
}

/// Who depends on `name` among those that are there afterwards.
std::vector<std::string> dependents_of(const std::string& name, const Specs& after) {
  std::vector<std::string> dependents;
  for (const auto& [other, spec] : after)
    if (has(spec->depends_on, name)) dependents.push_back(other);
  return dependents;
}

}  // namespace

std::string_view to_string(PlanStep::Action action) {
  switch (action) {
    case PlanStep::Action::create:
      return "create";
    case PlanStep::Action::change:
      return "change";
    case PlanStep::Action::none:
      return "none";
    case PlanStep::Action::remove:
      return "remove";
  }
  return "none";
}

json::Value to_json(const PlanStep& step) {
  json::Array changes, needed_by;
  for (const core::Change& change : step.changes)
    changes.push_back(
        json::Object{{"field", change.field}, {"from", change.from}, {"to", change.to}, {"hidden", change.hidden}});
  for (const std::string& name : step.needed_by) needed_by.emplace_back(name);
  return json::Object{{"name", step.name},
                      {"action", to_string(step.action)},
                      {"stack", step.stack.empty() ? json::Value(nullptr) : json::Value(step.stack)},
                      {"changes", std::move(changes)},
                      {"replaces_instances", step.replaces_instances},
                      {"needed_by", std::move(needed_by)}};
}

Result<std::vector<PlanStep>> Agents::plan(const Scope& scope, const std::vector<core::AgentSpec>& specs,
                                           const PlanOptions& options) const {
  Specs before;
  state_->registry.each(scope, "", [&](const std::shared_ptr<Actor>& actor) {
    const auto published = actor->published();
    if (!published->gone) before[published->agent.name] = published->agent.spec;
    return true;
  });
  Specs after = before;
  std::vector<const core::AgentSpec*> wanted, surplus;
  for (const core::AgentSpec& spec : specs) {
    wanted.push_back(&spec);
    after[spec.name] = std::make_shared<const core::AgentSpec>(spec);
  }
  for (const auto& [name, spec] : before)
    if (!spec->stack().empty() && has(options.prune, spec->stack()) &&
        std::ranges::find(specs, name, &core::AgentSpec::name) == specs.end()) {
      surplus.push_back(spec.get());
      after.erase(name);
    }
  for (const core::AgentSpec& spec : specs) {
    if (spec.replicas > state_->options.max_replicas)
      return fail(ErrorId::GR0506, "agent '{}': {} replicas, at most {} are allowed", spec.name, spec.replicas,
                  state_->options.max_replicas);
    auto checked =
        check_dependencies(spec, [&](const std::string& name) -> Result<std::optional<std::vector<std::string>>> {
          auto found = after.find(name);
          if (found == after.end()) return std::nullopt;
          return found->second->depends_on;
        });
    if (!checked.has_value())
      return std::unexpected(state_->with_close_dependency(scope, spec, std::move(checked).error()));
  }
  std::vector<PlanStep> steps;
  for (size_t index : core::start_order(wanted)) {
    auto found = before.find(wanted[index]->name);
    steps.push_back(step_of(*wanted[index], found == before.end() ? nullptr : found->second.get()));
  }
  // Who depends on others goes before them.
  std::vector<std::string> leaving = names_of(surplus);
  std::ranges::reverse(leaving);
  for (const std::string& name : leaving)
    steps.push_back({.action = PlanStep::Action::remove,
                     .name = name,
                     .stack = std::string(before[name]->stack()),
                     .needed_by = dependents_of(name, after)});
  return steps;
}

}  // namespace gantry::agents
