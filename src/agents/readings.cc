// Stats, logs, and the clean-up of files that nobody uses.
#include <algorithm>

#include "agents/logs.h"
#include "agents/state.h"

namespace gantry::agents {
namespace {

using telemetry::field;

/// An upload may wait so long for the deploy that names it.
constexpr Duration unused_workdir_grace = std::chrono::hours(24);

AgentStatsView sum_of(const Actor& actor, const std::vector<StatsView>& instances) {
  const auto published = actor.published();
  AgentStatsView sum{.agent = published->agent.name,
                     .status = published->agent.status,
                     .replicas = published->agent.replicas,
                     .ready = published->agent.ready,
                     .recent = actor.route()->requests(),
                     .restarts = published->agent.restarts};
  for (const StatsView& one : instances) {
    sum.cpu_percent += one.cpu_percent;
    sum.memory.count += one.memory.count;
    sum.memory_limit.count += one.memory_limit.count;
    sum.pids += one.pids;
    sum.workspace.count += one.workspace.count;
    sum.bytes_in += one.bytes_in;
    sum.bytes_out += one.bytes_out;
    sum.in_flight += one.in_flight;
    sum.requests_total += one.requests_total;
  }
  return sum;
}

}  // namespace

Task<Result<StatsReport>> Agents::stats(Scope scope, std::vector<std::string> names) {
  State& state = *state_;
  std::vector<std::shared_ptr<Actor>> actors;
  for (const std::string& name : names) {
    actors.push_back(state.registry.find(scope, name));
    if (actors.back() == nullptr) co_return std::unexpected(state.no_agent(scope, name));
  }
  if (names.empty())
    state.registry.each(scope, "", [&](const std::shared_ptr<Actor>& actor) {
      actors.push_back(actor);
      return true;
    });
  StatsReport report;
  for (const std::shared_ptr<Actor>& actor : actors) {
    std::vector<StatsView> instances;
    for (const auto& [id, sandbox] : actor->sandboxes()) {
      auto measured = co_await sandbox->stats();
      // It may have ended meanwhile.
      if (!measured.has_value()) continue;
      if (auto view = actor->stats_of(id, *measured, sandbox->started_at())) instances.push_back(std::move(*view));
    }
    report.agents.push_back(sum_of(*actor, instances));
    std::ranges::move(instances, std::back_inserter(report.instances));
  }
  std::ranges::sort(report.instances, {},
                    [](const StatsView& view) { return std::tuple(view.agent, view.replica, view.instance); });
  std::ranges::sort(report.agents, {}, &AgentStatsView::agent);
  co_return report;
}

Result<std::unique_ptr<LogReader>> Agents::logs(const Scope& scope, LogOptions options) {
  for (const std::string& name : options.agents)
    if (state_->registry.find(scope, name) == nullptr) return std::unexpected(state_->no_agent(scope, name));
  const LogReaderLimits limits{.lines_at_once = state_->options.log_lines_at_once,
                               .max_instances = state_->options.log_instances_at_once};
  return make_log_reader({state_->world, state_->registry, limits}, scope, std::move(options));
}

Task<Result<std::vector<EventView>>> Agents::events(Scope scope, EventFilter filter) {
  return state_->events.read(std::move(scope), std::move(filter));
}

Task<Result<std::vector<EventView>>> Agents::wait_for_events(Scope scope, EventFilter filter, Duration patience) {
  return state_->events.wait(std::move(scope), std::move(filter), patience);
}

Task<Result<std::vector<QuotaView>>> Agents::quotas(Scope scope) {
  const Limits configured = state_->configured_quotas(scope);
  co_return co_await state_->parts.database.read(
      scope, [&](store::Session& session) { return quotas_of(session, configured); });
}

Task<Result<std::vector<QuotaView>>> Agents::change_quotas(Scope scope, std::vector<QuotaChange> changes) {
  const Limits configured = state_->configured_quotas(scope);
  const Time now = state_->parts.clock.now();
  co_return co_await state_->parts.database.write(scope,
                                                  [&](store::Session& session) -> Result<std::vector<QuotaView>> {
                                                    GANTRY_TRY_VOID(agents::change_quotas(session, changes, now));
                                                    return quotas_of(session, configured);
                                                  });
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
