// The supervision of one agent as a pure state machine: what happened goes in, what to do comes out.
// No I/O, no clock, no thread; the actor (actor.h) executes it and the simulation test drives it.
//
//   idle ──start──► launching ──► probing ──► ready ──► draining ──► stopping ──► idle
//                       │            │ ▲        │ ▲                      ▲          │
//                       ▼            ▼ │        ▼ │                      │      forgotten
//                    backoff      freezing ► paused ► thawing            │
//                       ▲            (pause, resume)                     │
//                       └──────────── the program ended ─────────────────┘
//
// A program is asked by up to three probes: `startup` until it is up, then `readiness`, which opens and shuts it
// for requests, and `liveness`, which ends it.
//
// Every event ends in `reconcile`, which compares each instance with what is wanted: nothing depends
// on the order in which events arrive, and a missed one is made up for by the next.
//
// A rollout is no mode of its own: an instance of another revision is outdated; while it serves, a new
// one is started beside it (at most `surge` at a time), and once that is ready the old one drains.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agents/views.h"
#include "async/async.h"
#include "base/base.h"

namespace gantry::agents {

/// The time of an event: for deadlines and for people.
struct Moment {
  SteadyTime steady;
  Time wall;
};

/// What the user wants of an agent.
enum class Intent { run, pause, stop, remove };
std::string_view to_string(Intent intent);
std::optional<Intent> intent_from_string(std::string_view text);

/// When one probe is asked and when its answers are believed.
struct ProbePlan {
  bool is_asked = true;
  /// 0, for startup only: after 1/8 of the time that the program has taken so far.
  Duration interval = std::chrono::seconds(30);
  uint32_t retries = 3;  ///< failures in a row that count; 0 for none
  uint32_t successes = 1;
};

/// What the machine must know of a spec.
struct Wanted {
  Intent intent = Intent::run;
  uint32_t replicas = 1;
  /// Instances of another revision are replaced.
  uint64_t revision = 1;
  ProbePlan startup{.interval = {}, .retries = 0};
  ProbePlan readiness{.is_asked = false};
  ProbePlan liveness;
  core::OnUnhealthy on_unhealthy = core::OnUnhealthy::restart;
  Duration ready_within = std::chrono::seconds(30);  ///< of the start of the program
  Duration drain = std::chrono::seconds(10);         ///< for requests in flight before a stop
  Duration rollout_drain = std::chrono::minutes(5);  ///< the same when a new instance took over
  Duration grace = std::chrono::seconds(10);         ///< between TERM and KILL
};

/// What is the same for all agents.
struct SupervisorSettings {
  Backoff restart{Backoff::Policy::exponential, std::chrono::seconds(1), std::chrono::minutes(1)};
  Duration restart_reset = std::chrono::minutes(5);
  /// A program that starts is probed after 1/8 of the time that it has taken so far, within these.
  Duration startup_probe_min = std::chrono::milliseconds(5);
  Duration startup_probe_max = std::chrono::seconds(1);
  uint32_t crash_loop_after = 3;
  uint32_t surge = 1;  ///< new instances beside serving ones at the same time
};

/// Where an instance is between two events.
enum class Phase { idle, backoff, launching, probing, ready, freezing, paused, thawing, draining, stopping };

/// Why a running program is ended.
enum class StopCause { none, verb, surplus, outdated, restart, not_ready, unhealthy };

/// The answer to one probe.
struct ProbeResult {
  enum class Outcome { healthy, unhealthy };
  Outcome outcome = Outcome::unhealthy;
  std::string detail;  ///< `200 in 3ms`, `connection refused on port 8000`
};

/// `1 probe`, `3 probes in a row`.
std::string in_a_row(uint32_t probes);

/// One probe of one instance.
struct ProbeState {
  SteadyTime next{};
  bool runs = false;
  ProbeResult last;
  std::optional<Time> checked_at;
  uint32_t failed = 0, succeeded = 0;  ///< in a row
};

/// One instance as the machine sees it.
struct SupervisedInstance {
  InstanceId id;
  uint32_t replica = 0;
  uint64_t revision = 0;
  uint64_t generation = 0;  ///< counts the starts of its program
  Phase phase = Phase::idle;
  StopCause cause = StopCause::none;
  SteadyTime deadline{};  ///< of backoff, probing and draining
  std::string reason;
  int64_t pid = 0;
  std::optional<Time> started_at, ready_at;
  SteadyTime started_steady{}, ready_steady{};
  uint32_t failures = 0;  ///< in a row
  uint32_t restarts = 0;
  bool is_up = false;      ///< the startup probe has passed
  bool admits = false;     ///< in `ready`: it gets requests
  bool was_ready = false;  ///< before it was frozen
  bool given_up = false;   ///< not healthy, and stopped for it until somebody starts it
  bool is_found = false;   ///< from an earlier life of the daemon: nobody knows if it is frozen
  bool restart_wanted = false;

  std::array<ProbeState, std::size(core::probe_roles)> probes;

