// Who waits for whom: the readiness of every agent and those that want to hear of it. Private to agents/.
//
// An agent is ready as soon as one of its instances is: from then on somebody answers at its address. What
// happens later to those it depends on is nothing to an agent that runs.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/base.h"
#include "core/core.h"

namespace gantry::agents {

/// Thread-safe. Calls of `wake` come from any thread, never with a lock held.
class Dependencies {
 public:
  using Wake = std::function<void()>;

  /// Calls `wake` whenever one of `names` becomes ready, ceases to be, comes or goes. Replaces what this agent
  /// watched before; no names end it.
  void watch(AgentId who, const Scope& scope, std::vector<std::string> names, Wake wake);
  /// An agent as it is now.
  void tell(AgentId agent, const Scope& scope, const std::string& name, bool ready);
  /// The agent is gone; nothing if another one has taken its name.
  void forget(AgentId agent, const Scope& scope, const std::string& name);

  struct Missing {
    std::string name;
    bool exists = false;
  };
  /// Those of `names` that are not ready, in order.
  std::vector<Missing> missing(const Scope& scope, const std::vector<std::string>& names) const;

 private:
  using Key = std::pair<Scope, std::string>;
  struct Entry {
    std::optional<AgentId> agent;
    bool ready = false;
    std::map<AgentId, Wake> watchers;
  };
  void end_watch(AgentId who);
  void set(const Key& key, std::optional<AgentId> agent, bool ready, std::vector<Wake>& wakes);

  mutable std::mutex mutex_;
  std::map<Key, Entry> entries_;
  std::map<AgentId, std::vector<Key>> watched_;
};

/// `waits for 'a'`, `waits for 'a' and 'b', which does not exist`; empty if nothing is missing.
std::string in_words(const std::vector<Dependencies::Missing>& missing);

/// What an agent depends on; nullopt if there is no such agent.
using DependenciesOf = std::function<Result<std::optional<std::vector<std::string>>>(const std::string& name)>;
/// GR0508 if a dependency of `spec` does not exist, GR0509 if one of them waits for `spec` itself.
Result<> check_dependencies(const core::AgentSpec& spec, const DependenciesOf& dependencies_of);

}  // namespace gantry::agents
