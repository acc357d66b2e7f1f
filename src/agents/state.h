// What is behind the door of this folder. Private to agents/.
#pragma once

#include "agents/actor.h"
#include "agents/event_log.h"
#include "agents/records.h"
#include "agents/registry.h"

namespace gantry::agents {

/// The part of the options that the supervisors get.
SupervisorSettings supervisor_settings(const Options& options);

/// The parts of `Agents` and what its calls share.
class Agents::State {
 public:
  State(Parts its_parts, Options its_options)
      : parts(its_parts),
        options(std::move(its_options)),
        workdirs(options.data, parts.blocking, parts.random, options.workdirs),
        events({.database = parts.database,
                .threads = parts.threads,
                .clock = parts.clock,
                .logger = parts.logger,
                .tasks = tasks},
               {.kept = options.events_kept}),
        world{.parts = parts,
              .settings = supervisor_settings(options),
              .places = {options.data},
              .workdirs = workdirs,
              .dependencies = dependencies,
              .events = events,
              .loops = loops,
              .tasks = tasks,
              .forget = [this](AgentId agent, const Scope& scope, const std::string& name) {
                registry.erase(agent, scope, name);
                collect_soon();
              }} {}

  Parts parts;
  Options options;
  Workdirs workdirs;
  Dependencies dependencies;
  TaskGroup loops;
  TaskGroup tasks;
  EventLog events;
  ActorWorld world;
  Registry registry;
  std::vector<Listener*> listeners;
  std::atomic<bool> stopping = false;
  bool started = false;

  std::shared_ptr<Actor> make_actor(const AgentRecord& record, std::vector<FoundSandbox> found) {
    auto actor = std::make_shared<Actor>(world, record, listeners);
    actor->start(std::move(found));
    return actor;
  }
  std::shared_ptr<Actor> actor_of(const AgentRecord& record) {
    return registry.find_or_add(record, [this](const AgentRecord& one) { return make_actor(one, {}); });
  }

  /// What the configuration says of the quotas of a scope.
  Limits configured_quotas(const Scope& scope) const {
    return scope == options.quota_scope ? options.quotas : Limits{};
  }
  Error no_agent(const Scope& scope, std::string_view name) const;
  /// For GR0508: with the name that is closest to the one that is missing.
  Error with_close_dependency(const Scope& scope, const core::AgentSpec& spec, Error error) const;
  Result<> load_scope(const Scope& scope, std::vector<AgentRecord>& agents, std::vector<InstanceRecord>& instances);
  sandbox::Recovered recover(const std::vector<InstanceRecord>& instances);
  Task<Result<AgentView>> await_settled(std::shared_ptr<Actor> actor, uint64_t order, VerbOptions wait);
  Task<Result<>> check_spec(core::AgentSpec spec);
  Task<Result<AgentView>> obey(AgentRecord record, Order order, VerbOptions wait);
  void collect_soon();
  Task<void> collect();
  Result<> collect_blocking();
};

/// The published view with what changes too often to be published.
AgentView with_load(const Actor& actor);

}  // namespace gantry::agents
