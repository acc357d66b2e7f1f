// What the API shows of agents: plain values and their JSON. Part of the door (agents.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agents/breaker.h"
#include "agents/window.h"
#include "base/base.h"
#include "core/core.h"
#include "json/json.h"

namespace gantry::agents {

/// What an agent is doing as a whole.
enum class AgentStatus { running, starting, degraded, crash_loop, paused, stopped };
std::string_view to_string(AgentStatus status);
/// nullopt if there is no such status.
std::optional<AgentStatus> agent_status_from_string(std::string_view text);

/// What one instance is doing.
enum class InstanceStatus { starting, ready, unready, paused, backoff, stopping, exited };
std::string_view to_string(InstanceStatus status);
std::optional<InstanceStatus> instance_status_from_string(std::string_view text);

/// One limit and how far it holds.
struct LimitView {
  std::string name, limit, grade, how;
};

/// What an instance is isolated by.
struct IsolationView {
  std::string driver;
  bool rootless = false;
  std::string user;
  std::vector<std::string> namespaces;
  std::string seccomp;
};

/// One instance; `isolation` and `limits` are empty while no program runs.
struct InstanceView {
  InstanceId id;
  uint32_t replica = 0;
  uint64_t revision = 0;  ///< the number of the first revision that runs in the same way
  InstanceStatus status = InstanceStatus::starting;
  std::string reason;  ///< in words; empty if there is nothing to say
  int64_t pid = 0;
  std::optional<Time> started_at, ready_at;
  uint32_t restarts = 0;
  uint32_t in_flight = 0;
  IsolationView isolation;
  std::vector<LimitView> limits;
};

/// One agent with its instances, by replica.
struct AgentView {
  AgentId id;
  std::string name;
  Scope scope;
  AgentStatus status = AgentStatus::stopped;
  std::string reason;
  uint32_t replicas = 0, ready = 0;
  uint32_t up_to_date = 0;  ///< replicas that run as the current revision says
  bool stuck = false;       ///< the current revision crashes while an older one serves
  RevisionId revision;
  uint32_t revision_number = 0;
  Time created_at, updated_at;
  uint32_t restarts = 0;
  std::vector<std::string> waits_for;  ///< dependencies that are not ready while an instance waits for its start
  std::shared_ptr<const core::AgentSpec> spec;
  std::vector<InstanceView> instances;
};

/// How many unfinished requests an agent has; the owner of requests knows.
struct RequestCounts {
  uint64_t pending = 0, processing = 0;
};

/// `brief` is the form of listings: without `spec` and `instances[].isolation`.
enum class Detail { brief, full };
json::Value to_json(const AgentView& agent, RequestCounts requests, Detail detail);

/// The last answer to one probe.
struct ProbeView {
  std::string probe;  ///< `startup`, `readiness` or `liveness`
  bool healthy = false;
  std::string kind;    ///< `http`, `tcp` or `exec`
  std::string detail;  ///< `200 from /health`, `connection refused on port 8000`
  std::optional<Time> checked_at;
  uint32_t consecutive_failures = 0;
};
/// The last probes of one instance; above them the one that says most.
struct HealthView {
  InstanceId instance;
  uint32_t replica = 0;
  bool healthy = false;
  std::string kind, detail;
  std::optional<Time> checked_at;
  uint32_t consecutive_failures = 0;
  std::vector<ProbeView> probes;
};
/// The last probes of all instances of one agent.
struct AgentHealth {
  std::string agent;
  AgentStatus status = AgentStatus::stopped;
  std::vector<HealthView> instances;
};
json::Value to_json(const AgentHealth& health);

/// What one instance uses now.
struct StatsView {
  std::string agent;
  InstanceId instance;
  uint32_t replica = 0;
  double cpu_percent = 0;  ///< of one CPU, since the previous reading, or since its start
  uint64_t cpu_ms = 0;
  Bytes memory, memory_limit;  ///< a limit of 0 means none
  uint64_t pids = 0, pids_limit = 0;
  Bytes workspace, workspace_limit;      ///< at the last measurement
  uint64_t bytes_in = 0, bytes_out = 0;  ///< over the proxy, to the program and from it, since its start
  uint32_t in_flight = 0;
  uint64_t requests_total = 0;
  RequestWindow::Reading recent;
  uint32_t restarts = 0;
  Breaker::State breaker = Breaker::State::closed;
};
json::Value to_json(const StatsView& stats);

/// What all instances of one agent use together.
struct AgentStatsView {
  std::string agent;
  AgentStatus status = AgentStatus::stopped;
  uint32_t replicas = 0, ready = 0;
  double cpu_percent = 0;
  Bytes memory, memory_limit;  ///< a limit of 0 means that an instance has none
  uint64_t pids = 0;
  Bytes workspace;
  uint64_t bytes_in = 0, bytes_out = 0;
  uint32_t in_flight = 0;
  uint64_t requests_total = 0;
  RequestWindow::Reading recent;
  uint32_t restarts = 0;
};
json::Value to_json(const AgentStatsView& stats);

/// The answer to a question for stats, by name and replica.
struct StatsReport {
  std::vector<StatsView> instances;
  std::vector<AgentStatsView> agents;
};

/// One line that a program wrote.
struct LogLine {
  Time time;
  std::string agent;
  InstanceId instance;
  uint32_t replica = 0;
  std::string stream;  ///< `stdout` or `stderr`
  std::string line;
};
json::Value to_json(const LogLine& line);

}  // namespace gantry::agents
