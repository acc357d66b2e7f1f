// Stats, logs, and the clean-up of files that nobody uses.
#include <algorithm>

#include "agents/logs.h"
#include "agents/state.h"

namespace gantry::agents {
namespace {

using telemetry::field;

/// An upload may wait so long for the deploy that names it.
constexpr Duration unused_workdir_grace = std::chrono::hours(24);

}  // namespace

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
                     .restarts = instance->restarts,
                     .breaker = load.breaker});
    }
  }
  std::ranges::sort(all, {}, [](const StatsView& view) { return std::tuple(view.agent, view.replica, view.instance); });
  co_return all;
}

Result<std::unique_ptr<LogReader>> Agents::logs(const Scope& scope, LogOptions options) {
  for (const std::string& name : options.agents)
    if (state_->registry.find(scope, name) == nullptr) return std::unexpected(state_->no_agent(scope, name));
  const LogReaderLimits limits{.lines_at_once = state_->options.log_lines_at_once,
                               .max_instances = state_->options.log_instances_at_once};
  return make_log_reader({state_->world, state_->registry, limits}, scope, std::move(options));
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