  ProbeState& probe(core::ProbeRole role) { return probes[static_cast<size_t>(role)]; }
  const ProbeState& probe(core::ProbeRole role) const { return probes[static_cast<size_t>(role)]; }
  /// Gets requests.
  bool serves() const { return phase == Phase::ready && admits; }
  bool has_program() const { return phase != Phase::idle && phase != Phase::backoff; }
  InstanceStatus status() const;
};

/// What the actor must do.
struct Action {
  enum class Kind {
    start,   ///< answer with `started` or `start_failed`
    probe,   ///< answer with `probed`
    open,    ///< let requests in, for the first time or again
    shut,    ///< let no more requests in for now; those in flight go on
    drain,   ///< let no more requests in; answer with `drained` when the last one ended
    stop,    ///< TERM, `grace`, KILL; answer with `exited`
    freeze,  ///< answer with `frozen`
    thaw,    ///< answer with `thawed`
    close,   ///< the program is gone: cut its connections
    forget,  ///< the instance is gone for good: delete what it leaves
  };
  Kind kind;
  InstanceId instance;
  uint64_t generation = 0;
  uint32_t replica = 0;
  uint64_t revision = 0;
  Duration grace{};
  core::ProbeRole role = core::ProbeRole::startup;  ///< of `probe`
};

/// An instance that an earlier life of the daemon left.
struct FoundInstance {
  InstanceId id;
  uint32_t replica = 0;
  uint64_t revision = 0;
  uint32_t restarts = 0;
  /// Its program if it still runs.
  struct Program {
    int64_t pid = 0;
    Time started_at;
  };
  std::optional<Program> program;
};

/// The state machine. One thread at a time.
class Supervisor {
 public:
  Supervisor(SupervisorSettings settings, Random& random, std::function<InstanceId()> make_id);

  // What happened. Answers that do not fit any more are ignored.

  /// Before the first `want`.
  void found(FoundInstance found, Moment now);
  void want(const Wanted& wanted, Moment now);
  /// What the agent waits for, in words: until it is empty no instance is started that was not running or
  /// about to be started again. What runs is not touched.
  void hold(std::string reason, Moment now);
  /// Ends every program and starts it again at once.
  void restart(Moment now);
  /// Does not wait for the end of a backoff.
  void hurry(Moment now);
  void started(InstanceId id, uint64_t generation, int64_t pid, Moment now);
  void start_failed(InstanceId id, uint64_t generation, std::string reason, Moment now);
  void probed(InstanceId id, uint64_t generation, core::ProbeRole role, ProbeResult result, Moment now);
  void drained(InstanceId id, Moment now);
  void frozen(InstanceId id, uint64_t generation, Result<> result, Moment now);
  void thawed(InstanceId id, uint64_t generation, Result<> result, Moment now);
  void exited(InstanceId id, uint64_t generation, std::string reason, Moment now);
  void tick(Moment now);

  /// What to do now, in order; each is returned once.
  std::vector<Action> take_actions();
  /// When `tick` must be called at the latest; nullopt if only an event can change something.
  std::optional<SteadyTime> next_deadline() const;

  // What is shown.

  const std::vector<SupervisedInstance>& instances() const { return instances_; }
  const Wanted& wanted() const { return wanted_; }
  AgentStatus status() const;
  std::string reason() const;
  uint32_t ready() const;  ///< replicas with a ready instance
  /// Replicas that an instance of the current revision serves.
  uint32_t up_to_date() const;
  /// The current revision crashes over and over while an older one serves.
  bool is_stuck() const;
  uint32_t restarts() const;
  /// True if an instance is missing because the agent is held.
  bool is_held_back() const;
  /// True if nothing runs and nothing is about to.
  bool at_rest() const;
  /// True if everything is as wanted: what verbs wait for. Instances that only drain do not count.
  bool settled() const;

 private:
  SupervisedInstance* find(InstanceId id, uint64_t generation);
  void reconcile(Moment now);
  bool advance(SupervisedInstance& instance, Moment now);
  bool advance_probed(SupervisedInstance& instance, Moment now);
  bool retire_idle();
  bool add_missing();
  StopCause end_of(const SupervisedInstance& instance) const;
  bool is_surplus(const SupervisedInstance& instance) const;
  /// Wanted replicas with an instance that serves and counts.
  uint32_t served_replicas(const std::function<bool(const SupervisedInstance&)>& counts) const;
  /// An instance of the current revision that fails while another of its replica serves; nullptr if there is none.
  const SupervisedInstance* failing_successor() const;
  bool is_outdated(const SupervisedInstance& instance) const { return instance.revision != wanted_.revision; }
  bool successor_is_ready(const SupervisedInstance& instance) const;
  bool needs_instance(uint32_t replica, uint32_t& surging) const;
  uint32_t surging() const;

  void launch(SupervisedInstance& instance);
  void become_ready(SupervisedInstance& instance, Moment now);
  void drain(SupervisedInstance& instance, StopCause cause, Moment now);
  void stop(SupervisedInstance& instance, StopCause cause);
  void freeze_or_thaw(SupervisedInstance& instance);
  void back_off(SupervisedInstance& instance, std::string reason, Moment now);
  void act(Action::Kind kind, const SupervisedInstance& instance);
  Duration startup_probe_delay(const SupervisedInstance& instance, Moment now) const;
  const ProbePlan& plan(core::ProbeRole role) const;
  /// Whether its answers matter in the state that the instance is in.
  bool is_asked(const SupervisedInstance& instance, core::ProbeRole role) const;
  void judge_startup(SupervisedInstance& instance, Moment now);
  void judge_readiness(SupervisedInstance& instance, Moment now);
  bool has_failed(const SupervisedInstance& instance, core::ProbeRole role) const;
  bool ask_what_is_due(SupervisedInstance& instance, Moment now);

  SupervisorSettings settings_;
  Random& random_;
  std::function<InstanceId()> make_id_;
  Wanted wanted_;
  bool wanted_known_ = false;
  std::string hold_;
  std::vector<SupervisedInstance> instances_;
  std::vector<Action> actions_;
};

}  // namespace gantry::agents
