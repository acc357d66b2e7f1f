// One agent at work: feeds its supervisor with what happened and does what it answers. Private to
// agents/.
//
// All of it runs in one coroutine on one I/O thread. Others post events into its mailbox, which never
// holds more than one answer for each action under way plus the verbs that callers wait for.
#pragma once

#include <atomic>
#include <unordered_map>
#include <unordered_set>

#include "agents/agents.h"
#include "agents/dependencies.h"
#include "agents/event_log.h"
#include "agents/records.h"
#include "agents/supervisor.h"

namespace gantry::agents {

/// Where the parts of one agent are on disk.
struct Places {
  std::filesystem::path data;
  std::filesystem::path instance(InstanceId id) const { return data / "instances" / id.to_string(); }
  std::filesystem::path workspaces(AgentId agent) const { return data / "workspaces" / agent.to_string(); }
  std::filesystem::path workspace(AgentId agent, uint32_t replica) const {
    return workspaces(agent) / std::to_string(replica);
  }
};

/// What all actors share; outlives them.
struct ActorWorld {
  Parts parts;
  SupervisorSettings settings;
  Places places;
  Workdirs& workdirs;
  Dependencies& dependencies;
  EventLog& events;
  TaskGroup& loops;  ///< the actors themselves; joined before `tasks`
  TaskGroup& tasks;  ///< what they do
  /// The agent is gone from the store; takes its actor out of the registry.
  std::function<void(AgentId, const Scope&, const std::string& name)> forget;
  /// Who follows logs now. Their files are deleted a moment later then, so that no last line is missed.
  std::shared_ptr<std::atomic<uint32_t>> log_followers = std::make_shared<std::atomic<uint32_t>>(0);
};

/// What others see of an agent: replaced as a whole, never changed.
struct Published {
  uint64_t orders = 0;  ///< how many orders it takes into account
  bool settled = false;
  bool gone = false;  ///< removed, and nothing of it is left
  AgentView agent;
  AgentHealth health;
};

/// A running program and what was measured of it.
struct Running {
  std::shared_ptr<sandbox::Sandbox> sandbox;
  uint64_t generation = 0;
};

/// An instance of an earlier life of the daemon, with its sandbox if that still runs.
struct FoundSandbox {
  InstanceRecord record;
  std::shared_ptr<sandbox::Sandbox> sandbox;
};

/// What a verb adds to the record that it changed.
enum class Order { apply, restart, hurry };

class Actor : public std::enable_shared_from_this<Actor> {
 public:
  Actor(ActorWorld& world, AgentRecord record, std::vector<Listener*> listeners);

  /// Starts supervision; `found` is what an earlier life left.
  void start(std::vector<FoundSandbox> found);
  /// Takes over a newer record (older ones are ignored). What `Published::orders` reaches when done.
  uint64_t order(AgentRecord record, Order order);
  /// Ends the programs but not the wish to run them, then itself.
  void end(AtStop at_stop);

  AgentId id() const { return id_; }
  const std::shared_ptr<Route>& route() const { return route_; }
  std::shared_ptr<const Published> published() const { return published_.load(); }
  /// Wakes with each new `published`.
  Notifier& changed() { return changed_; }
  /// The running programs now.
  std::vector<std::pair<InstanceId, std::shared_ptr<sandbox::Sandbox>>> sandboxes() const;
  /// What an instance uses, with what was measured of its sandbox; nullopt if it has ended meanwhile.
  std::optional<StatsView> stats_of(InstanceId id, const sandbox::Stats& measured, Time started_at);

 private:
  using Event = std::function<void(Actor&, Moment)>;
  using Self = std::shared_ptr<Actor>;

  static Task<void> run(Self self);
  static Task<void> launch(Self self, Action action, std::shared_ptr<const core::AgentSpec> spec);
  static Task<void> probe_once(Self self, Action action, std::shared_ptr<const core::AgentSpec> spec);
  static Task<void> stop_program(Self self, Action action);
  static Task<void> freeze_or_thaw(Self self, Action action);
  static Task<void> forget_instance(Self self, Action action);
  static Task<void> finish_removal(Self self);
  static Task<Result<>> delete_from_store(Self self);
  static Task<bool> sleep_unless_ending(Self self, Duration pause);

  Moment now() { return {world_.parts.clock.steady(), world_.parts.clock.now()}; }
  void post(Event event);
  void handle_events();
  void take_over(AgentRecord record);
  void watch_dependencies();
  void look_at_dependencies(Moment moment);
  void execute(const Action& action);
  void open(const Action& action);
  void spawn(Task<void> task);
  void adopt(InstanceId id, uint64_t generation, std::shared_ptr<sandbox::Sandbox> sandbox);
  std::shared_ptr<sandbox::Sandbox> sandbox_of(InstanceId id) const;
  Result<sandbox::Spec> sandbox_spec(const Action& action, const core::AgentSpec& spec) const;
  bool is_over() const;
  /// Percent of one CPU since an earlier call for this instance, or since its start.
  double cpu_percent(InstanceId instance, Duration cpu_time, Moment moment, Time started_at);
  void publish();
  /// Tells what has changed since it was told last.
  void tell_changes();
  void tell(std::string type, std::string reason);
  void tell(std::string type, const SupervisedInstance& instance, std::string reason);
  InstanceView view_of(const SupervisedInstance& instance) const;
  HealthView health_of(const SupervisedInstance& instance) const;

  ActorWorld& world_;
  const AgentId id_;
  const Executor executor_;
  const telemetry::Logger log_;
  std::shared_ptr<Route> route_;

  // Only of the coroutine `run`.
  AgentRecord record_;
  Supervisor supervisor_;
  std::vector<Dependencies::Missing> missing_;
  uint64_t orders_done_ = 0;
  std::optional<AtStop> ending_;
  bool removal_begun_ = false;
  bool rolls_out_ = false;
  AgentStatus told_status_ = AgentStatus::starting;
  std::unordered_set<InstanceId> told_unhealthy_;
  bool gone_ = false;

  /// Far more than one answer for each action under way, which is what events but orders are.
  static constexpr size_t most_events = 65'536;
  std::mutex orders_mutex_;  // keeps numbers and mailbox in one order
  uint64_t orders_taken_ = 0;
  Channel<Event> mailbox_{most_events};

  struct CpuReading {
    Duration cpu_time{};
    SteadyTime at{};
    double percent = 0;  // at that time
  };
  mutable std::mutex running_mutex_;
  std::unordered_map<InstanceId, Running> running_;
  std::unordered_map<InstanceId, CpuReading> cpu_;

  Snapshot<Published> published_;
  Notifier changed_;
};

}  // namespace gantry::agents
