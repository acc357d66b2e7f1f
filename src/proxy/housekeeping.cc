// Retention: finished requests go when they are old enough, and blobs that nobody refers to go with them.
#include "proxy/state.h"

namespace gantry::proxy {

Task<void> Proxy::State::keep_house() {
  while (!dispatcher_.closed()) {
    auto ticket = stopping_.ticket();
    if (dispatcher_.closed()) co_return;
    co_await stopping_.wait(ticket, parts_.clock.steady() + options_.housekeeping_every);
    if (dispatcher_.closed()) co_return;
    co_await expire_all();
    auto collected = co_await parts_.blocking.run([this] { return parts_.requests.collect_blobs(); });
    if (collected && *collected && (*collected)->count > 0)
      parts_.logger.info("blobs without a request deleted", telemetry::field("count", (*collected)->count),
                         telemetry::field("bytes", (*collected)->bytes));
  }
}

Task<void> Proxy::State::expire_all() {
  Scope scope = Scope::standard();
  auto agents = co_await parts_.requests.known_agents(scope);
  if (!agents) co_return;
  for (const std::string& agent : *agents) {
    const core::Retention retention = retention_of(scope, agent);
    auto removed = co_await parts_.requests.expire(
        scope, agent,
        {.since = parts_.clock.now() - retention.age, .count = retention.count, .bytes = retention.bytes});
    if (removed && *removed > 0)
      parts_.logger.info("finished requests passed their retention", telemetry::field("agent", agent),
                         telemetry::field("count", *removed));
  }
}

core::Retention Proxy::State::retention_of(const Scope& scope, const std::string& agent) const {
  auto route = parts_.agents.find(scope, agent);
  if (route) return route->spec()->persistence.retention;
  return {.age = parts_.requests.options().orphan_retention};
}

}  // namespace gantry::proxy
