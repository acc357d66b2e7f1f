// Which agents there are: routes for the proxy, actors for everybody else. Private to agents/.
#pragma once

#include <array>
#include <map>
#include <unordered_map>

#include "agents/actor.h"

namespace gantry::agents {

/// Routes by scope and name. Readers take no lock; a change copies one of many small tables, so that a
/// deploy costs the same with 100,000 agents as with one.
class RouteTable {
 public:
  std::shared_ptr<Route> find(const Scope& scope, std::string_view name) const;
  void put(std::shared_ptr<Route> route);
  /// Unless another agent has taken the name.
  void erase(const Scope& scope, std::string_view name, AgentId agent);

 private:
  static constexpr size_t shard_count = 256;
  struct Key {
    Scope scope;
    std::string name;
  };
  struct KeyView {
    const Scope& scope;
    std::string_view name;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(const Key& key) const { return (*this)(KeyView{key.scope, key.name}); }
    size_t operator()(const KeyView& key) const;
  };
  struct Equal {
    using is_transparent = void;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return a.name == b.name && a.scope == b.scope;
    }
  };
  using Shard = std::unordered_map<Key, std::shared_ptr<Route>, Hash, Equal>;

  std::array<Snapshot<Shard>, shard_count> shards_;
  std::mutex change_;
};

/// Actors in the order of scope and name. Thread-safe.
class Registry {
 public:
  std::shared_ptr<Actor> find(const Scope& scope, std::string_view name) const;
  /// The actor of that agent, made by `make` if there is none or only one of an earlier agent.
  std::shared_ptr<Actor> find_or_add(const AgentRecord& record,
                                     const std::function<std::shared_ptr<Actor>(const AgentRecord&)>& make);
  void erase(AgentId agent, const Scope& scope, const std::string& name);
  /// Those of a scope behind `after`; `take` returns false to end.
  void each(const Scope& scope, const std::string& after,
            const std::function<bool(const std::shared_ptr<Actor>&)>& take) const;
  std::vector<std::shared_ptr<Actor>> all() const;
  /// The name in the scope that is closest to a mistyped one.
  std::optional<std::string> closest_name(const Scope& scope, std::string_view name) const;

  const RouteTable& routes() const { return routes_; }

 private:
  mutable std::mutex mutex_;
  std::map<Scope, std::map<std::string, std::shared_ptr<Actor>, std::less<>>> actors_;
  RouteTable routes_;
};

}  // namespace gantry::agents
