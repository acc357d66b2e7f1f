// The supervisor under a seeded scheduler: random wishes, random faults, answers in random order.
// After each step the invariants hold; after the faults end, everything becomes what is wanted.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "agents/supervisor.h"

namespace gantry::agents {
namespace {

using Kind = Action::Kind;

/// A world in which programs start, answer, freeze and die as a seed says.
class World {
 public:
  explicit World(uint64_t seed)
      : random_(seed), supervisor_({}, random_, [this] { return InstanceId::make(clock_, random_); }) {}

  void step() {
    switch (random_.below(10)) {
      case 0:
        wish();
        break;
      case 1:
        clock_.advance(std::chrono::milliseconds(random_.below(40'000)));
        supervisor_.tick(now());
        break;
      case 2:
        kill_one();
        break;
      case 3:
        if (random_.below(8) == 0) supervisor_.restart(now());
        break;
      default:
        answer_one(Faults::some);
    }
    collect();
    check();
  }

  /// No faults any more: everything that was asked for is answered until nothing is left to do.
  void settle() {
    wanted_.intent = Intent::run;
    wanted_.on_unhealthy = core::OnUnhealthy::restart;
    supervisor_.want(wanted_, now());
    supervisor_.hurry(now());  // those that were given up
    for (int i = 0; i < 5000 && !is_calm(); ++i) {
      collect();
      check();
      if (!pending_.empty()) {
        answer_one(Faults::none);
      } else if (auto next = supervisor_.next_deadline()) {
        clock_.advance(std::max<Duration>(*next - clock_.steady(), Duration(1)));
        supervisor_.tick(now());
      }
    }
    EXPECT_TRUE(is_calm()) << "never settled";
    collect();
    EXPECT_EQ(supervisor_.ready(), wanted_.replicas);
    EXPECT_EQ(open_.size(), wanted_.replicas) << "requests reach exactly the wanted instances";
    EXPECT_EQ(programs_.size(), wanted_.replicas) << "no program is left over";
    for (const SupervisedInstance& instance : supervisor_.instances()) EXPECT_EQ(instance.revision, wanted_.revision);
  }

 private:
  enum class Faults { none, some };
  struct Program {
    uint64_t generation = 0;
    uint32_t replica = 0;
    bool frozen = false;
  };

  Moment now() { return {clock_.steady(), clock_.now()}; }
  bool chance(uint64_t of, Faults faults) { return faults == Faults::some && random_.below(of) == 0; }
  bool is_calm() {
    return supervisor_.settled() && pending_.empty() && supervisor_.instances().size() == wanted_.replicas;
  }

  void wish() {
    constexpr Intent intents[] = {Intent::run, Intent::run, Intent::run, Intent::pause, Intent::stop};
    wanted_.intent = intents[random_.below(5)];
    wanted_.replicas = static_cast<uint32_t>(random_.below(5));
    if (random_.below(3) == 0) ++wanted_.revision;
    // Probes change without a new revision.
    constexpr core::OnUnhealthy reactions[] = {core::OnUnhealthy::restart, core::OnUnhealthy::stop,
                                               core::OnUnhealthy::none};
    wanted_.readiness.is_asked = random_.below(2) == 0;
    wanted_.readiness.successes = 1 + static_cast<uint32_t>(random_.below(2));
    wanted_.startup.retries = static_cast<uint32_t>(random_.below(4));
    wanted_.on_unhealthy = reactions[random_.below(3)];
    supervisor_.want(wanted_, now());
  }

  void kill_one() {
    if (programs_.empty()) return;
    auto victim = std::next(programs_.begin(), static_cast<int64_t>(random_.below(programs_.size())));
    end(victim->first, victim->second.generation, "signal 9 (SIGKILL)");
  }

  void end(InstanceId id, uint64_t generation, std::string reason) {
    auto found = programs_.find(id);
    if (found == programs_.end() || found->second.generation != generation) return;
    programs_.erase(found);
    supervisor_.exited(id, generation, std::move(reason), now());
  }

  void collect() {
    for (Action& action : supervisor_.take_actions()) {
      switch (action.kind) {
        case Kind::open:
          EXPECT_TRUE(programs_.contains(action.instance)) << "opened without a program";
          EXPECT_TRUE(open_.insert(action.instance).second) << "opened twice";
          shut_.erase(action.instance);
          break;
        case Kind::shut:
          EXPECT_EQ(open_.erase(action.instance), 1u) << "shut what was not open";
          shut_.insert(action.instance);
          break;
        case Kind::close:
          open_.erase(action.instance);
          shut_.erase(action.instance);
          break;
        case Kind::forget:
          EXPECT_FALSE(programs_.contains(action.instance)) << "forgot a running program";
          open_.erase(action.instance);
          shut_.erase(action.instance);
          break;
        case Kind::drain:
          EXPECT_EQ(open_.erase(action.instance) + shut_.erase(action.instance), 1u) << "drained what was not open";
          pending_.push_back(action);
          break;
        case Kind::start:
          EXPECT_FALSE(programs_.contains(action.instance)) << "started twice";
          EXPECT_EQ(wanted_.intent, Intent::run);
          pending_.push_back(action);
          break;
        default:
          pending_.push_back(action);
      }
    }
  }

  void answer_one(Faults faults) {
    if (pending_.empty()) return;
    const auto index = static_cast<int64_t>(random_.below(pending_.size()));
    const Action action = pending_[static_cast<size_t>(index)];
    pending_.erase(pending_.begin() + index);
    switch (action.kind) {
      case Kind::start:
        if (chance(4, faults)) return supervisor_.start_failed(action.instance, action.generation, "no room", now());
        programs_[action.instance] = {action.generation, action.replica};
        return supervisor_.started(action.instance, action.generation, 1, now());
      case Kind::probe: {
        const auto found = programs_.find(action.instance);
        const bool answers = found != programs_.end() && !found->second.frozen && !chance(4, faults);
        return supervisor_.probed(action.instance, action.generation, action.role,
                                  {answers ? ProbeResult::Outcome::healthy : ProbeResult::Outcome::unhealthy, "probe"},
                                  now());
      }
      case Kind::drain:
        return supervisor_.drained(action.instance, now());
      case Kind::stop:
        return end(action.instance, action.generation, "signal 15 (SIGTERM)");
      case Kind::freeze:
      case Kind::thaw:
        return answer_freezer(action, faults);
      case Kind::open:
      case Kind::shut:
      case Kind::close:
      case Kind::forget:
        return;
    }
  }

  void answer_freezer(const Action& action, Faults faults) {
    const bool freezes = action.kind == Kind::freeze;
    Result<> result;
    if (chance(10, faults)) result = fail(Code::internal, "the freezer is stuck");
    if (auto found = programs_.find(action.instance); found != programs_.end() && result.has_value())
      found->second.frozen = freezes;
    if (freezes)
      supervisor_.frozen(action.instance, action.generation, result, now());
    else
      supervisor_.thawed(action.instance, action.generation, result, now());
  }

  void check() {
    for (const SupervisedInstance& instance : supervisor_.instances()) {
      if (instance.serves()) EXPECT_TRUE(open_.contains(instance.id)) << "ready but closed";
      if (!instance.serves()) EXPECT_FALSE(shut_.contains(instance.id) && open_.contains(instance.id));
    }
    for (InstanceId id : open_) EXPECT_TRUE(programs_.contains(id)) << "open but dead";
    EXPECT_LT(supervisor_.instances().size(), 40u) << "instances pile up";
  }

  ManualClock clock_;
  SeededRandom random_;
  Supervisor supervisor_;
  Wanted wanted_;
  std::map<InstanceId, Program> programs_;
  std::set<InstanceId> open_, shut_;
  std::vector<Action> pending_;
};

TEST(SupervisorSimulation, AlwaysBecomesWhatIsWanted) {
  for (uint64_t seed = 1; seed <= 2000 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    World world(seed);
    for (int i = 0; i < 200 && !testing::Test::HasFailure(); ++i) world.step();
    world.settle();
  }
}

}  // namespace
}  // namespace gantry::agents
