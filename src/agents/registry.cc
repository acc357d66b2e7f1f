#include "agents/registry.h"

namespace gantry::agents {

size_t RouteTable::Hash::operator()(const KeyView& key) const {
  const std::hash<std::string_view> hash;
  size_t value = hash(key.name);
  // Most names differ already; the scope only has to matter.
  for (const std::string* part : {&key.scope.tenant, &key.scope.domain, &key.scope.environment})
    value = value * 31 + hash(*part);
  return value;
}

std::shared_ptr<Route> RouteTable::find(const Scope& scope, std::string_view name) const {
  const KeyView key{scope, name};
  const auto shard = shards_[Hash()(key) % shard_count].load();
  auto found = shard->find(key);
  return found == shard->end() ? nullptr : found->second;
}

void RouteTable::put(std::shared_ptr<Route> route) {
  Key key{route->scope(), route->name()};
  std::lock_guard lock(change_);
  Snapshot<Shard>& shard = shards_[Hash()(key) % shard_count];
  auto next = std::make_shared<Shard>(*shard.load());
  next->insert_or_assign(std::move(key), std::move(route));
  shard.store(std::move(next));
}

void RouteTable::erase(const Scope& scope, std::string_view name, AgentId agent) {
  const KeyView key{scope, name};
  std::lock_guard lock(change_);
  Snapshot<Shard>& shard = shards_[Hash()(key) % shard_count];
  auto next = std::make_shared<Shard>(*shard.load());
  auto found = next->find(key);
  if (found == next->end() || found->second->agent() != agent) return;
  next->erase(found);
  shard.store(std::move(next));
}

std::shared_ptr<Actor> Registry::find(const Scope& scope, std::string_view name) const {
  std::lock_guard lock(mutex_);
  auto in_scope = actors_.find(scope);
  if (in_scope == actors_.end()) return nullptr;
  auto found = in_scope->second.find(name);
  return found == in_scope->second.end() ? nullptr : found->second;
}

std::shared_ptr<Actor> Registry::find_or_add(const AgentRecord& record,
                                             const std::function<std::shared_ptr<Actor>(const AgentRecord&)>& make) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<Actor>& slot = actors_[record.scope][record.name];
  if (slot == nullptr || slot->id() != record.id) {
    slot = make(record);
    routes_.put(slot->route());
  }
  return slot;
}

void Registry::erase(AgentId agent, const Scope& scope, const std::string& name) {
  std::lock_guard lock(mutex_);
  auto in_scope = actors_.find(scope);
  if (in_scope == actors_.end()) return;
  auto found = in_scope->second.find(name);
  if (found == in_scope->second.end() || found->second->id() != agent) return;
  in_scope->second.erase(found);
  routes_.erase(scope, name, agent);
}

void Registry::each(const Scope& scope, const std::string& after,
                    const std::function<bool(const std::shared_ptr<Actor>&)>& take) const {
  std::lock_guard lock(mutex_);
  auto in_scope = actors_.find(scope);
  if (in_scope == actors_.end()) return;
  const auto& by_name = in_scope->second;
  for (auto it = after.empty() ? by_name.begin() : by_name.upper_bound(after); it != by_name.end(); ++it)
    if (!take(it->second)) return;
}

std::vector<std::shared_ptr<Actor>> Registry::all() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Actor>> all;
  for (const auto& [scope, by_name] : actors_)
    for (const auto& [name, actor] : by_name) all.push_back(actor);
  return all;
}

std::optional<std::string> Registry::closest_name(const Scope& scope, std::string_view name) const {
  std::lock_guard lock(mutex_);
  auto in_scope = actors_.find(scope);
  if (in_scope == actors_.end()) return std::nullopt;
  std::vector<std::string_view> names;
  names.reserve(in_scope->second.size());
  for (const auto& [other, actor] : in_scope->second) names.push_back(other);
  const auto best = closest(name, names);
  if (!best.has_value()) return std::nullopt;
  return std::string(*best);
}

}  // namespace gantry::agents
