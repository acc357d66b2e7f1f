#include "agents/views.h"

namespace gantry::agents {
namespace {

json::Value time_or_null(const std::optional<Time>& time) {
  if (!time.has_value()) return nullptr;
  return json::Value(format_time(*time));
}

json::Value text_or_null(const std::string& text) {
  if (text.empty()) return nullptr;
  return json::Value(text);
}

json::Array strings(const std::vector<std::string>& list) {
  json::Array array;
  for (const std::string& one : list) array.emplace_back(one);
  return array;
}

json::Object isolation_json(const IsolationView& isolation) {
  return {{"driver", isolation.driver},
          {"rootless", isolation.rootless},
          {"user", isolation.user},
          {"namespaces", strings(isolation.namespaces)},
          {"seccomp", isolation.seccomp}};
}

json::Object instance_json(const InstanceView& instance, Detail detail) {
  json::Object object{{"id", instance.id.to_string()},
                      {"replica", instance.replica},
                      {"revision", instance.revision},
                      {"status", to_string(instance.status)},
                      {"reason", text_or_null(instance.reason)},
                      {"pid", instance.pid > 0 ? json::Value(instance.pid) : json::Value(nullptr)},
                      {"started_at", time_or_null(instance.started_at)},
                      {"ready_at", time_or_null(instance.ready_at)},
                      {"restarts", instance.restarts},
                      {"in_flight", instance.in_flight}};
  if (detail == Detail::full)
    object["isolation"] =
        instance.isolation.driver.empty() ? json::Value(nullptr) : json::Value(isolation_json(instance.isolation));
  json::Array limits;
  for (const LimitView& limit : instance.limits)
    limits.push_back(
        json::Object{{"name", limit.name}, {"limit", limit.limit}, {"grade", limit.grade}, {"how", limit.how}});
  object["limits"] = std::move(limits);
  return object;
}

json::Value recent_json(const RequestWindow::Reading& reading) {
  const auto ms = [&](Duration value) {
    if (reading.count == 0) return json::Value(nullptr);
    return json::Value(static_cast<double>(value / std::chrono::microseconds(1)) / 1000.0);
  };
  return json::Object{{"window_ms", RequestWindow::span / std::chrono::milliseconds(1)},
                      {"requests", reading.count},
                      {"per_second", reading.per_second},
                      {"p50_ms", ms(reading.p50)},
                      {"p95_ms", ms(reading.p95)},
                      {"p99_ms", ms(reading.p99)}};
}

}  // namespace

std::string_view to_string(AgentStatus status) {
  switch (status) {
    case AgentStatus::running:
      return "running";
    case AgentStatus::starting:
      return "starting";
    case AgentStatus::degraded:
      return "degraded";
    case AgentStatus::crash_loop:
      return "crash_loop";
    case AgentStatus::paused:
      return "paused";
    case AgentStatus::stopped:
      return "stopped";
  }
  return "stopped";
}

std::optional<AgentStatus> agent_status_from_string(std::string_view text) {
  for (AgentStatus status : {AgentStatus::running, AgentStatus::starting, AgentStatus::degraded,
                             AgentStatus::crash_loop, AgentStatus::paused, AgentStatus::stopped})
    if (to_string(status) == text) return status;
  return std::nullopt;
}

std::string_view to_string(InstanceStatus status) {
  switch (status) {
    case InstanceStatus::starting:
      return "starting";
    case InstanceStatus::ready:
      return "ready";
    case InstanceStatus::unready:
      return "unready";
    case InstanceStatus::paused:
      return "paused";
    case InstanceStatus::backoff:
      return "backoff";
    case InstanceStatus::stopping:
      return "stopping";
    case InstanceStatus::exited:
      return "exited";
  }
  return "exited";
}

std::optional<InstanceStatus> instance_status_from_string(std::string_view text) {
  for (InstanceStatus status :
       {InstanceStatus::starting, InstanceStatus::ready, InstanceStatus::unready, InstanceStatus::paused,
        InstanceStatus::backoff, InstanceStatus::stopping, InstanceStatus::exited})
    if (to_string(status) == text) return status;
  return std::nullopt;
}

json::Value to_json(const AgentView& agent, RequestCounts requests, Detail detail) {
  json::Object labels;
  for (const auto& [name, value] : agent.spec->labels) labels[name] = value;
  json::Object object{{"id", agent.id.to_string()},
                      {"name", agent.name},
                      {"scope", agent.scope.path()},
                      {"labels", std::move(labels)},
                      {"kind", "command"},
                      {"status", to_string(agent.status)},
                      {"reason", text_or_null(agent.reason)},
                      {"depends_on", strings(agent.spec->depends_on)},
                      {"waits_for", strings(agent.waits_for)},
                      {"replicas", agent.replicas},
                      {"ready", agent.ready},
                      {"up_to_date", agent.up_to_date},
                      {"stuck", agent.stuck},
                      {"revision", agent.revision.to_string()},
                      {"revision_number", agent.revision_number},
                      {"port", agent.spec->port},
                      {"public", agent.spec->exposure == core::Exposure::public_path},
                      {"created_at", format_time(agent.created_at)},
                      {"updated_at", format_time(agent.updated_at)},
                      {"restarts", agent.restarts},
                      {"pending", requests.pending},
                      {"processing", requests.processing}};
  if (detail == Detail::full) object["spec"] = core::spec_json(*agent.spec);
  json::Array instances;
  for (const InstanceView& instance : agent.instances) instances.push_back(instance_json(instance, detail));
  object["instances"] = std::move(instances);
  return object;
}

json::Array probes_json(const std::vector<ProbeView>& probes) {
  json::Array array;
  for (const ProbeView& probe : probes)
    array.push_back(json::Object{{"probe", probe.probe},
                                 {"healthy", probe.healthy},
                                 {"kind", probe.kind},
                                 {"detail", text_or_null(probe.detail)},
                                 {"checked_at", time_or_null(probe.checked_at)},
                                 {"consecutive_failures", probe.consecutive_failures}});
  return array;
}

json::Value to_json(const AgentHealth& health) {
  json::Array instances;
  for (const HealthView& instance : health.instances)
    instances.push_back(json::Object{{"id", instance.instance.to_string()},
                                     {"replica", instance.replica},
                                     {"healthy", instance.healthy},
                                     {"kind", instance.kind},
                                     {"detail", text_or_null(instance.detail)},
                                     {"checked_at", time_or_null(instance.checked_at)},
                                     {"consecutive_failures", instance.consecutive_failures},
                                     {"probes", probes_json(instance.probes)}});
  return json::Object{
      {"agent", health.agent}, {"status", to_string(health.status)}, {"instances", std::move(instances)}};
}

json::Value to_json(const StatsView& stats) {
  return json::Object{{"agent", stats.agent},
                      {"instance", stats.instance.to_string()},
                      {"replica", stats.replica},
                      {"cpu_percent", stats.cpu_percent},
                      {"cpu_ms", stats.cpu_ms},
                      {"memory_bytes", stats.memory.count},
                      {"memory_limit_bytes", stats.memory_limit.count},
                      {"pids", stats.pids},
                      {"pids_limit", stats.pids_limit},
                      {"workspace_bytes", stats.workspace.count},
                      {"workspace_limit_bytes", stats.workspace_limit.count},
                      {"bytes_in", stats.bytes_in},
                      {"bytes_out", stats.bytes_out},
                      {"in_flight", stats.in_flight},
                      {"requests_total", stats.requests_total},
                      {"recent", recent_json(stats.recent)},
                      {"restarts", stats.restarts},
                      {"breaker", to_string(stats.breaker)}};
}

json::Value to_json(const AgentStatsView& stats) {
  return json::Object{{"agent", stats.agent},
                      {"status", to_string(stats.status)},
                      {"replicas", stats.replicas},
                      {"ready", stats.ready},
                      {"cpu_percent", stats.cpu_percent},
                      {"memory_bytes", stats.memory.count},
                      {"memory_limit_bytes", stats.memory_limit.count},
                      {"pids", stats.pids},
                      {"workspace_bytes", stats.workspace.count},
                      {"bytes_in", stats.bytes_in},
                      {"bytes_out", stats.bytes_out},
                      {"in_flight", stats.in_flight},
                      {"requests_total", stats.requests_total},
                      {"recent", recent_json(stats.recent)},
                      {"restarts", stats.restarts}};
}

json::Value to_json(const LogLine& line) {
  return json::Object{
      {"time", format_time(line.time)}, {"agent", line.agent},   {"instance", line.instance.to_string()},
      {"replica", line.replica},        {"stream", line.stream}, {"line", line.line}};
}

}  // namespace gantry::agents
