#include "agents/actor.h"

#include <algorithm>

#include "agents/probe.h"

namespace gantry::agents {
namespace {

using telemetry::field;

/// The supervisor's wake-up when nothing is due: any event comes earlier.
constexpr Duration nothing_due = std::chrono::hours(1);
/// Between two tries to delete an agent from a store that cannot be written.
constexpr Duration removal_retry = std::chrono::seconds(1);

class SandboxDialer final : public Dialer {
 public:
  explicit SandboxDialer(std::shared_ptr<sandbox::Sandbox> sandbox) : sandbox_(std::move(sandbox)) {}
  Task<Result<os::Fd>> dial(uint16_t port) override { return sandbox_->dial(port); }

 private:
  std::shared_ptr<sandbox::Sandbox> sandbox_;
};

Wanted wanted_of(const AgentRecord& record) {
  const core::AgentSpec& spec = *record.spec;
  return {.intent = record.intent,
          .replicas = record.replicas,
          .revision = record.program_revision,
          .probe_interval = spec.health.interval,
          .probe_retries = spec.health.retries,
          .ready_within = spec.health.grace,
          .drain = spec.grace,
          .rollout_drain = std::max(spec.timeout, spec.grace),
          .grace = spec.grace};
}

Availability availability_of(Intent intent) {
  switch (intent) {
    case Intent::run:
      return Availability::starting;
    case Intent::pause:
      return Availability::paused;
    case Intent::stop:
    case Intent::remove:
      return Availability::stopped;
  }
  return Availability::stopped;
}

Executor executor_of(IoThreads& threads, AgentId id) {
  return threads.executor(std::hash<AgentId>{}(id) % threads.size());
}

}  // namespace

Actor::Actor(ActorWorld& world, AgentRecord record, std::vector<Listener*> listeners)
    : world_(world),
      id_(record.id),
      executor_(executor_of(world.parts.threads, record.id)),
      log_(world.parts.logger.with(field("agent", record.name), field("scope", record.scope.path()))),
      route_(std::make_shared<Route>(record.id, record.name, record.scope, std::move(listeners))),
      record_(std::move(record)),
      supervisor_(world.settings, world.parts.random,
                  [&world] { return InstanceId::make(world.parts.clock, world.parts.random); }) {
  route_->set_spec(record_.spec);
  route_->set_intent(availability_of(record_.intent));
}

void Actor::start(std::vector<FoundSandbox> found) {
  route_->on_drained([weak = weak_from_this()](InstanceId id) {
    if (const Self self = weak.lock())
      self->post([id](Actor& actor, Moment moment) { actor.supervisor_.drained(id, moment); });
  });
  const Moment moment = now();
  for (FoundSandbox& one : found) {
    FoundInstance instance{.id = one.record.id,
                           .replica = one.record.replica,
                           .revision = one.record.program_revision,
                           .restarts = one.record.restarts};
    if (one.sandbox != nullptr)
      instance.program = FoundInstance::Program{one.sandbox->pid(), one.sandbox->started_at()};
    supervisor_.found(std::move(instance), moment);
    if (one.sandbox != nullptr) adopt(one.record.id, 1, one.sandbox);
  }
  supervisor_.want(wanted_of(record_), moment);
  publish();
  static_cast<void>(world_.loops.spawn(executor_, run(shared_from_this())));
}

uint64_t Actor::order(AgentRecord record, Order order) {
  uint64_t number = 0;
  {
    std::lock_guard lock(mailbox_mutex_);
    number = ++orders_taken_;
    mailbox_.push_back([record = std::move(record), order](Actor& actor, Moment moment) mutable {
      actor.take_over(std::move(record));
      if (order == Order::hurry) actor.supervisor_.hurry(moment);
      if (order == Order::restart) actor.supervisor_.restart(moment);
      ++actor.orders_done_;
    });
  }
  mail_.notify();
  return number;
}

void Actor::end(AtStop at_stop) {
  post([at_stop](Actor& actor, Moment moment) {
    actor.ending_ = at_stop;
    if (at_stop == AtStop::keep_instances) return;
    Wanted wanted = wanted_of(actor.record_);
    wanted.intent = Intent::stop;
    actor.supervisor_.want(wanted, moment);
  });
}

void Actor::post(Event event) {
  {
    std::lock_guard lock(mailbox_mutex_);
    mailbox_.push_back(std::move(event));
  }
  mail_.notify();
}

void Actor::spawn(Task<void> task) {
  // Refused only when the daemon stops; then nobody waits for the answer either.
  static_cast<void>(world_.tasks.spawn(executor_, std::move(task)));
}

// ---- The loop --------------------------------------------------------------------------------

Task<void> Actor::run(Self self) {
  while (!self->is_over()) {
    const Notifier::Ticket ticket = self->mail_.ticket();
    self->handle_events();
    for (const Action& action : self->supervisor_.take_actions()) self->execute(action);
    self->publish();
    if (self->is_over()) break;
    const SteadyTime latest = self->now().steady + nothing_due;
    const SteadyTime deadline = std::min(self->supervisor_.next_deadline().value_or(latest), latest);
    const bool woken = co_await self->mail_.wait(ticket, deadline);
    if (!woken) self->supervisor_.tick(self->now());
  }
  self->publish();
}

bool Actor::is_over() const {
  if (gone_) return true;
  if (!ending_.has_value()) return false;
  return *ending_ == AtStop::keep_instances || supervisor_.at_rest();
}

void Actor::handle_events() {
  std::deque<Event> events;
  {
    std::lock_guard lock(mailbox_mutex_);
    events.swap(mailbox_);
  }
  for (Event& event : events) event(*this, now());
  if (record_.intent == Intent::remove && supervisor_.settled() && !removal_begun_ && !ending_.has_value()) {
    removal_begun_ = true;
    spawn(finish_removal(shared_from_this()));
  }
}

void Actor::take_over(AgentRecord record) {
  // A daemon that stops does not start anything again.
  if (record.version < record_.version || ending_.has_value()) return;
  record_ = std::move(record);
  route_->set_spec(record_.spec);
  route_->set_intent(availability_of(record_.intent));
  supervisor_.want(wanted_of(record_), now());
}

void Actor::execute(const Action& action) {
  const Self self = shared_from_this();
  switch (action.kind) {
    case Action::Kind::start:
      return spawn(launch(self, action, record_.spec));
    case Action::Kind::probe:
      return spawn(probe_once(self, action, record_.spec));
    case Action::Kind::open:
      return open(action);
    case Action::Kind::drain:
      if (route_->drain(action.instance) == 0)
        post([id = action.instance](Actor& actor, Moment moment) { actor.supervisor_.drained(id, moment); });
      return;
    case Action::Kind::stop:
      return spawn(stop_program(self, action));
    case Action::Kind::freeze:
    case Action::Kind::thaw:
      return spawn(freeze_or_thaw(self, action));
    case Action::Kind::close: {
      route_->kill(action.instance);
      std::lock_guard lock(running_mutex_);
      running_.erase(action.instance);
      cpu_.erase(action.instance);
      return;
    }
    case Action::Kind::forget:
      return spawn(forget_instance(self, action));
  }
}

void Actor::open(const Action& action) {
  std::shared_ptr<sandbox::Sandbox> sandbox = sandbox_of(action.instance);
  if (sandbox == nullptr) return;
  log_.info("instance is ready", field("instance", action.instance), field("replica", action.replica));
  route_->add(std::make_shared<Target>(
      Target::Names{.instance = action.instance, .replica = action.replica, .generation = action.generation},
      record_.spec->port, std::make_shared<SandboxDialer>(std::move(sandbox))));
}

// ---- Actions ---------------------------------------------------------------------------------

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
    self->post([action, reason = error.reason()](Actor& actor, Moment moment) {
      actor.supervisor_.start_failed(action.instance, action.generation, reason, moment);
    });
  };
  const uint32_t restarts = [&] {
    for (const SupervisedInstance& instance : self->supervisor_.instances())
      if (instance.id == action.instance) return instance.restarts;
    return 0u;
  }();
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
  self->post([action, pid](Actor& actor, Moment moment) {
    actor.supervisor_.started(action.instance, action.generation, pid, moment);
  });
  self->adopt(action.instance, action.generation, std::move(*started));
}

