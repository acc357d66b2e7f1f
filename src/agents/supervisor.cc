#include "agents/supervisor.h"

#include <algorithm>

namespace gantry::agents {
namespace {

bool is_failure(StopCause cause) { return cause == StopCause::not_ready || cause == StopCause::unhealthy; }

}  // namespace

std::string_view to_string(Intent intent) {
  switch (intent) {
    case Intent::run:
      return "run";
    case Intent::pause:
      return "pause";
    case Intent::stop:
      return "stop";
    case Intent::remove:
      return "remove";
  }
  return "stop";
}

std::optional<Intent> intent_from_string(std::string_view text) {
  for (Intent intent : {Intent::run, Intent::pause, Intent::stop, Intent::remove})
    if (to_string(intent) == text) return intent;
  return std::nullopt;
}

InstanceStatus SupervisedInstance::status() const {
  switch (phase) {
    case Phase::idle:
      return InstanceStatus::exited;
    case Phase::backoff:
      return InstanceStatus::backoff;
    case Phase::launching:
    case Phase::probing:
    case Phase::thawing:
      return InstanceStatus::starting;
    case Phase::ready:
      return admits ? InstanceStatus::ready : InstanceStatus::unready;
    case Phase::freezing:
    case Phase::paused:
      return InstanceStatus::paused;
    case Phase::draining:
    case Phase::stopping:
      return is_failure(cause) ? InstanceStatus::unready : InstanceStatus::stopping;
  }
  return InstanceStatus::exited;
}

Supervisor::Supervisor(SupervisorSettings settings, Random& random, std::function<InstanceId()> make_id)
    : settings_(settings), random_(random), make_id_(std::move(make_id)) {}

SupervisedInstance* Supervisor::find(InstanceId id, uint64_t generation) {
  for (SupervisedInstance& instance : instances_)
    if (instance.id == id && instance.generation == generation) return &instance;
  return nullptr;
}

// ---- Events ----------------------------------------------------------------------------------

void Supervisor::found(FoundInstance found, Moment now) {
  SupervisedInstance instance{
      .id = found.id, .replica = found.replica, .revision = found.revision, .restarts = found.restarts};
  if (found.program.has_value()) {
    instance.generation = 1;
    instance.pid = found.program->pid;
    instance.started_at = found.program->started_at;
    instance.started_steady = now.steady;
    // It may or may not be frozen; freezing and thawing are harmless if it is so already.
    instance.phase = Phase::paused;
    instance.is_found = true;
  }
  instances_.push_back(std::move(instance));
}

void Supervisor::want(const Wanted& wanted, Moment now) {
  wanted_ = wanted;
  wanted_known_ = true;
  // Who stops an agent does not wait for the long drain of a rollout.
  for (SupervisedInstance& instance : instances_)
    if (instance.phase == Phase::draining && end_of(instance) == StopCause::verb)
      instance.deadline = std::min(instance.deadline, now.steady + wanted_.drain);
  reconcile(now);
}

void Supervisor::hold(std::string reason, Moment now) {
  hold_ = std::move(reason);
  reconcile(now);
}

void Supervisor::restart(Moment now) {
  for (SupervisedInstance& instance : instances_) instance.restart_wanted = instance.has_program();
  hurry(now);
}

void Supervisor::hurry(Moment now) {
  for (SupervisedInstance& instance : instances_) {
    instance.failures = 0;
    instance.given_up = false;
    if (instance.phase == Phase::backoff) instance.deadline = now.steady;
  }
  reconcile(now);
}

void Supervisor::started(InstanceId id, uint64_t generation, int64_t pid, Moment now) {
  SupervisedInstance* instance = find(id, generation);
  if (instance == nullptr || instance->phase != Phase::launching) return;
  instance->phase = Phase::probing;
  instance->pid = pid;
  instance->started_at = now.wall;
  instance->started_steady = now.steady;
  instance->deadline = now.steady + wanted_.ready_within;
  for (ProbeState& probe : instance->probes) probe.next = now.steady;
  reconcile(now);
}

void Supervisor::start_failed(InstanceId id, uint64_t generation, std::string reason, Moment now) {
  SupervisedInstance* instance = find(id, generation);
  if (instance == nullptr || instance->phase != Phase::launching) return;
  back_off(*instance, std::move(reason), now);
  reconcile(now);
}

void Supervisor::drained(InstanceId id, Moment now) {
  for (SupervisedInstance& instance : instances_)
    if (instance.id == id && instance.phase == Phase::draining) instance.deadline = now.steady;
  reconcile(now);
}

void Supervisor::frozen(InstanceId id, uint64_t generation, Result<> result, Moment now) {
  SupervisedInstance* instance = find(id, generation);
  if (instance == nullptr || instance->phase != Phase::freezing) return;
  instance->phase = Phase::paused;
  // It gets no requests either way; that it still uses the processor must be seen.
  if (!result.has_value()) instance->reason = "not frozen: " + result.error().reason();
  reconcile(now);
}

void Supervisor::thawed(InstanceId id, uint64_t generation, Result<> result, Moment now) {
  SupervisedInstance* instance = find(id, generation);
  if (instance == nullptr || instance->phase != Phase::thawing) return;
  if (!result.has_value()) {
    instance->reason = "not resumed: " + result.error().reason();
    stop(*instance, StopCause::unhealthy);
  } else {
    instance->phase = instance->was_ready ? Phase::ready : Phase::probing;
    instance->deadline = now.steady + wanted_.ready_within;
    for (ProbeState& probe : instance->probes) {
      probe.next = now.steady;
      probe.failed = 0;
    }
    if (instance->was_ready && instance->admits) instance->reason.clear();
  }
  reconcile(now);
}

void Supervisor::exited(InstanceId id, uint64_t generation, std::string reason, Moment now) {
  SupervisedInstance* instance = find(id, generation);
  if (instance == nullptr || !instance->has_program()) return;
  act(Action::Kind::close, *instance);
  const StopCause cause = instance->cause;
  const bool is_given_up = cause == StopCause::unhealthy && wanted_.on_unhealthy == core::OnUnhealthy::stop;
  if (is_given_up) {
    instance->phase = Phase::idle;
    instance->given_up = true;
  } else if (cause == StopCause::none || is_failure(cause)) {
    // Our own reason says more than the exit code of a program that we ended.
    back_off(*instance, cause == StopCause::none ? std::move(reason) : instance->reason, now);
  } else {
    instance->phase = Phase::idle;
    instance->failures = 0;
    instance->reason = cause == StopCause::restart ? "" : "stopped";
  }
  instance->pid = 0;
  instance->started_at.reset();
  instance->ready_at.reset();
  instance->cause = StopCause::none;
  instance->restart_wanted = false;
  reconcile(now);
}

void Supervisor::tick(Moment now) { reconcile(now); }

// ---- Steps of one instance -------------------------------------------------------------------

void Supervisor::launch(SupervisedInstance& instance) {
  ++instance.generation;
  if (instance.failures > 0) ++instance.restarts;
  instance.phase = Phase::launching;
  instance.was_ready = instance.is_up = instance.admits = false;
  instance.probes = {};
  act(Action::Kind::start, instance);
}

void Supervisor::become_ready(SupervisedInstance& instance, Moment now) {
  instance.phase = Phase::ready;
  instance.admits = true;
  instance.reason.clear();
  instance.ready_at = now.wall;
  instance.ready_steady = now.steady;
  act(Action::Kind::open, instance);
}

void Supervisor::drain(SupervisedInstance& instance, StopCause cause, Moment now) {
  instance.phase = Phase::draining;
  instance.cause = cause;
  const bool taken_over = cause == StopCause::outdated || cause == StopCause::surplus;
  instance.deadline = now.steady + (taken_over ? wanted_.rollout_drain : wanted_.drain);
  act(Action::Kind::drain, instance);
}

void Supervisor::stop(SupervisedInstance& instance, StopCause cause) {
  instance.phase = Phase::stopping;
  instance.cause = cause;
  act(Action::Kind::stop, instance);
  actions_.back().grace = wanted_.grace;
}

void Supervisor::freeze_or_thaw(SupervisedInstance& instance) {
  const bool thaws = wanted_.intent == Intent::run;
  instance.is_found = false;
  instance.phase = thaws ? Phase::thawing : Phase::freezing;
  act(thaws ? Action::Kind::thaw : Action::Kind::freeze, instance);
}

void Supervisor::back_off(SupervisedInstance& instance, std::string reason, Moment now) {
  const bool was_healthy =
      instance.ready_at.has_value() && now.steady - instance.ready_steady >= settings_.restart_reset;
  if (was_healthy) instance.failures = 0;
  ++instance.failures;
  instance.reason = std::move(reason);
  instance.phase = Phase::backoff;
  instance.deadline = now.steady + settings_.restart.delay(instance.failures, random_);
}

void Supervisor::act(Action::Kind kind, const SupervisedInstance& instance) {
  actions_.push_back({.kind = kind,
                      .instance = instance.id,
                      .generation = instance.generation,
                      .replica = instance.replica,
                      .revision = instance.revision});
}

// ---- What comes out --------------------------------------------------------------------------

std::vector<Action> Supervisor::take_actions() { return std::exchange(actions_, {}); }

std::optional<SteadyTime> Supervisor::next_deadline() const {
  std::optional<SteadyTime> next;
  const auto consider = [&](SteadyTime time) { next = next.has_value() ? std::min(*next, time) : time; };
  for (const SupervisedInstance& instance : instances_) {
    if (instance.phase == Phase::backoff || instance.phase == Phase::probing || instance.phase == Phase::draining)
      consider(instance.deadline);
    for (core::ProbeRole role : core::probe_roles)
      if (is_asked(instance, role) && !instance.probe(role).runs) consider(instance.probe(role).next);
  }
  return next;
}

uint32_t Supervisor::ready() const {
  return served_replicas([](const SupervisedInstance&) { return true; });
}

uint32_t Supervisor::up_to_date() const {
  return served_replicas([this](const SupervisedInstance& instance) { return !is_outdated(instance); });
}

uint32_t Supervisor::served_replicas(const std::function<bool(const SupervisedInstance&)>& counts) const {
  uint32_t count = 0;
  for (uint32_t replica = 0; replica < wanted_.replicas; ++replica)
    count += std::ranges::any_of(instances_, [&](const SupervisedInstance& instance) {
      return instance.replica == replica && instance.serves() && counts(instance);
    });
  return count;
}

const SupervisedInstance* Supervisor::failing_successor() const {
  for (const SupervisedInstance& instance : instances_) {
    if (is_outdated(instance) || instance.serves() || instance.failures == 0) continue;
    const bool has_elder = std::ranges::any_of(instances_, [&](const SupervisedInstance& other) {
      return other.replica == instance.replica && is_outdated(other) && other.serves();
    });
    if (has_elder) return &instance;
  }
  return nullptr;
}

bool Supervisor::is_stuck() const {
  const SupervisedInstance* instance = failing_successor();
  return instance != nullptr && instance->failures >= settings_.crash_loop_after;
}

uint32_t Supervisor::restarts() const {
  uint32_t sum = 0;
  for (const SupervisedInstance& instance : instances_) sum += instance.restarts;
  return sum;
}

bool Supervisor::is_held_back() const {
  if (hold_.empty() || wanted_.intent != Intent::run) return false;
  uint32_t current = 0;
  for (const SupervisedInstance& instance : instances_)
    current += !is_outdated(instance) && !is_surplus(instance) && instance.phase != Phase::idle;
  return current < wanted_.replicas;
}

bool Supervisor::at_rest() const {
  return std::ranges::none_of(instances_, [](const SupervisedInstance& instance) {
    return instance.has_program() || instance.phase == Phase::backoff;
  });
}

bool Supervisor::settled() const {
  switch (wanted_.intent) {
    case Intent::stop:
    case Intent::remove:
      return at_rest();
    case Intent::pause:
      return std::ranges::all_of(instances_, [](const SupervisedInstance& instance) {
        return instance.phase == Phase::paused || !instance.has_program();
      });
    case Intent::run:
      break;
  }
  uint32_t current = 0;
  for (const SupervisedInstance& instance : instances_) {
    if (instance.phase == Phase::draining || instance.phase == Phase::stopping) {
      if (instance.cause != StopCause::outdated && instance.cause != StopCause::surplus) return false;
    } else if (!instance.serves() || is_outdated(instance)) {
      return false;
    } else {
      ++current;
    }
  }
  return current == wanted_.replicas;
}

AgentStatus Supervisor::status() const {
  if (wanted_.intent == Intent::stop || wanted_.intent == Intent::remove || wanted_.replicas == 0)
    return AgentStatus::stopped;
  if (wanted_.intent == Intent::pause) return AgentStatus::paused;
  const uint32_t ready_now = ready();
  const bool is_ill = std::ranges::any_of(instances_, [&](const SupervisedInstance& instance) {
    const bool shut = instance.phase == Phase::ready && !instance.admits;
    return is_failure(instance.cause) || instance.given_up || shut || has_failed(instance, core::ProbeRole::liveness);
  });
  if (ready_now == wanted_.replicas)
    return is_ill || failing_successor() != nullptr ? AgentStatus::degraded : AgentStatus::running;
  uint32_t most_failures = 0;
  for (const SupervisedInstance& instance : instances_)
    if (instance.phase != Phase::ready) most_failures = std::max(most_failures, instance.failures);
  if (ready_now == 0 && most_failures >= settings_.crash_loop_after) return AgentStatus::crash_loop;
  return most_failures > 0 || is_ill ? AgentStatus::degraded : AgentStatus::starting;
}

std::string Supervisor::reason() const {
  if (wanted_.replicas == 0 && wanted_.intent == Intent::run) return "scaled to 0 replicas";
  if (wanted_.intent == Intent::remove) return "being removed";
  if (wanted_.intent == Intent::stop) return "";
  if (is_held_back()) return hold_;
  if (const SupervisedInstance* instance = failing_successor())
    return fmt::format("revision {} does not become ready: {}; an older one still serves", wanted_.revision,
                       instance->reason);
  for (const SupervisedInstance& instance : instances_)
    if (!instance.reason.empty() && instance.cause != StopCause::outdated) return instance.reason;
  const auto outdated = static_cast<size_t>(
      std::ranges::count_if(instances_, [&](const SupervisedInstance& instance) { return is_outdated(instance); }));
  if (outdated > 0) return fmt::format("rolling out: {} of {} replicas are left", outdated, wanted_.replicas);
  return "";
}

}  // namespace gantry::agents
