// What an actor does for its supervisor: start, probe, stop, freeze, forget.
#include <algorithm>

#include "agents/actor.h"
#include "agents/probe.h"
#include "agents/volumes.h"

namespace gantry::agents {
namespace {

using telemetry::field;

/// Between two tries to delete an agent from a store that cannot be written.
constexpr Backoff removal_retry{.policy = Backoff::Policy::fixed, .initial = std::chrono::seconds(1)};
/// The files of an instance that is gone stay so long for those who follow its log.
constexpr Duration followed_log_kept = std::chrono::seconds(3);

}  // namespace

void Actor::adopt(InstanceId id, uint64_t generation, std::shared_ptr<sandbox::Sandbox> sandbox) {
  {
    std::lock_guard lock(running_mutex_);
    running_[id] = {sandbox, generation};
  }
  // Weak: the sandbox outlives an actor that leaves it running.
  sandbox->on_exit([weak = weak_from_this(), id, generation](const sandbox::ExitInfo& info) {
    const Self self = weak.lock();
    if (self == nullptr) return;
    self->post([id, generation, reason = info.describe()](Actor& actor, Moment moment) {
      actor.log_.info("program ended", field("instance", id), field("reason", reason));
      for (const SupervisedInstance& instance : actor.supervisor_.instances())
        if (instance.id == id) actor.tell("instance.exit", instance, reason);
      actor.supervisor_.exited(id, generation, reason, moment);
    });
  });
}

std::shared_ptr<sandbox::Sandbox> Actor::sandbox_of(InstanceId id) const {
  std::lock_guard lock(running_mutex_);
  auto found = running_.find(id);
  return found == running_.end() ? nullptr : found->second.sandbox;
}

std::vector<std::pair<InstanceId, std::shared_ptr<sandbox::Sandbox>>> Actor::sandboxes() const {
  std::lock_guard lock(running_mutex_);
  std::vector<std::pair<InstanceId, std::shared_ptr<sandbox::Sandbox>>> all;
  all.reserve(running_.size());
  for (const auto& [id, running] : running_) all.emplace_back(id, running.sandbox);
  return all;
}

Result<sandbox::Spec> Actor::sandbox_spec(const Action& action, const core::AgentSpec& spec) const {
  const Places& places = world_.places;
  // Missing parents are made here; the driver makes the last directory and gives it to the program's uid.
  GANTRY_TRY_VOID(os::make_directories(places.workspaces(id_), 0755));
  GANTRY_TRY_VOID(os::make_directories(places.instance(action.instance).parent_path(), 0755));
  GANTRY_TRY(std::vector<sandbox::Volume> volumes, resolve_volumes(spec.volumes, places.data));
  std::vector<std::pair<std::string, std::string>> env{{"PORT", std::to_string(spec.port)},
                                                       {"GANTRY_AGENT", spec.name},
                                                       {"GANTRY_INSTANCE", action.instance.to_string()},
                                                       {"GANTRY_REPLICA", std::to_string(action.replica)}};
  for (const auto& [name, value] : spec.env) {
    std::erase_if(env, [&](const auto& entry) { return entry.first == name; });
    env.emplace_back(name, value);
  }
  return sandbox::Spec{
      .id = action.instance,
      .name = spec.name,
      .command = spec.command,
      .env = std::move(env),
      .app_dir = spec.workdir.empty() ? std::filesystem::path() : world_.workdirs.path_of(spec.workdir),
      .workspace_dir = places.workspace(id_, action.replica),
      .volumes = std::move(volumes),
      .instance_dir = places.instance(action.instance),
      .limits = {.memory = spec.resources.memory,
                 .cpu = spec.resources.cpu,
                 .pids = spec.resources.pids,
                 .tmp = spec.resources.tmp,
                 .workspace = spec.resources.workspace}};
}

Task<void> Actor::launch(Self self, Action action, std::shared_ptr<const core::AgentSpec> spec) {
  ActorWorld& world = self->world_;
  const auto failed = [self, action](const Error& error) {
    self->log_.warn("instance did not start", field("instance", action.instance), field("error", error));
    self->world_.events.record(self->route_->scope(), {.type = "instance.start_failed",
                                                       .agent = self->route_->name(),
                                                       .instance = action.instance,
                                                       .replica = action.replica,
                                                       .reason = error.reason()});
    self->post([action, reason = error.reason()](Actor& actor, Moment moment) {
      actor.supervisor_.start_failed(action.instance, action.generation, reason, moment);
    });
  };
  // The last time, in words, if this start follows a failure.
  std::string after_failure;
  const uint32_t restarts = [&] {
    for (const SupervisedInstance& instance : self->supervisor_.instances()) {
      if (instance.id != action.instance) continue;
      if (instance.failures > 0) after_failure = fmt::format("after {}", instance.reason);
      return instance.restarts;
    }
    return 0u;
  }();
  const uint32_t revision = self->record_.revision_number;
  // Before the program: one that nobody has written down would not be found again.
  const InstanceRecord record{action.instance, self->id_, action.replica, action.revision, restarts};
  auto saved = co_await world.parts.database.write(
      self->route_->scope(), [record](store::Session& session) { return save_instance(session, record); },
      store::Durability::deferred);
  if (!saved.has_value()) co_return failed(saved.error());
  auto prepared = co_await world.parts.blocking.run([&] { return self->sandbox_spec(action, *spec); });
  if (!prepared.has_value()) co_return failed(prepared.error());
  if (!prepared->has_value()) co_return failed(prepared->error());
  auto started = co_await world.parts.sandbox.start(std::move(**prepared));
  if (!started.has_value()) co_return failed(started.error());
  const int64_t pid = (*started)->pid();
  self->log_.info("instance started", field("instance", action.instance), field("replica", action.replica),
                  field("pid", pid));
  world.events.record(self->route_->scope(), {.type = after_failure.empty() ? "instance.start" : "instance.restart",
                                              .agent = self->route_->name(),
                                              .instance = action.instance,
                                              .replica = action.replica,
                                              .revision = revision,
                                              .reason = std::move(after_failure)});
  self->post([action, pid](Actor& actor, Moment moment) {
    actor.supervisor_.started(action.instance, action.generation, pid, moment);
  });
  self->adopt(action.instance, action.generation, std::move(*started));
}

Task<void> Actor::probe_once(Self self, Action action, std::shared_ptr<const core::AgentSpec> spec) {
  std::shared_ptr<sandbox::Sandbox> sandbox = self->sandbox_of(action.instance);
  ProbeResult result{ProbeResult::Outcome::unhealthy, "the program is gone"};
  const core::Probe* asked = spec->health.probe(action.role);
  if (sandbox != nullptr && asked != nullptr)
    result = co_await probe(std::move(sandbox), *asked, spec->port, self->world_.parts.clock);
  self->post([action, result](Actor& actor, Moment moment) {
    actor.supervisor_.probed(action.instance, action.generation, action.role, result, moment);
  });
}

Task<void> Actor::stop_program(Self self, Action action) {
  const std::shared_ptr<sandbox::Sandbox> sandbox = self->sandbox_of(action.instance);
  std::string reason = "stopped";
  if (sandbox != nullptr) reason = (co_await sandbox->stop(action.grace)).describe();
  self->post([action, reason](Actor& actor, Moment moment) {
    actor.supervisor_.exited(action.instance, action.generation, reason, moment);
  });
}

Task<void> Actor::freeze_or_thaw(Self self, Action action) {
  const std::shared_ptr<sandbox::Sandbox> sandbox = self->sandbox_of(action.instance);
  Result<> result;
  if (sandbox != nullptr) {
    // Not in one conditional expression: see docs/adr/0002-coroutine-subset-and-compiler.md.
    if (action.kind == Action::Kind::freeze)
      result = co_await sandbox->pause();
    else
      result = co_await sandbox->resume();
  }
  self->post([action, result](Actor& actor, Moment moment) {
    if (action.kind == Action::Kind::freeze)
      actor.supervisor_.frozen(action.instance, action.generation, result, moment);
    else
      actor.supervisor_.thawed(action.instance, action.generation, result, moment);
  });
}

Task<void> Actor::forget_instance(Self self, Action action) {
  auto deleted = co_await self->world_.parts.database.write(
      self->route_->scope(), [id = action.instance](store::Session& session) { return delete_instance(session, id); },
      store::Durability::deferred);
  // A row that stays is found dead at the next start and forgotten then.
  if (!deleted.has_value())
    self->log_.warn("instance not forgotten", field("instance", action.instance), field("error", deleted.error()));
  if (*self->world_.log_followers > 0) co_await sleep_for(followed_log_kept);
  auto removed = co_await self->world_.parts.blocking.run(
      [&] { return os::remove_tree(self->world_.places.instance(action.instance)); });
  if (removed.has_value() && !removed->has_value())
    self->log_.warn("instance files not deleted", field("instance", action.instance), field("error", removed->error()));
}

Task<Result<>> Actor::delete_from_store(Self self) {
  ActorWorld& world = self->world_;
  co_return co_await world.parts.database.write(self->route_->scope(), [&](store::Session& session) -> Result<> {
    GANTRY_TRY_VOID(delete_agent(session, self->id_));
    return world.events.insert(session, {.type = "agent.remove", .agent = self->route_->name()},
                               world.parts.clock.now());
  });
}

// The stop of the daemon ends it; the next start goes on with the removal.
Task<bool> Actor::sleep_unless_ending(Self self, Duration pause) {
  if (self->ending_.has_value()) co_return false;
  co_await sleep_for(pause);
  co_return true;
}

Task<void> Actor::finish_removal(Self self) {
  ActorWorld& world = self->world_;
  self->route_->set_intent(Availability::removed);
  RetryPlan plan{.backoff = removal_retry,
                 .again =
                     [self](const Error& error) {
                       self->log_.error("agent not deleted from the store", field("error", error));
                       return true;
                     },
                 .sleep = [self](Duration pause) { return sleep_unless_ending(self, pause); },
                 .clock = self->world_.parts.clock,
                 .random = self->world_.parts.random};
  auto deleted = co_await retry(std::move(plan), [self] { return delete_from_store(self); });
  if (!deleted.has_value()) co_return;
  auto removed = co_await self->world_.parts.blocking.run(
      [&] { return os::remove_tree(self->world_.places.workspaces(self->id_)); });
  if (removed.has_value() && !removed->has_value())
    self->log_.warn("workspaces not deleted", field("error", removed->error()));
  world.events.committed();
  self->world_.forget(self->id_, self->route_->scope(), self->route_->name());
  self->log_.info("agent removed");
  self->post([](Actor& actor, Moment) { actor.gone_ = true; });
}

}  // namespace gantry::agents