Task<void> Actor::probe_once(Self self, Action action, std::shared_ptr<const core::AgentSpec> spec) {
  std::shared_ptr<sandbox::Sandbox> sandbox = self->sandbox_of(action.instance);
  ProbeResult result{ProbeResult::Outcome::unhealthy, "the program is gone"};
  if (sandbox != nullptr) result = co_await probe(std::move(sandbox), spec->health, spec->port);
  self->post([action, result](Actor& actor, Moment moment) {
    actor.supervisor_.probed(action.instance, action.generation, result, moment);
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
  auto removed = co_await self->world_.parts.blocking.run(
      [&] { return os::remove_tree(self->world_.places.instance(action.instance)); });
  if (removed.has_value() && !removed->has_value())
    self->log_.warn("instance files not deleted", field("instance", action.instance), field("error", removed->error()));
}

Task<void> Actor::finish_removal(Self self) {
  self->route_->set_intent(Availability::removed);
  for (;;) {
    auto deleted = co_await self->world_.parts.database.write(
        self->route_->scope(), [id = self->id_](store::Session& session) { return delete_agent(session, id); });
    if (deleted.has_value()) break;
    self->log_.error("agent not deleted from the store", field("error", deleted.error()));
    // The stop of the daemon ends it; the next start goes on with the removal.
    if (self->ending_.has_value()) co_return;
    co_await sleep_for(removal_retry);
  }
  auto removed = co_await self->world_.parts.blocking.run(
      [&] { return os::remove_tree(self->world_.places.workspaces(self->id_)); });
  if (removed.has_value() && !removed->has_value())
    self->log_.warn("workspaces not deleted", field("error", removed->error()));
  self->world_.forget(self->id_, self->route_->scope(), self->route_->name());
  self->log_.info("agent removed");
  self->post([](Actor& actor, Moment) { actor.gone_ = true; });
}

// ---- What others see -------------------------------------------------------------------------

double Actor::cpu_percent(InstanceId instance, Duration cpu_time, Moment moment, Time started_at) {
  std::lock_guard lock(running_mutex_);
  CpuReading& before = cpu_[instance];
  const bool is_first = before.at == SteadyTime{};
  const Duration wall = is_first ? moment.wall - started_at : moment.steady - before.at;
  const Duration used = cpu_time - before.cpu_time;
  before = {cpu_time, moment.steady};
  if (wall <= Duration(0) || used < Duration(0)) return 0;
  return 100.0 * static_cast<double>(used.count()) / static_cast<double>(wall.count());
}

InstanceView Actor::view_of(const SupervisedInstance& instance) const {
  InstanceView view{.id = instance.id,
                    .replica = instance.replica,
                    .status = instance.status(),
                    .reason = instance.reason,
                    .pid = instance.pid,
                    .started_at = instance.started_at,
                    .ready_at = instance.ready_at,
                    .restarts = instance.restarts};
  const std::shared_ptr<sandbox::Sandbox> sandbox = sandbox_of(instance.id);
  if (sandbox == nullptr) return view;
  const sandbox::Achieved& achieved = sandbox->achieved();
  view.isolation = {.driver = achieved.driver,
                    .rootless = achieved.rootless,
                    .user = fmt::format("uid {}", achieved.uid),
                    .namespaces = achieved.namespaces,
                    .seccomp = std::string(sandbox::to_string(achieved.seccomp))};
  for (const sandbox::AchievedLimit& limit : achieved.limits)
    view.limits.push_back({limit.name, limit.limit, std::string(sandbox::to_string(limit.grade)), limit.how});
  return view;
}

void Actor::publish() {
  auto next = std::make_shared<Published>();
  next->orders = orders_done_;
  // A removal has not ended before its rows and files are gone.
  next->settled = gone_ || (supervisor_.settled() && record_.intent != Intent::remove);
  next->gone = gone_;
  next->agent = {.id = id_,
                 .name = record_.name,
                 .scope = record_.scope,
                 .status = supervisor_.status(),
                 .reason = supervisor_.reason(),
                 .replicas = record_.replicas,
                 .ready = supervisor_.ready(),
                 .revision = record_.revision,
                 .revision_number = record_.revision_number,
                 .created_at = record_.created_at,
                 .updated_at = record_.updated_at,
                 .restarts = supervisor_.restarts(),
                 .spec = record_.spec};
  next->health = {.agent = record_.name, .status = next->agent.status};
  const std::string kind(core::to_string(record_.spec->health.kind));
  for (const SupervisedInstance& instance : supervisor_.instances()) {
    next->agent.instances.push_back(view_of(instance));
    next->health.instances.push_back({.instance = instance.id,
                                      .replica = instance.replica,
                                      .healthy = instance.phase == Phase::ready && instance.failed_probes == 0,
                                      .kind = kind,
                                      .detail = instance.last_probe.detail,
                                      .checked_at = instance.checked_at,
                                      .consecutive_failures = instance.failed_probes});
  }
  std::ranges::sort(next->agent.instances, {},
                    [](const InstanceView& view) { return std::pair(view.replica, view.id); });
  std::ranges::sort(next->health.instances, {},
                    [](const HealthView& view) { return std::pair(view.replica, view.instance); });
  published_.store(std::move(next));
  changed_.notify();
}

}  // namespace gantry::agents
