// The supervisor's probes: when they are asked, and what their answers mean.
#include <algorithm>

#include "agents/supervisor.h"

namespace gantry::agents {

std::string in_a_row(uint32_t probes) { return probes == 1 ? "1 probe" : fmt::format("{} probes in a row", probes); }

void Supervisor::probed(InstanceId id, uint64_t generation, core::ProbeRole role, ProbeResult result, Moment now) {
  SupervisedInstance* instance = find(id, generation);
  if (instance == nullptr || !instance->probe(role).runs) return;
  ProbeState& probe = instance->probe(role);
  probe.runs = false;
  if (!is_asked(*instance, role)) return;
  probe.checked_at = now.wall;
  const bool healthy = result.outcome == ProbeResult::Outcome::healthy;
  probe.failed = healthy ? 0 : probe.failed + 1;
  probe.succeeded = healthy ? probe.succeeded + 1 : 0;
  probe.last = std::move(result);
  // Whoever waits for it to be ready is not kept waiting by an interval that is meant for the years after.
  const Duration interval = plan(role).interval;
  const bool is_awaited =
      role == core::ProbeRole::readiness || (role == core::ProbeRole::startup && interval == Duration{});
  const bool hurries = instance->phase == Phase::probing && is_awaited;
  probe.next = now.steady + (hurries ? startup_probe_delay(*instance, now) : interval);
  if (role == core::ProbeRole::startup) judge_startup(*instance, now);
  if (role == core::ProbeRole::readiness) judge_readiness(*instance, now);
  if (role == core::ProbeRole::liveness && healthy && instance->serves()) instance->reason.clear();
  reconcile(now);
}

void Supervisor::judge_startup(SupervisedInstance& instance, Moment now) {
  if (instance.probe(core::ProbeRole::startup).succeeded == 0) return;
  instance.is_up = true;
  // The same question again at once would learn nothing.
  instance.probe(core::ProbeRole::liveness).next = now.steady + wanted_.liveness.interval;
  if (!wanted_.readiness.is_asked) become_ready(instance, now);
}

void Supervisor::judge_readiness(SupervisedInstance& instance, Moment now) {
  const ProbeState& probe = instance.probe(core::ProbeRole::readiness);
  if (probe.succeeded >= wanted_.readiness.successes) {
    if (instance.phase == Phase::probing) return become_ready(instance, now);
    if (instance.admits) return;
    instance.admits = true;
    instance.reason.clear();
    act(Action::Kind::open, instance);
  } else if (instance.serves() && probe.failed >= wanted_.readiness.retries) {
    instance.admits = false;
    instance.reason = fmt::format("not ready: {} ({})", probe.last.detail, in_a_row(probe.failed));
    act(Action::Kind::shut, instance);
  }
}

bool Supervisor::ask_what_is_due(SupervisedInstance& instance, Moment now) {
  bool asked = false;
  for (core::ProbeRole role : core::probe_roles) {
    ProbeState& probe = instance.probe(role);
    if (!is_asked(instance, role) || probe.runs || probe.next > now.steady) continue;
    probe.runs = true;
    act(Action::Kind::probe, instance);
    actions_.back().role = role;
    asked = true;
  }
  return asked;
}

Duration Supervisor::startup_probe_delay(const SupervisedInstance& instance, Moment now) const {
  return std::clamp<Duration>((now.steady - instance.started_steady) / 8, settings_.startup_probe_min,
                              settings_.startup_probe_max);
}

const ProbePlan& Supervisor::plan(core::ProbeRole role) const {
  switch (role) {
    case core::ProbeRole::startup:
      return wanted_.startup;
    case core::ProbeRole::readiness:
      return wanted_.readiness;
    case core::ProbeRole::liveness:
      break;
  }
  return wanted_.liveness;
}

bool Supervisor::is_asked(const SupervisedInstance& instance, core::ProbeRole role) const {
  if (instance.phase != Phase::probing && instance.phase != Phase::ready) return false;
  if (role == core::ProbeRole::startup) return !instance.is_up;
  return instance.is_up && plan(role).is_asked;
}

bool Supervisor::has_failed(const SupervisedInstance& instance, core::ProbeRole role) const {
  const uint32_t retries = plan(role).retries;
  return is_asked(instance, role) && retries != 0 && instance.probe(role).failed >= retries;
}

}  // namespace gantry::agents
