// Agents: what was declared (specs and their revisions), what runs (instances), and the supervision
// that keeps the two equal.
//
//   Agents    deploy, verbs, listings, health, stats, logs; one for the server
//   Route     an agent as the proxy sees it: ready instances and their free slots (route.h)
//   views.h   what the API shows, and its JSON
//   events.h  what happened, for people
//   quotas.h  what the agents of a scope may ask for together
//   Workdirs  the uploaded files of revisions, by content (workdirs.h)
//
// Each agent is supervised by one actor: a coroutine that feeds a pure state machine (supervisor.h)
// with what happened and does what it answers. The rest of the program reads snapshots. A restart
// of the daemon finds the running programs again and does not restart them.
//
// Owned by the composition root: construct, `add_listener`, `start`, …, `stop`. Thread-safe. Calls
// that return a Task are for I/O threads; the others only read memory.
//
// Example:
//
//   auto deployed = co_await agents.deploy(scope, spec);          // created, updated or unchanged
//   auto view = co_await agents.apply(scope, "bot", Verb::stop, {.wait = std::chrono::seconds(30)});
//   if (auto route = agents.find(scope, "bot"))                   // the proxy, for every request
//     if (auto lease = route->try_acquire(OnNone::notify)) …
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agents/events.h"
#include "agents/plan.h"
#include "agents/quotas.h"
#include "agents/route.h"
#include "agents/views.h"
#include "agents/workdirs.h"
#include "async/async.h"
#include "base/base.h"
#include "core/core.h"
#include "sandbox/sandbox.h"
#include "store/store.h"
#include "telemetry/telemetry.h"

namespace gantry::agents {

/// The schema of this folder, for the composition root.
store::Migrations migrations();

/// Bounds and times; every one is injected so that tests need no sleep.
struct Options {
  std::filesystem::path data;  ///< `revisions/`, `instances/`, `workspaces/` and uploads are made here
  /// Between the death of a program and its restart.
  Backoff restart{Backoff::Policy::exponential, std::chrono::seconds(1), std::chrono::minutes(1)};
  /// So much health in a row forgets earlier crashes.
  Duration restart_reset = std::chrono::minutes(5);
  /// A program that starts is probed after 1/8 of the time that it has taken so far, within these.
  Duration startup_probe_min = std::chrono::milliseconds(5);
  Duration startup_probe_max = std::chrono::seconds(1);
  uint32_t rollout_surge = 1;     ///< new instances of one agent beside those that they replace
  uint32_t crash_loop_after = 3;  ///< restarts in a row that are called a crash loop
  uint32_t max_replicas = core::max_replicas;
  uint32_t max_agents = 100'000;
  uint32_t revisions_kept = 10;    ///< of one agent; older ones and their files go
  uint64_t events_kept = 100'000;  ///< of a scope
  Scope quota_scope = Scope::standard();
  Limits quotas = {};  ///< of `quota_scope`, unless a call has set others
  size_t log_lines_at_once = 1000;
  size_t log_instances_at_once = 2000;  ///< that one reader merges
  WorkdirLimits workdirs;
};

/// What `Agents` is built on; all outlive it.
struct Parts {
  store::Database& database;
  sandbox::Driver& sandbox;
  IoThreads& threads;
  BlockingPool& blocking;
  Clock& clock;
  Random& random;
  telemetry::Logger& logger;
};

/// What a user asks of a running agent.
enum class Verb { start, stop, restart, pause, resume };
/// nullopt if there is no such verb.
std::optional<Verb> verb_from_string(std::string_view text);

/// How long a verb waits until its state is reached; without `wait` it returns once it is recorded.
/// `timeout` if the time passed first; the verb goes on.
struct VerbOptions {
  std::optional<Duration> wait;
};

/// What a deploy did.
struct Deployed {
  enum class Outcome { created, updated, unchanged };
  Outcome outcome = Outcome::created;
  AgentView agent;
};
std::string_view to_string(Deployed::Outcome outcome);

/// One page of a listing, by name.
struct ListOptions {
  std::optional<AgentStatus> status;
  size_t limit = 100;
  std::string after;  ///< the cursor of the page before
};
/// The agents of a page and where the next one begins.
struct AgentPage {
  std::vector<AgentView> agents;
  std::string next;  ///< empty at the end
};

/// Which lines to read. Without `tail` and `since`: all that are kept.
struct LogOptions {
  std::vector<std::string> agents;     ///< names; empty for all of the scope, also later ones
  std::vector<std::string> instances;  ///< only these: ids, or `AGENT/REPLICA`
  std::optional<size_t> tail;          ///< only the last lines that match, over all instances
  std::optional<Time> since, until;
  std::string filter;  ///< only lines that contain it
  std::string grep;    ///< only lines in which this RE2 pattern is found
  std::string stream;  ///< `stdout`, `stderr` or empty for both
  enum class Follow { no, yes } follow = Follow::no;
};

/// Which instance runs a program beside its own, and which program. Without a choice: one that is ready.
struct ExecOptions {
  std::optional<InstanceId> instance;
  std::optional<uint32_t> replica;
  sandbox::ExecSpec program;
};

/// Lines of instances, merged by time, in bounded memory. One reader.
class LogReader {
 public:
  virtual ~LogReader() = default;
  /// The next lines; empty at the end. It reads a bounded part, and a follower waits for at most `patience`: it may
  /// return nothing with `ended()` false.
  virtual Task<Result<std::vector<LogLine>>> next(Duration patience) = 0;
  virtual bool ended() const = 0;
};

/// What happens to running programs when the daemon stops.
enum class AtStop {
  stop_instances,  ///< drained and ended; they start again with the daemon
  keep_instances,  ///< they go on and are found again
};

/// See the head of this file.
class Agents {
 public:
  Agents(Parts parts, Options options);
  ~Agents();

