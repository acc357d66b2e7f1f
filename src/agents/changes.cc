// Deploy, verbs, scale, remove: each changes the record in the store, then tells the actor.
#include "agents/state.h"
#include "agents/volumes.h"

namespace gantry::agents {
namespace {

using telemetry::field;

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

Error too_many_replicas(uint32_t wanted, uint32_t most) {
  return Error(ErrorId::GR0506, fmt::format("{} replicas, at most {} are allowed", wanted, most))
      .with_hint(fmt::format("ask for {} at most; a higher `concurrency` lets one instance take more requests", most));
}

std::string event_of(Verb verb) {
  switch (verb) {
    case Verb::start:
      return "agent.start";
    case Verb::stop:
      return "agent.stop";
    case Verb::restart:
      return "agent.restart";
    case Verb::pause:
      return "agent.pause";
    case Verb::resume:
      return "agent.resume";
  }
  return "agent.start";
}

}  // namespace

Task<Result<>> Agents::State::check_spec(core::AgentSpec spec) {
  if (spec.replicas > options.max_replicas)
    co_return std::unexpected(too_many_replicas(spec.replicas, options.max_replicas));
  if (!spec.volumes.empty()) {
    auto resolved = co_await parts.blocking.run([&] { return resolve_volumes(spec.volumes, options.data); });
    if (!resolved.has_value()) co_return std::unexpected(std::move(resolved).error());
    if (!resolved->has_value()) co_return std::unexpected(std::move(*resolved).error());
  }
  if (spec.workdir.empty()) co_return Result<>();
  auto found = co_await workdirs.find(spec.workdir);
  if (!found.has_value() || !found->has_value())
    co_return std::unexpected(Error(ErrorId::GR0502, fmt::format("workdir '{}' was not uploaded", spec.workdir))
                                  .with_hint("upload it with POST /v1/workdirs and name its digest"));
  co_return Result<>();
}

Error Agents::State::with_close_dependency(const Scope& scope, const core::AgentSpec& spec, Error error) const {
  if (error.id() != ErrorId::GR0508) return error;
  for (const std::string& name : spec.depends_on) {
    if (registry.find(scope, name) != nullptr) continue;
    const auto close = registry.closest_name(scope, name);
    return std::move(error).with_hint(close ? fmt::format("did you mean '{}'?", *close)
                                            : fmt::format("deploy '{}' first", name.substr(0, 64)));
  }
  return error;
}

Task<Result<Deployed>> Agents::deploy(Scope scope, core::AgentSpec spec) {
  State& state = *state_;
  auto checked = co_await state.check_spec(spec);
  if (!checked.has_value()) co_return std::unexpected(std::move(checked).error().wrap("agent '" + spec.name + "'"));
  const NewIds ids{.agent = AgentId::make(state.parts.clock, state.parts.random),
                   .revision = RevisionId::make(state.parts.clock, state.parts.random),
                   .now = state.parts.clock.now()};
  const DeployLimits limits{.max_agents = state.options.max_agents,
                            .revisions_kept = state.options.revisions_kept,
                            .quotas = state.configured_quotas(scope)};
  auto deployed = co_await state.parts.database.write(scope, [&](store::Session& session) -> Result<DeployedRecord> {
    GANTRY_TRY(DeployedRecord record, agents::deploy(session, spec, ids, limits));
    if (record.outcome == Deployed::Outcome::unchanged) return record;
    GANTRY_TRY_VOID(state.events.insert(session,
                                        {.type = "agent.deploy",
                                         .agent = spec.name,
                                         .revision = record.agent.revision_number,
                                         .reason = std::string(to_string(record.outcome))},
                                        ids.now));
    return record;
  });
  state.events.committed();
  if (!deployed.has_value())
    co_return std::unexpected(
        state.with_close_dependency(scope, spec, std::move(deployed).error()).wrap("agent '" + spec.name + "'"));
  if (state.stopping) co_return fail(Code::unavailable, "the server is stopping");
  const Deployed::Outcome outcome = deployed->outcome;
  const std::shared_ptr<Actor> actor = state.actor_of(deployed->agent);
  // One that is created starts with its record.
  if (outcome == Deployed::Outcome::updated) {
    const uint64_t number = actor->order(deployed->agent, Order::apply);
    auto taken = co_await state.await_settled(actor, number, {});
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
        return std::unexpected(Error(Code::conflict, fmt::format("agent '{}' is stopped", name))
                                   .with_hint(fmt::format("gantry start {}", name)));
    }
    GANTRY_TRY_VOID(state.events.insert(session, {.type = event_of(verb), .agent = name}, now));
    return set_intent(session, name, intent_of(verb), now);
  });
  state.events.committed();
  if (!record.has_value() && record.error().code() == Code::not_found)
    co_return std::unexpected(state.no_agent(scope, name));
  if (!record.has_value()) co_return std::unexpected(std::move(record).error());
  co_return co_await state.obey(std::move(*record), order_of(verb), options);
}

Task<Result<AgentView>> Agents::scale(Scope scope, std::string name, uint32_t replicas, VerbOptions options) {
  State& state = *state_;
  if (replicas > state.options.max_replicas)
    co_return std::unexpected(too_many_replicas(replicas, state.options.max_replicas));
  const Time now = state.parts.clock.now();
  auto record = co_await state.parts.database.write(scope, [&](store::Session& session) -> Result<AgentRecord> {
    GANTRY_TRY(const std::optional<AgentRecord> before, find_agent(session, name));
    GANTRY_TRY(AgentRecord after, set_replicas(session, name, replicas, state.configured_quotas(scope), now));
    if (!before.has_value() || before->replicas == replicas) return after;
    Event event{
        .type = "agent.scale", .agent = name, .reason = fmt::format("{} to {} replicas", before->replicas, replicas)};
    GANTRY_TRY_VOID(state.events.insert(session, event, now));
    return after;
  });
  state.events.committed();
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

}  // namespace gantry::agents
