#include "agents/agents.h"

#include <algorithm>
#include <future>

#include "agents/state.h"

namespace gantry::agents {
namespace {

using telemetry::field;

/// How long the driver may look for programs of an earlier life.
constexpr Duration recover_patience = std::chrono::seconds(5);

Task<void> recover_programs(sandbox::Driver& driver, std::vector<sandbox::Known> known,
                            std::promise<sandbox::Recovered>& promise) {
  std::vector<InstanceId> ids;
  for (const sandbox::Known& one : known) ids.push_back(one.id);
  sandbox::Recovered recovered = co_await driver.recover(std::move(known), recover_patience);
  co_await driver.remove_leftovers(std::move(ids));
  promise.set_value(std::move(recovered));
}

}  // namespace

std::optional<Verb> verb_from_string(std::string_view text) {
  if (text == "start") return Verb::start;
  if (text == "stop") return Verb::stop;
  if (text == "restart") return Verb::restart;
  if (text == "pause") return Verb::pause;
  if (text == "resume") return Verb::resume;
  return std::nullopt;
}

std::string_view to_string(Deployed::Outcome outcome) {
  switch (outcome) {
    case Deployed::Outcome::created:
      return "created";
    case Deployed::Outcome::updated:
      return "updated";
    case Deployed::Outcome::unchanged:
      return "unchanged";
  }
  return "unchanged";
}

SupervisorSettings supervisor_settings(const Options& options) {
  return {.restart = options.restart,
          .restart_reset = options.restart_reset,
          .startup_probe_min = options.startup_probe_min,
          .startup_probe_max = options.startup_probe_max,
          .crash_loop_after = options.crash_loop_after,
          .surge = options.rollout_surge};
}

AgentView with_load(const Actor& actor) {
  AgentView view = actor.published()->agent;
  for (InstanceView& instance : view.instances) instance.in_flight = actor.route()->load(instance.id).in_flight;
  return view;
}

Error Agents::State::no_agent(const Scope& scope, std::string_view name) const {
  Error error(ErrorId::GR0501, fmt::format("there is no agent '{}'", name.substr(0, 64)));
  if (const auto close = registry.closest_name(scope, name))
    return std::move(error).with_hint(fmt::format("did you mean '{}'?", *close));
  return std::move(error).with_hint("'gantry list' shows the agents");
}

// ---- Start and stop --------------------------------------------------------------------------

Result<> Agents::State::load_scope(const Scope& scope, std::vector<AgentRecord>& agents,
                                   std::vector<InstanceRecord>& instances) {
  bool are_uncounted = false;
  GANTRY_TRY_VOID(parts.database.read_blocking(scope, [&](store::Session& session) -> Result<> {
    GANTRY_TRY(std::vector<AgentRecord> some_agents, list_agents(session));
    GANTRY_TRY(std::vector<InstanceRecord> some_instances, list_instances(session));
    GANTRY_TRY(are_uncounted, has_uncounted_agents(session));
    std::ranges::move(some_agents, std::back_inserter(agents));
    std::ranges::move(some_instances, std::back_inserter(instances));
    return {};
  }));
  if (!are_uncounted) return {};
  return parts.database.write_blocking(scope, [&](store::Session& session) -> Result<> {
    GANTRY_TRY(const std::vector<AgentRecord> all, list_agents(session));
    return count_agents(session, all);
  });
}

sandbox::Recovered Agents::State::recover(const std::vector<InstanceRecord>& instances) {
  std::vector<sandbox::Known> known;
  for (const InstanceRecord& record : instances) known.push_back({record.id, world.places.instance(record.id)});
  std::promise<sandbox::Recovered> promise;
  auto recovered = promise.get_future();
  GANTRY_CHECK(tasks.spawn(parts.threads.executor(0), recover_programs(parts.sandbox, std::move(known), promise)));
  return recovered.get();
}

Agents::Agents(Parts parts, Options options) : state_(std::make_unique<State>(parts, std::move(options))) {}
Agents::~Agents() { stop(AtStop::keep_instances); }

void Agents::add_listener(Listener& listener) {
  GANTRY_CHECK(!state_->started);
  state_->listeners.push_back(&listener);
}

Result<> Agents::start() {
  GANTRY_CHECK(!state_->started);
  state_->started = true;
  for (const char* directory : {"instances", "workspaces", "revisions"})
    GANTRY_TRY_VOID(os::make_directories(state_->options.data / directory, 0755));
  GANTRY_TRY(const std::vector<Scope> scopes, state_->parts.database.scopes());
  std::vector<AgentRecord> agents;
  std::vector<InstanceRecord> instances;
  for (const Scope& scope : scopes) GANTRY_TRY_VOID(state_->load_scope(scope, agents, instances));
  const sandbox::Recovered recovered = state_->recover(instances);
  for (const sandbox::Recovered::Dead& dead : recovered.dead)
    state_->parts.logger.info("program ended while nobody watched", field("instance", dead.id),
                              field("reason", dead.exit.describe()));
  std::unordered_map<AgentId, std::vector<FoundSandbox>> found;
  for (const InstanceRecord& record : instances) {
    auto attached = std::ranges::find(recovered.attached, record.id, [](const auto& sandbox) { return sandbox->id(); });
    found[record.agent].push_back({record, attached == recovered.attached.end() ? nullptr : *attached});
  }
  for (const AgentRecord& record : agents)
    state_->registry.find_or_add(
        record, [&](const AgentRecord& one) { return state_->make_actor(one, std::move(found[one.id])); });
  state_->parts.logger.info("agents loaded", field("agents", agents.size()),
                            field("found_running", recovered.attached.size()));
  state_->collect_soon();
  return {};
}

void Agents::stop(AtStop at_stop) {
  if (state_->stopping.exchange(true)) return;
  for (const std::shared_ptr<Actor>& actor : state_->registry.all()) {
    actor->end(at_stop);
    actor->changed().notify();
  }
  state_->loops.join();
  state_->tasks.join();
}

// ---- Lookups ---------------------------------------------------------------------------------

std::shared_ptr<Route> Agents::find(const Scope& scope, std::string_view name) const {
  return state_->registry.routes().find(scope, name);
}

Result<AgentView> Agents::get(const Scope& scope, std::string_view name) const {
  const std::shared_ptr<Actor> actor = state_->registry.find(scope, name);
  if (actor == nullptr) return std::unexpected(state_->no_agent(scope, name));
  return with_load(*actor);
}

AgentPage Agents::list(const Scope& scope, const ListOptions& options) const {
  AgentPage page;
  state_->registry.each(scope, options.after, [&](const std::shared_ptr<Actor>& actor) {
    if (options.status.has_value() && actor->published()->agent.status != *options.status) return true;
    if (page.agents.size() == options.limit) {
      page.next = page.agents.empty() ? "" : page.agents.back().name;
      return false;
    }
    page.agents.push_back(with_load(*actor));
    return true;
  });
  return page;
}

Result<AgentHealth> Agents::health(const Scope& scope, std::string_view name) const {
  const std::shared_ptr<Actor> actor = state_->registry.find(scope, name);
  if (actor == nullptr) return std::unexpected(state_->no_agent(scope, name));
  return actor->published()->health;
}

Agents::Totals Agents::totals() const {
  Totals totals;
  for (const std::shared_ptr<Actor>& actor : state_->registry.all()) {
    const auto published = actor->published();
    ++totals.agents;
    switch (published->agent.status) {
      case AgentStatus::running:
        ++totals.running;
        break;
      case AgentStatus::stopped:
      case AgentStatus::paused:
        ++totals.stopped;
        break;
      case AgentStatus::starting:
      case AgentStatus::degraded:
      case AgentStatus::crash_loop:
        ++totals.degraded;
    }
    totals.instances += published->agent.instances.size();
    for (const InstanceView& instance : published->agent.instances)
      totals.ready += instance.status == InstanceStatus::ready;
  }
  return totals;
}

Workdirs& Agents::workdirs() { return state_->workdirs; }

}  // namespace gantry::agents