  /// Before `start`.
  void add_listener(Listener& listener);
  /// Loads what is declared, finds running programs again and starts supervision. Blocks.
  Result<> start();
  /// Ends supervision. Idempotent. Not from an I/O thread.
  void stop(AtStop at_stop);

  /// The route of an agent, null if there is none. Lock-free: for every request.
  std::shared_ptr<Route> find(const Scope& scope, std::string_view name) const;

  /// Makes the agent what `spec` says. A changed spec is a new revision: its instances are ready
  /// before the old ones drain. `workdir` must be empty or the digest of an upload (GR0502). What it
  /// depends on must exist (GR0508) and not wait for it in turn (GR0509).
  Task<Result<Deployed>> deploy(Scope scope, core::AgentSpec spec);
  /// What deploying these would do, in the order in which it should be done: each agent behind those it depends
  /// on, what is removed at the end. Workdirs are not looked at. GR0508, GR0509 as `deploy`.
  Result<std::vector<PlanStep>> plan(const Scope& scope, const std::vector<core::AgentSpec>& specs,
                                     const PlanOptions& options) const;
  Task<Result<AgentView>> apply(Scope scope, std::string name, Verb verb, VerbOptions options);
  Task<Result<AgentView>> scale(Scope scope, std::string name, uint32_t replicas, VerbOptions options);
  /// Stops the instances and forgets the agent with its workspaces and logs.
  Task<Result<>> remove(Scope scope, std::string name);

  /// GR0501 if there is no such agent; the hint names the closest one.
  Result<AgentView> get(const Scope& scope, std::string_view name) const;
  AgentPage list(const Scope& scope, const ListOptions& options) const;
  Result<AgentHealth> health(const Scope& scope, std::string_view name) const;
  /// `conflict` if no instance runs or it is paused, `not_found` if there is no such instance; else as Sandbox::exec.
  Task<Result<std::unique_ptr<sandbox::Exec>>> exec(Scope scope, std::string name, ExecOptions options);
  /// Of these agents, or of all if there are no names.
  Task<Result<StatsReport>> stats(Scope scope, std::vector<std::string> names);
  /// GR0501 for an agent that is not there, GR0511 for conditions that mean nothing.
  Result<std::unique_ptr<LogReader>> logs(const Scope& scope, LogOptions options);

  /// What happened: newest first, or after a place oldest first. `invalid` for a type that does not exist.
  Task<Result<std::vector<EventView>>> events(Scope scope, EventFilter filter);
  /// The same, but waits up to `patience` while there is nothing: to follow.
  Task<Result<std::vector<EventView>>> wait_for_events(Scope scope, EventFilter filter, Duration patience);

  Task<Result<std::vector<QuotaView>>> quotas(Scope scope);
  /// Changes all or nothing; what they are then.
  Task<Result<std::vector<QuotaView>>> change_quotas(Scope scope, std::vector<QuotaChange> changes);

  /// The uploads that `spec.workdir` refers to.
  Workdirs& workdirs();

  struct Totals {
    size_t agents = 0, running = 0, degraded = 0, stopped = 0;
    size_t instances = 0, ready = 0;
  };
  Totals totals() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace gantry::agents
