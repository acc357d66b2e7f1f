#include "agents/actor.h"

#include <algorithm>

namespace gantry::agents {
namespace {

using telemetry::field;

/// The supervisor's wake-up when nothing is due: any event comes earlier.
constexpr Duration nothing_due = std::chrono::hours(1);
/// A percentage of CPU is one of at least so long.
constexpr Duration shortest_cpu_interval = std::chrono::milliseconds(500);

class SandboxDialer final : public Dialer {
 public:
  explicit SandboxDialer(std::shared_ptr<sandbox::Sandbox> sandbox) : sandbox_(std::move(sandbox)) {}
  Task<Result<os::Fd>> dial(uint16_t port) override { return sandbox_->dial(port); }

 private:
  std::shared_ptr<sandbox::Sandbox> sandbox_;
};

ProbePlan plan_of(const core::Probe& probe) {
  return {.interval = probe.interval, .retries = probe.retries, .successes = probe.successes};
}

Wanted wanted_of(const AgentRecord& record) {
  const core::AgentSpec& spec = *record.spec;
  const core::Health& health = spec.health;
  const Wanted unasked;
  return {.intent = record.intent,
          .replicas = record.replicas,
          .revision = record.program_revision,
          .startup = health.startup ? plan_of(*health.startup) : unasked.startup,
          .readiness = health.readiness ? plan_of(*health.readiness) : unasked.readiness,
          .liveness = plan_of(*health.probe(core::ProbeRole::liveness)),
          .on_unhealthy = health.on_unhealthy,
          .ready_within = health.grace,
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
      route_(std::make_shared<Route>(record.id, record.name, record.scope, std::move(listeners), world.parts.clock)),
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
    supervisor_.found(instance, moment);
    if (one.sandbox != nullptr) adopt(one.record.id, 1, one.sandbox);
  }
  watch_dependencies();
  look_at_dependencies(moment);
  supervisor_.want(wanted_of(record_), moment);
  publish();
  static_cast<void>(world_.loops.spawn(executor_, run(shared_from_this())));
}

uint64_t Actor::order(AgentRecord record, Order order) {
  std::lock_guard lock(orders_mutex_);
  auto taken = mailbox_.try_send([record = std::move(record), order](Actor& actor, Moment moment) mutable {
    actor.take_over(std::move(record));
    if (order == Order::hurry) actor.supervisor_.hurry(moment);
    if (order == Order::restart) actor.supervisor_.restart(moment);
    ++actor.orders_done_;
  });
  // Closed: the agent is gone or the daemon stops, and who waits for the order is told so.
  static_cast<void>(taken);
  return ++orders_taken_;
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
  const auto sent = mailbox_.try_send(std::move(event));
  // Full would mean more events than actions: a defect. Closed means that nobody is left to care.
  GANTRY_CHECK(sent.has_value() || sent.error().code() == Code::cancelled);
}

void Actor::spawn(Task<void> task) {
  // Refused only when the daemon stops; then nobody waits for the answer either.
  static_cast<void>(world_.tasks.spawn(executor_, std::move(task)));
}

// ---- The loop --------------------------------------------------------------------------------

Task<void> Actor::run(Self self) {
  while (!self->is_over()) {
    self->handle_events();
    for (const Action& action : self->supervisor_.take_actions()) self->execute(action);
    self->publish();
    if (self->is_over()) break;
    const SteadyTime latest = self->now().steady + nothing_due;
    const SteadyTime deadline = std::min(self->supervisor_.next_deadline().value_or(latest), latest);
    const bool woken = co_await self->mailbox_.wait(deadline);
    if (!woken) self->supervisor_.tick(self->now());
  }
  self->mailbox_.close();
  self->publish();
}

bool Actor::is_over() const {
  if (gone_) return true;
  if (!ending_.has_value()) return false;
  return *ending_ == AtStop::keep_instances || supervisor_.at_rest();
}

void Actor::handle_events() {
  for (Event& event : mailbox_.take_all()) event(*this, now());
  if (record_.intent == Intent::remove && supervisor_.settled() && !removal_begun_ && !ending_.has_value()) {
    removal_begun_ = true;
    spawn(finish_removal(shared_from_this()));
  }
}

void Actor::take_over(AgentRecord record) {
  // A daemon that stops does not start anything again.
  if (record.version < record_.version || ending_.has_value()) return;
  if (record.program_revision != record_.program_revision && record.intent == Intent::run) {
    rolls_out_ = true;
    tell("agent.rollout",
         fmt::format("revision {} replaces revision {}", record.revision_number, record_.revision_number));
  }
  record_ = std::move(record);
  route_->set_spec(record_.spec);
  route_->set_intent(availability_of(record_.intent));
  watch_dependencies();
  look_at_dependencies(now());
  supervisor_.want(wanted_of(record_), now());
}

void Actor::watch_dependencies() {
  world_.dependencies.watch(id_, record_.scope, record_.spec->depends_on, [weak = weak_from_this()] {
    if (const Self self = weak.lock())
      self->post([](Actor& actor, Moment moment) { actor.look_at_dependencies(moment); });
  });
}

// Asked for anew each time: of several changes only the last one counts.
void Actor::look_at_dependencies(Moment moment) {
  missing_ = world_.dependencies.missing(record_.scope, record_.spec->depends_on);
  supervisor_.hold(in_words(missing_), moment);
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
    case Action::Kind::shut:
      return route_->shut(action.instance);
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
  if (route_->reopen(action.instance)) return;
  std::shared_ptr<sandbox::Sandbox> sandbox = sandbox_of(action.instance);
  if (sandbox == nullptr) return;
  log_.info("instance is ready", field("instance", action.instance), field("replica", action.replica));
  world_.events.record(
      route_->scope(),
      {.type = "instance.ready", .agent = route_->name(), .instance = action.instance, .replica = action.replica});
  route_->add(std::make_shared<Target>(
      Target::Names{.instance = action.instance, .replica = action.replica, .generation = action.generation},
      record_.spec->port, std::make_shared<SandboxDialer>(std::move(sandbox))));
}

// ---- What others see -------------------------------------------------------------------------

double Actor::cpu_percent(InstanceId instance, Duration cpu_time, Moment moment, Time started_at) {
  std::lock_guard lock(running_mutex_);
  CpuReading& before = cpu_[instance];
  const bool is_first = before.at == SteadyTime{};
  // Two who ask at the same time must not leave each other an interval in which nothing can be seen.
  if (!is_first && moment.steady - before.at < shortest_cpu_interval) return before.percent;
  const Duration wall = is_first ? moment.wall - started_at : moment.steady - before.at;
  const Duration used = cpu_time - before.cpu_time;
  before = {cpu_time, moment.steady, 0};
  if (wall <= Duration(0) || used < Duration(0)) return 0;
  before.percent = 100.0 * static_cast<double>(used.count()) / static_cast<double>(wall.count());
  return before.percent;
}

std::optional<StatsView> Actor::stats_of(InstanceId id, const sandbox::Stats& measured, Time started_at) {
  const auto published = this->published();
  auto instance = std::ranges::find(published->agent.instances, id, &InstanceView::id);
  if (instance == published->agent.instances.end()) return std::nullopt;
  const core::Resources& limits = published->agent.spec->resources;
  const Route::Load load = route_->load(id);
  const Route::Use use = route_->use(id);
  return StatsView{.agent = published->agent.name,
                   .instance = id,
                   .replica = instance->replica,
                   .cpu_percent = cpu_percent(id, measured.cpu_time, now(), started_at),
                   .cpu_ms = static_cast<uint64_t>(measured.cpu_time / std::chrono::milliseconds(1)),
                   .memory = measured.memory,
                   .memory_limit = limits.memory,
                   .pids = measured.pids,
                   .pids_limit = limits.pids,
                   .workspace = measured.workspace,
                   .workspace_limit = limits.workspace,
                   .bytes_in = use.bytes_in,
                   .bytes_out = use.bytes_out,
                   .in_flight = load.in_flight,
                   .requests_total = load.requests_total,
                   .recent = use.requests,
                   .restarts = instance->restarts,
                   .breaker = load.breaker};
}

HealthView Actor::health_of(const SupervisedInstance& instance) const {
  HealthView view{.instance = instance.id, .replica = instance.replica, .healthy = instance.serves()};
  uint32_t most_failures = 0;
  for (core::ProbeRole role : core::probe_roles) {
    const core::Probe* probe = record_.spec->health.probe(role);
    const ProbeState& state = instance.probe(role);
    if (probe == nullptr || !state.checked_at) continue;
    view.probes.push_back({.probe = std::string(core::to_string(role)),
                           .healthy = state.failed == 0,
                           .kind = std::string(core::to_string(probe->kind)),
                           .detail = state.last.detail,
                           .checked_at = state.checked_at,
                           .consecutive_failures = state.failed});
    view.healthy = view.healthy && state.failed == 0;
    // Above them stands the one that fails, else the last.
    if (state.failed < most_failures) continue;
    most_failures = state.failed;
    view.kind = view.probes.back().kind;
    view.detail = state.last.detail;
    view.checked_at = state.checked_at;
    view.consecutive_failures = state.failed;
  }
  if (view.kind.empty()) view.kind = core::to_string(record_.spec->health.check.kind);
  return view;
}

InstanceView Actor::view_of(const SupervisedInstance& instance) const {
  InstanceView view{.id = instance.id,
                    .replica = instance.replica,
                    .revision = instance.revision,
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

void Actor::tell(std::string type, std::string reason) {
  world_.events.record(route_->scope(),
                       {.type = std::move(type), .agent = route_->name(), .reason = std::move(reason)});
}

void Actor::tell(std::string type, const SupervisedInstance& instance, std::string reason) {
  world_.events.record(route_->scope(), {.type = std::move(type),
                                         .agent = route_->name(),
                                         .instance = instance.id,
                                         .replica = instance.replica,
                                         .reason = std::move(reason)});
}

// What no single event of the supervisor stands for: it is seen in what comes out of many.
void Actor::tell_changes() {
  std::unordered_set<InstanceId> unhealthy;
  for (const SupervisedInstance& instance : supervisor_.instances()) {
    const bool is_ended = instance.cause == StopCause::not_ready || instance.cause == StopCause::unhealthy;
    if (!is_ended && instance.status() != InstanceStatus::unready) continue;
    unhealthy.insert(instance.id);
    if (!told_unhealthy_.contains(instance.id)) tell("instance.unhealthy", instance, instance.reason);
  }
  told_unhealthy_ = std::move(unhealthy);
  const AgentStatus status = supervisor_.status();
  if (status == AgentStatus::crash_loop && told_status_ != status) tell("agent.crash_loop", supervisor_.reason());
  told_status_ = status;
  if (rolls_out_ && supervisor_.settled()) {
    rolls_out_ = false;
    tell("agent.rolled_out", fmt::format("revision {}", record_.revision_number));
  }
}

void Actor::publish() {
  tell_changes();
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
                 .up_to_date = supervisor_.up_to_date(),
                 .stuck = supervisor_.is_stuck(),
                 .revision = record_.revision,
                 .revision_number = record_.revision_number,
                 .created_at = record_.created_at,
                 .updated_at = record_.updated_at,
                 .restarts = supervisor_.restarts(),
                 .waits_for = {},
                 .spec = record_.spec,
                 .instances = {}};
  if (supervisor_.is_held_back())
    for (const Dependencies::Missing& one : missing_) next->agent.waits_for.push_back(one.name);
  next->health = {.agent = record_.name, .status = next->agent.status};
  for (const SupervisedInstance& instance : supervisor_.instances()) {
    next->agent.instances.push_back(view_of(instance));
    next->health.instances.push_back(health_of(instance));
  }
  std::ranges::sort(next->agent.instances, {},
                    [](const InstanceView& view) { return std::pair(view.replica, view.id); });
  std::ranges::sort(next->health.instances, {},
                    [](const HealthView& view) { return std::pair(view.replica, view.instance); });
  const bool is_ready = next->agent.ready > 0;
  published_.store(std::move(next));
  changed_.notify();
  if (gone_)
    world_.dependencies.forget(id_, record_.scope, record_.name);
  else
    world_.dependencies.tell(id_, record_.scope, record_.name, is_ready);
}

}  // namespace gantry::agents
