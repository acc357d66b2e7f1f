// Agents beside each other: what depends on what, and what differs between two specs of one.
#include <algorithm>

#include "core/core.h"

namespace gantry::core {
namespace {

using Leaves = std::map<std::string, json::Value>;

// Maps are entered, lists and scalars are leaves.
void add_leaves(Leaves& leaves, const std::string& path, const json::Value& value) {
  const json::Object* object = value.if_object();
  if (object == nullptr) {
    leaves[path] = value;
    return;
  }
  for (const auto& member : *object) {
    const std::string key(member.key());
    add_leaves(leaves, path.empty() ? key : fmt::format("{}.{}", path, key), member.value());
  }
}

Leaves leaves_of(const AgentSpec& spec) {
  json::Object fields = spec_json(spec);
  fields.erase("env_from");
  for (const auto& [name, reference] : spec.env_from) fields["env"].get_object()[name] = reference;
  Leaves leaves;
  add_leaves(leaves, "", fields);
  for (const auto& [name, value] : spec.labels) leaves["labels." + name] = json::Value(value);
  return leaves;
}

json::Value value_at(const Leaves& leaves, const std::string& field) {
  auto found = leaves.find(field);
  return found == leaves.end() ? json::Value(nullptr) : found->second;
}

// A value that one side has in clear and the other as a reference may be the secret itself.
void hide_literals(std::vector<Change>& changes, const AgentSpec& before, const AgentSpec& after) {
  constexpr std::string_view prefix = "env.";
  for (Change& change : changes) {
    if (!change.field.starts_with(prefix)) continue;
    const std::string name = change.field.substr(prefix.size());
    const bool was_reference = before.env_from.contains(name), is_reference = after.env_from.contains(name);
    if (was_reference == is_reference) continue;
    (was_reference ? change.to : change.from) = nullptr;
    change.hidden = true;
  }
}

void add_hidden(std::vector<Change>& changes, const AgentSpec& before, const AgentSpec& after) {
  for (const auto& [name, reference] : after.env_from) {
    auto old_reference = before.env_from.find(name);
    if (old_reference == before.env_from.end() || old_reference->second != reference) continue;
    auto from = before.env.find(name), to = after.env.find(name);
    if (from == before.env.end() || to == after.env.end() || from->second == to->second) continue;
    changes.push_back({"env." + name, json::Value(reference), json::Value(reference), true});
  }
}

}  // namespace

Diagnostic unknown_dependency(const OutsideDependency& dependency, std::span<const std::string_view> known) {
  const auto close = closest(dependency.name, known);
  return {.rule = Rule::GS0313,
          .message = fmt::format("agent `{}` depends on `{}`, which does not exist", dependency.agent,
                                 dependency.name.substr(0, 64)),
          .file = "",
          .span = dependency.span,
          .field = dependency.field,
          .help = close ? fmt::format("did you mean `{}`?", *close) : "describe that agent too, or remove the line"};
}

std::vector<size_t> start_order(std::span<const AgentSpec* const> agents) {
  std::map<std::string_view, size_t> indices;
  for (size_t i = 0; i < agents.size(); ++i) indices.emplace(agents[i]->name, i);
  std::vector<size_t> order;
  std::vector<bool> seen(agents.size(), false);
  // An agent on the stack with the number of its dependencies that were looked at.
  std::vector<std::pair<size_t, size_t>> stack;
  for (size_t first = 0; first < agents.size(); ++first) {
    if (seen[first]) continue;
    seen[first] = true;
    stack.emplace_back(first, 0);
    while (!stack.empty()) {
      auto& [agent, next] = stack.back();
      if (next == agents[agent]->depends_on.size()) {
        order.push_back(agent);
        stack.pop_back();
        continue;
      }
      auto found = indices.find(agents[agent]->depends_on[next++]);
      if (found == indices.end() || seen[found->second]) continue;
      seen[found->second] = true;
      stack.emplace_back(found->second, 0);
    }
  }
  return order;
}

std::vector<Change> differences(const AgentSpec& before, const AgentSpec& after) {
  const Leaves from = leaves_of(before), to = leaves_of(after);
  std::vector<Change> changes;
  for (const auto& [field, value] : from)
    if (value_at(to, field) != value) changes.push_back({field, value, value_at(to, field)});
  for (const auto& [field, value] : to)
    if (!from.contains(field)) changes.push_back({field, nullptr, value});
  hide_literals(changes, before, after);
  add_hidden(changes, before, after);
  std::ranges::sort(changes, {}, &Change::field);
  return changes;
}

}  // namespace gantry::core
