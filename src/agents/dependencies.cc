#include "agents/dependencies.h"

#include <algorithm>

namespace gantry::agents {

// ---- Readiness -------------------------------------------------------------------------------

void Dependencies::end_watch(AgentId who) {
  auto found = watched_.find(who);
  if (found == watched_.end()) return;
  for (const Key& key : found->second) {
    auto entry = entries_.find(key);
    if (entry == entries_.end()) continue;
    entry->second.watchers.erase(who);
    if (entry->second.watchers.empty() && !entry->second.agent.has_value()) entries_.erase(entry);
  }
  watched_.erase(found);
}

void Dependencies::watch(AgentId who, const Scope& scope, std::vector<std::string> names, Wake wake) {
  std::lock_guard lock(mutex_);
  end_watch(who);
  if (names.empty()) return;
  std::vector<Key>& keys = watched_[who];
  for (std::string& name : names) {
    keys.emplace_back(scope, std::move(name));
    entries_[keys.back()].watchers[who] = wake;
  }
}

void Dependencies::set(const Key& key, std::optional<AgentId> agent, bool ready, std::vector<Wake>& wakes) {
  Entry& entry = entries_[key];
  const bool changed = entry.agent.has_value() != agent.has_value() || entry.ready != ready;
  entry.agent = agent;
  entry.ready = ready;
  if (!changed) return;
  for (const auto& [who, wake] : entry.watchers) wakes.push_back(wake);
  if (!agent.has_value() && entry.watchers.empty()) entries_.erase(key);
}

void Dependencies::tell(AgentId agent, const Scope& scope, const std::string& name, bool ready) {
  std::vector<Wake> wakes;
  {
    std::lock_guard lock(mutex_);
    set({scope, name}, agent, ready, wakes);
  }
  for (const Wake& wake : wakes) wake();
}

void Dependencies::forget(AgentId agent, const Scope& scope, const std::string& name) {
  std::vector<Wake> wakes;
  {
    std::lock_guard lock(mutex_);
    end_watch(agent);
    const Key key{scope, name};
    auto found = entries_.find(key);
    if (found == entries_.end() || found->second.agent != agent) return;
    set(key, std::nullopt, false, wakes);
  }
  for (const Wake& wake : wakes) wake();
}

std::vector<Dependencies::Missing> Dependencies::missing(const Scope& scope,
                                                         const std::vector<std::string>& names) const {
  std::vector<Missing> missing;
  if (names.empty()) return missing;
  std::lock_guard lock(mutex_);
  for (const std::string& name : names) {
    auto found = entries_.find({scope, name});
    const bool exists = found != entries_.end() && found->second.agent.has_value();
    if (!exists || !found->second.ready) missing.push_back({name, exists});
  }
  return missing;
}

std::string in_words(const std::vector<Dependencies::Missing>& missing) {
  std::string words;
  for (size_t i = 0; i < missing.size(); ++i) {
    words += i == 0 ? "waits for " : i + 1 == missing.size() ? " and " : ", ";
    words += fmt::format("'{}'{}", missing[i].name, missing[i].exists ? "" : ", which does not exist");
  }
  return words;
}

// ---- The graph -------------------------------------------------------------------------------

namespace {

/// The way from one agent to the one that is looked for, depth first, each agent visited once.
class CircleSearch {
 public:
  CircleSearch(const std::string& wanted, const DependenciesOf& dependencies_of)
      : wanted_(wanted), dependencies_of_(dependencies_of) {}

  Result<bool> reaches(const std::string& first) {
    std::vector<std::string> open{first};
    came_from_[first] = "";
    while (!open.empty()) {
      const std::string name = std::move(open.back());
      open.pop_back();
      if (name == wanted_) return true;
      GANTRY_TRY(const auto dependencies, dependencies_of_(name));
      if (!dependencies.has_value()) continue;
      for (const std::string& next : *dependencies)
        if (came_from_.try_emplace(next, name).second) open.push_back(next);
    }
    return false;
  }

  /// `a -> b -> a`, once it was reached.
  std::string circle() const {
    std::string text = wanted_;
    for (std::string name = came_from_.at(wanted_); !name.empty(); name = came_from_.at(name))
      text = fmt::format("{} -> {}", name, text);
    return fmt::format("{} -> {}", wanted_, text);
  }

 private:
  const std::string& wanted_;
  const DependenciesOf& dependencies_of_;
  std::map<std::string, std::string> came_from_;
};

}  // namespace

Result<> check_dependencies(const core::AgentSpec& spec, const DependenciesOf& dependencies_of) {
  for (const std::string& name : spec.depends_on) {
    if (name != spec.name) {
      GANTRY_TRY(const auto found, dependencies_of(name));
      if (!found.has_value())
        return fail(ErrorId::GR0508, "agent '{}' depends on '{}', which does not exist", spec.name, name.substr(0, 64));
    }
    CircleSearch search(spec.name, dependencies_of);
    GANTRY_TRY(const bool is_circle, search.reaches(name));
    if (is_circle)
      return std::unexpected(
          Error(ErrorId::GR0509, fmt::format("agents depend on each other in a circle: {}", search.circle()))
              .with_hint("take one of these dependencies out, and deploy that agent first"));
  }
  return {};
}

}  // namespace gantry::agents
