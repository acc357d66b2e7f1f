// The heart of the supervisor: compares each instance with what is wanted.
#include <algorithm>

#include "agents/supervisor.h"

namespace gantry::agents {
namespace {

/// Serves, or may serve soon: worth keeping until its successor is ready.
bool is_serving(const SupervisedInstance& instance) {
  switch (instance.phase) {
    case Phase::launching:
    case Phase::probing:
    case Phase::ready:
    case Phase::freezing:
    case Phase::paused:
    case Phase::thawing:
      return true;
    default:
      return false;
  }
}

}  // namespace

bool Supervisor::is_surplus(const SupervisedInstance& instance) const {
  return instance.replica >= wanted_.replicas || wanted_.intent == Intent::remove;
}

bool Supervisor::successor_is_ready(const SupervisedInstance& instance) const {
  return std::ranges::any_of(instances_, [&](const SupervisedInstance& other) {
    return other.replica == instance.replica && !is_outdated(other) && other.serves();
  });
}

StopCause Supervisor::end_of(const SupervisedInstance& instance) const {
  if (wanted_.intent == Intent::stop || wanted_.intent == Intent::remove) return StopCause::verb;
  if (is_surplus(instance)) return StopCause::surplus;
  if (instance.restart_wanted) return StopCause::restart;
  // An outdated instance that does not serve has nothing to be kept for. A paused one waits for the resume.
  const bool keeps_serving = instance.serves() || wanted_.intent == Intent::pause;
  if (is_outdated(instance) && (!keeps_serving || successor_is_ready(instance))) return StopCause::outdated;
  return StopCause::none;
}

void Supervisor::reconcile(Moment now) {
  if (!wanted_known_) return;
  // Each pass makes progress in a finite order (end, forget, add, start), so this ends.
  for (bool changed = true; changed;) {
    changed = false;
    for (SupervisedInstance& instance : instances_) changed |= advance(instance, now);
    changed |= retire_idle();
    changed |= add_missing();
  }
}

bool Supervisor::advance(SupervisedInstance& instance, Moment now) {
  const bool due = instance.deadline <= now.steady;
  switch (instance.phase) {
    case Phase::idle:
      instance.given_up = instance.given_up && wanted_.intent == Intent::run;
      if (wanted_.intent != Intent::run || is_surplus(instance) || is_outdated(instance) || instance.given_up)
        return false;
      if (!hold_.empty()) return false;
      launch(instance);
      return true;
    case Phase::backoff:
      if (wanted_.intent != Intent::run)
        instance.phase = Phase::idle;
      else if (due && !is_surplus(instance) && !is_outdated(instance))
        launch(instance);
      else
        return false;
      return true;
    case Phase::probing:
    case Phase::ready:
      return advance_probed(instance, now);
    case Phase::draining:
      if (!due) return false;
      stop(instance, instance.cause);
      return true;
    case Phase::paused:
      if (const StopCause cause = end_of(instance); cause != StopCause::none)
        stop(instance, cause);
      else if (wanted_.intent == Intent::run || instance.is_found)
        freeze_or_thaw(instance);
      else
        return false;
      return true;
    case Phase::launching:
    case Phase::freezing:
    case Phase::thawing:
    case Phase::stopping:
      return false;
  }
  return false;
}

bool Supervisor::advance_probed(SupervisedInstance& instance, Moment now) {
  const bool is_ready = instance.phase == Phase::ready;
  if (const StopCause cause = end_of(instance); cause != StopCause::none) {
    is_ready ? drain(instance, cause, now) : stop(instance, cause);
    return true;
  }
  if (wanted_.intent == Intent::pause) {
    instance.was_ready = is_ready;
    freeze_or_thaw(instance);
    return true;
  }
  // A spec without a readiness probe may have taken the place of one with it.
  if (instance.is_up && !instance.serves() && !wanted_.readiness.is_asked) {
    become_ready(instance, now);
    return true;
  }
  if (has_failed(instance, core::ProbeRole::liveness)) {
    const ProbeState& probe = instance.probe(core::ProbeRole::liveness);
    instance.reason = fmt::format("not healthy: {} ({})", probe.last.detail, in_a_row(probe.failed));
    if (wanted_.on_unhealthy != core::OnUnhealthy::none) {
      is_ready ? drain(instance, StopCause::unhealthy, now) : stop(instance, StopCause::unhealthy);
      return true;
    }
  }
  const core::ProbeRole awaited = instance.is_up ? core::ProbeRole::readiness : core::ProbeRole::startup;
  const bool fails_to_start = !instance.is_up && has_failed(instance, core::ProbeRole::startup);
  if (!is_ready && (fails_to_start || instance.deadline <= now.steady)) {
    const ProbeState& probe = instance.probe(awaited);
    const std::string how_long =
        fails_to_start ? fmt::format(" ({})", in_a_row(probe.failed)) : " for " + format_duration(wanted_.ready_within);
    instance.reason = fmt::format("not ready: {}{}", probe.last.detail, how_long);
    stop(instance, StopCause::not_ready);
    return true;
  }
  return ask_what_is_due(instance, now);
}

bool Supervisor::retire_idle() {
  const size_t removed = std::erase_if(instances_, [&](const SupervisedInstance& instance) {
    if (instance.has_program() || (!is_surplus(instance) && !is_outdated(instance))) return false;
    act(Action::Kind::forget, instance);
    return true;
  });
  return removed > 0;
}

uint32_t Supervisor::surging() const {
  uint32_t count = 0;
  for (const SupervisedInstance& instance : instances_) {
    const bool beside_another = std::ranges::any_of(instances_, [&](const SupervisedInstance& other) {
      return other.replica == instance.replica && is_outdated(other) && is_serving(other);
    });
    if (!is_outdated(instance) && !instance.serves() && beside_another) ++count;
  }
  return count;
}

bool Supervisor::needs_instance(uint32_t replica, uint32_t& surging) const {
  bool older_lives = false;
  bool older_serves = false;
  for (const SupervisedInstance& instance : instances_) {
    if (instance.replica != replica) continue;
    if (!is_outdated(instance)) return false;
    older_lives |= instance.has_program();
    older_serves |= is_serving(instance);
  }
  // One that is ending still has the workspace: its successor waits for it.
  if (older_lives && !older_serves) return false;
  if (!older_lives) return true;
  if (surging >= settings_.surge) return false;
  ++surging;
  return true;
}

bool Supervisor::add_missing() {
  if (wanted_.intent != Intent::run || !hold_.empty()) return false;
  bool added = false;
  uint32_t count = surging();
  for (uint32_t replica = 0; replica < wanted_.replicas; ++replica) {
    if (!needs_instance(replica, count)) continue;
    instances_.push_back({.id = make_id_(), .replica = replica, .revision = wanted_.revision});
    added = true;
  }
  return added;
}

}  // namespace gantry::agents
