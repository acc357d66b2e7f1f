#include "agents/agents.h"

#include <algorithm>
#include <future>

#include "agents/actor.h"
#include "agents/logs.h"
#include "agents/records.h"
#include "agents/registry.h"

namespace gantry::agents {
namespace {

using telemetry::field;

/// An upload may wait so long for the deploy that names it.
constexpr Duration unused_workdir_grace = std::chrono::hours(24);
/// How long the driver may look for programs of an earlier life.
constexpr Duration recover_patience = std::chrono::seconds(5);

SupervisorSettings settings_of(const Options& options) {
  return {.restart = options.restart,
          .restart_reset = options.restart_reset,
          .startup_probe_min = options.startup_probe_min,
          .startup_probe_max = options.startup_probe_max,
          .crash_loop_after = options.crash_loop_after,
          .surge = options.rollout_surge};
}

Intent intent_of(Verb verb) {
  switch (verb) {
    case Verb::start:
    case Verb::restart:
    case Verb::resume:
      return Intent::run;
    case Verb::pause:
      return Intent::pause;
    case Verb::stop:
      return Intent::stop;
  }
  return Intent::run;
}

Order order_of(Verb verb) {
  if (verb == Verb::restart) return Order::restart;
  return verb == Verb::start ? Order::hurry : Order::apply;
}

/// The view with what changes too often to be published.
AgentView with_load(const Actor& actor) {
  AgentView view = actor.published()->agent;
  for (InstanceView& instance : view.instances) instance.in_flight = actor.route()->load(instance.id).in_flight;
  return view;
}

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

class Agents::State {
 public:
  State(Parts its_parts, Options its_options)
      : parts(its_parts),
        options(std::move(its_options)),
        workdirs(options.data, parts.blocking, parts.random, options.workdirs),
        world{.parts = parts,
              .settings = settings_of(options),
              .places = {options.data},
              .workdirs = workdirs,
              .loops = loops,
              .tasks = tasks,
              .forget = [this](AgentId agent, const Scope& scope, const std::string& name) {
                registry.erase(agent, scope, name);
                collect_soon();
              }} {}

  Parts parts;
  Options options;
  Workdirs workdirs;
  TaskGroup loops;
  TaskGroup tasks;
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

  Error no_agent(const Scope& scope, std::string_view name) const;
  Result<> load_scope(const Scope& scope, std::vector<AgentRecord>& agents, std::vector<InstanceRecord>& instances);
  sandbox::Recovered recover(const std::vector<InstanceRecord>& instances);
  Task<Result<AgentView>> await_settled(std::shared_ptr<Actor> actor, uint64_t order, VerbOptions wait);
  Task<Result<>> check_spec(core::AgentSpec spec);
  Task<Result<AgentView>> obey(AgentRecord record, Order order, VerbOptions wait);
  void collect_soon();
  Task<void> collect();
  Result<> collect_blocking();
};

Error Agents::State::no_agent(const Scope& scope, std::string_view name) const {
  Error error(ErrorId::GR0501, fmt::format("there is no agent '{}'", name.substr(0, 64)));
  if (const auto close = registry.closest_name(scope, name))
    return std::move(error).with_hint(fmt::format("did you mean '{}'?", *close));
  return std::move(error).with_hint("'gantry list' shows the agents");
}

// ---- Start and stop --------------------------------------------------------------------------

Result<> Agents::State::load_scope(const Scope& scope, std::vector<AgentRecord>& agents,
                                   std::vector<InstanceRecord>& instances) {
  return parts.database.read_blocking(scope, [&](store::Session& session) -> Result<> {
    GANTRY_TRY(std::vector<AgentRecord> some_agents, list_agents(session));
    GANTRY_TRY(std::vector<InstanceRecord> some_instances, list_instances(session));
    std::ranges::move(some_agents, std::back_inserter(agents));
    std::ranges::move(some_instances, std::back_inserter(instances));
    return {};
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

// ---- Changes ---------------------------------------------------------------------------------

Task<Result<>> Agents::State::check_spec(core::AgentSpec spec) {
  if (spec.replicas > options.max_replicas)
    co_return fail(ErrorId::GR0506, "{} replicas, at most {} are allowed", spec.replicas, options.max_replicas);
  if (spec.workdir.empty()) co_return Result<>();
  auto found = co_await workdirs.find(spec.workdir);
  if (!found.has_value() || !found->has_value())
    co_return std::unexpected(Error(ErrorId::GR0502, fmt::format("workdir '{}' was not uploaded", spec.workdir))
                                  .with_hint("upload it with POST /v1/workdirs and name its digest"));
  co_return Result<>();
}

Task<Result<Deployed>> Agents::deploy(Scope scope, core::AgentSpec spec) {
  State& state = *state_;
  auto checked = co_await state.check_spec(spec);
  if (!checked.has_value()) co_return std::unexpected(std::move(checked).error().wrap("deploy '" + spec.name + "'"));
  const NewIds ids{.agent = AgentId::make(state.parts.clock, state.parts.random),
                   .revision = RevisionId::make(state.parts.clock, state.parts.random),
                   .now = state.parts.clock.now()};
  const DeployLimits limits{.max_agents = state.options.max_agents, .revisions_kept = state.options.revisions_kept};
  auto deployed = co_await state.parts.database.write(
      scope, [&](store::Session& session) { return agents::deploy(session, spec, ids, limits); });
  if (!deployed.has_value()) co_return std::unexpected(std::move(deployed).error().wrap("deploy '" + spec.name + "'"));
  if (state.stopping) co_return fail(Code::unavailable, "the server is stopping");
  const Deployed::Outcome outcome = deployed->outcome;
  const std::shared_ptr<Actor> actor = state.actor_of(deployed->agent);
  // One that is created starts with its record.
  if (outcome == Deployed::Outcome::updated) {
    auto taken = co_await state.await_settled(actor, actor->order(deployed->agent, Order::apply), {});
    if (!taken.has_value()) co_return std::unexpected(std::move(taken).error());
    state.collect_soon();
  }
  state.parts.logger.info("agent deployed", field("agent", spec.name), field("result", to_string(outcome)),
                          field("revision", deployed->agent.revision_number));
  co_return Deployed{outcome, with_load(*actor)};
}

Task<Result<AgentView>> Agents::State::await_settled(std::shared_ptr<Actor> actor, uint64_t order, VerbOptions wait) {
  // That the order is taken over is a matter of microseconds; only then does the state mean anything.
  const SteadyTime deadline = parts.clock.steady() + wait.wait.value_or(std::chrono::seconds(10));
  for (;;) {
    const Notifier::Ticket ticket = actor->changed().ticket();
    const auto published = actor->published();
    const bool is_taken = published->orders >= order || published->gone;
    if (is_taken && (!wait.wait.has_value() || published->settled || published->gone)) co_return with_load(*actor);
    if (stopping) co_return fail(Code::unavailable, "the server is stopping");
    if (co_await actor->changed().wait(ticket, deadline)) continue;
    const auto late = actor->published();
    const std::string why = late->agent.reason.empty() ? "" : ": " + late->agent.reason;
    co_return fail(ErrorId::GR0505, "agent '{}' is {}{}", late->agent.name, to_string(late->agent.status), why);
  }
}

Task<Result<AgentView>> Agents::State::obey(AgentRecord record, Order order, VerbOptions wait) {
  if (stopping) co_return fail(Code::unavailable, "the server is stopping");
  const std::shared_ptr<Actor> actor = actor_of(record);
  const uint64_t number = actor->order(std::move(record), order);
  co_return co_await await_settled(actor, number, wait);
}

Task<Result<AgentView>> Agents::apply(Scope scope, std::string name, Verb verb, VerbOptions options) {
  State& state = *state_;
  const Time now = state.parts.clock.now();
  auto record = co_await state.parts.database.write(scope, [&](store::Session& session) -> Result<AgentRecord> {
    // Resuming what is stopped would start it; that is what `start` is for.
    if (verb == Verb::resume || verb == Verb::pause) {
      GANTRY_TRY(const std::optional<AgentRecord> agent, find_agent(session, name));
      if (agent.has_value() && agent->intent == Intent::stop)
        return fail(Code::conflict, "agent '{}' is stopped", name);
    }
    return set_intent(session, name, intent_of(verb), now);
  });
  if (!record.has_value() && record.error().code() == Code::not_found)
    co_return std::unexpected(state.no_agent(scope, name));
  if (!record.has_value()) co_return std::unexpected(std::move(record).error());
  co_return co_await state.obey(std::move(*record), order_of(verb), options);
}

Task<Result<AgentView>> Agents::scale(Scope scope, std::string name, uint32_t replicas, VerbOptions options) {
  State& state = *state_;
  if (replicas > state.options.max_replicas)
    co_return fail(ErrorId::GR0506, "{} replicas, at most {} are allowed", replicas, state.options.max_replicas);
  const Time now = state.parts.clock.now();
  auto record = co_await state.parts.database.write(
      scope, [&](store::Session& session) { return set_replicas(session, name, replicas, now); });
  if (!record.has_value() && record.error().code() == Code::not_found)
    co_return std::unexpected(state.no_agent(scope, name));
  if (!record.has_value()) co_return std::unexpected(std::move(record).error());
  co_return co_await state.obey(std::move(*record), Order::apply, options);
}

Task<Result<>> Agents::remove(Scope scope, std::string name) {
  State& state = *state_;
  const Time now = state.parts.clock.now();
  auto record = co_await state.parts.database.write(
      scope, [&](store::Session& session) { return set_intent(session, name, Intent::remove, now); });
  if (!record.has_value() && record.error().code() == Code::not_found)
    co_return std::unexpected(state.no_agent(scope, name));
  if (!record.has_value()) co_return std::unexpected(std::move(record).error());
  // Drain, grace and the deletion of files: bounded by the spec, with room for a slow disk.
  const Duration patience = 2 * record->spec->grace + std::chrono::seconds(60);
  auto removed = co_await state.obey(std::move(*record), Order::apply, {.wait = patience});
  if (!removed.has_value()) co_return std::unexpected(std::move(removed).error());
  co_return Result<>();
}

// ---- Stats, logs, clean-up -------------------------------------------------------------------

Task<Result<std::vector<StatsView>>> Agents::stats(Scope scope, std::string name) {
  State& state = *state_;
  std::vector<std::shared_ptr<Actor>> actors;
  if (!name.empty()) {
    actors.push_back(state.registry.find(scope, name));
    if (actors.back() == nullptr) co_return std::unexpected(state.no_agent(scope, name));
  } else {
    state.registry.each(scope, "", [&](const std::shared_ptr<Actor>& actor) {
      actors.push_back(actor);
      return true;
    });
  }
  std::vector<StatsView> all;
  for (const std::shared_ptr<Actor>& actor : actors) {
    const auto published = actor->published();
    for (const auto& [id, sandbox] : actor->sandboxes()) {
      auto measured = co_await sandbox->stats();
      auto instance = std::ranges::find(published->agent.instances, id, &InstanceView::id);
      // It may have ended meanwhile.
      if (!measured.has_value() || instance == published->agent.instances.end()) continue;
      const Moment now{state.parts.clock.steady(), state.parts.clock.now()};
      const Route::Load load = actor->route()->load(id);
      all.push_back({.agent = published->agent.name,
                     .instance = id,
                     .replica = instance->replica,
                     .cpu_percent = actor->cpu_percent(id, measured->cpu_time, now, sandbox->started_at()),
                     .cpu_ms = static_cast<uint64_t>(measured->cpu_time / std::chrono::milliseconds(1)),
                     .memory = measured->memory,
                     .memory_limit = published->agent.spec->resources.memory,
                     .pids = measured->pids,
                     .pids_limit = published->agent.spec->resources.pids,
                     .in_flight = load.in_flight,
                     .requests_total = load.requests_total,
                     .restarts = instance->restarts});
    }
  }
  std::ranges::sort(all, {}, [](const StatsView& view) { return std::tuple(view.agent, view.replica, view.instance); });
  co_return all;
}

Task<Result<std::unique_ptr<LogReader>>> Agents::logs(Scope scope, std::string name, LogOptions options) {
  const std::shared_ptr<Actor> actor = state_->registry.find(scope, name);
  if (actor == nullptr) co_return std::unexpected(state_->no_agent(scope, name));
  if (options.instance.has_value()) {
    const auto published = actor->published();
    if (std::ranges::find(published->agent.instances, *options.instance, &InstanceView::id) ==
        published->agent.instances.end())
      co_return fail(Code::not_found, "agent '{}' has no instance {}", name, *options.instance);
  }
  co_return make_log_reader(actor, state_->world, std::move(options), state_->options.log_lines_at_once);
}

void Agents::State::collect_soon() { static_cast<void>(tasks.spawn(parts.threads.executor(0), collect())); }

Task<void> Agents::State::collect() {
  auto collected = co_await parts.blocking.run([this] { return collect_blocking(); });
  if (collected.has_value() && !collected->has_value())
    parts.logger.warn("unused workdirs not deleted", field("error", collected->error()));
}

Result<> Agents::State::collect_blocking() {
  GANTRY_TRY(const std::vector<Scope> scopes, parts.database.scopes());
  std::vector<std::string> used;
  for (const Scope& scope : scopes) {
    GANTRY_TRY(std::vector<std::string> some,
               parts.database.read_blocking(scope, [](store::Session& session) { return list_workdirs(session); }));
    std::ranges::move(some, std::back_inserter(used));
  }
  return workdirs.collect(used, unused_workdir_grace, parts.clock);
}

}  // namespace gantry::agents
