// The supervisor by scripts: what happened → what must be done and shown.
#include "agents/supervisor.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gantry::agents {
namespace {

using Kind = Action::Kind;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class SupervisorTest : public testing::Test {
 protected:
  Moment now() { return {clock_.steady(), clock_.now()}; }
  /// The actions since the last call, of one kind or all.
  std::vector<Action> actions() { return supervisor_.take_actions(); }
  std::vector<Action> only(Kind kind) {
    std::vector<Action> all = actions();
    std::erase_if(all, [&](const Action& action) { return action.kind != kind; });
    return all;
  }
  void want(Wanted wanted) {
    wanted_ = wanted;
    supervisor_.want(wanted, now());
  }
  void intend(Intent intent) {
    wanted_.intent = intent;
    want(wanted_);
  }
  void advance(Duration by) {
    clock_.advance(by);
    supervisor_.tick(now());
  }
  void start_ok(const Action& action) { supervisor_.started(action.instance, action.generation, 4711, now()); }
  void probe(const Action& action, bool healthy, std::string detail = "connection refused on port 8000") {
    const auto outcome = healthy ? ProbeResult::Outcome::healthy : ProbeResult::Outcome::unhealthy;
    supervisor_.probed(action.instance, action.generation, action.role, {outcome, std::move(detail)}, now());
  }
  void exit(const Action& action, std::string reason = "exit 1") {
    supervisor_.exited(action.instance, action.generation, std::move(reason), now());
  }
  /// Answers every start and probe with success, every drain, stop, freeze and thaw at once.
  void run_smoothly() {
    for (int rounds = 0; rounds < 100; ++rounds) {
      std::vector<Action> all = actions();
      if (all.empty()) return;
      for (const Action& action : all) answer(action);
    }
    FAIL() << "the supervisor does not come to rest";
  }
  void answer(const Action& action) {
    done_.push_back(action);
    switch (action.kind) {
      case Kind::start:
        return start_ok(action);
      case Kind::probe:
        return probe(action, true, "connected in 1ms");
      case Kind::drain:
        return supervisor_.drained(action.instance, now());
      case Kind::stop:
        return exit(action, "signal 15 (SIGTERM)");
      case Kind::freeze:
        return supervisor_.frozen(action.instance, action.generation, {}, now());
      case Kind::thaw:
        return supervisor_.thawed(action.instance, action.generation, {}, now());
      case Kind::open:
      case Kind::shut:
      case Kind::close:
      case Kind::forget:
        return;
    }
  }
  size_t done(Kind kind) {
    return static_cast<size_t>(std::ranges::count(done_, kind, [](const Action& action) { return action.kind; }));
  }
  const SupervisedInstance& first() { return supervisor_.instances().at(0); }

  ManualClock clock_;
  SeededRandom random_{7};
  Wanted wanted_;
  std::vector<Action> done_;
  Supervisor supervisor_{{}, random_, [this] { return InstanceId::make(clock_, random_); }};
};

TEST_F(SupervisorTest, StartsAnInstanceAndLetsRequestsInOnceItAnswers) {
  want({});
  auto starts = only(Kind::start);
  ASSERT_EQ(starts.size(), 1u);
  EXPECT_EQ(supervisor_.status(), AgentStatus::starting);
  start_ok(starts[0]);
  auto probes = only(Kind::probe);
  ASSERT_EQ(probes.size(), 1u);
  EXPECT_EQ(first().status(), InstanceStatus::starting);
  EXPECT_FALSE(supervisor_.settled());
  probe(probes[0], true);
  EXPECT_EQ(only(Kind::open).size(), 1u);
  EXPECT_EQ(first().status(), InstanceStatus::ready);
  EXPECT_EQ(supervisor_.status(), AgentStatus::running);
  EXPECT_TRUE(supervisor_.settled());
}

TEST_F(SupervisorTest, StartsNothingWhileItIsHeldAndSaysWhy) {
  supervisor_.hold("waits for 'db'", now());
  want({.replicas = 2});
  EXPECT_TRUE(actions().empty());
  EXPECT_EQ(supervisor_.status(), AgentStatus::starting);
  EXPECT_EQ(supervisor_.reason(), "waits for 'db'");
  EXPECT_TRUE(supervisor_.is_held_back());
  EXPECT_FALSE(supervisor_.settled());
  supervisor_.hold("", now());
  run_smoothly();
  EXPECT_EQ(done(Kind::start), 2u);
  EXPECT_EQ(supervisor_.reason(), "");
  EXPECT_TRUE(supervisor_.settled());
}

TEST_F(SupervisorTest, WhatRunsIsNotTouchedByAHold) {
  want({});
  run_smoothly();
  supervisor_.hold("waits for 'db'", now());
  run_smoothly();
  EXPECT_EQ(first().status(), InstanceStatus::ready);
  EXPECT_EQ(supervisor_.reason(), "");
  EXPECT_FALSE(supervisor_.is_held_back());
  EXPECT_TRUE(supervisor_.settled());
  // One that crashed was running: it comes back without anybody's leave.
  exit({.kind = Kind::start, .instance = first().id, .generation = first().generation});
  advance(minutes(1));
  run_smoothly();
  EXPECT_EQ(first().status(), InstanceStatus::ready);
  EXPECT_EQ(done(Kind::start), 2u);
}

TEST_F(SupervisorTest, AHoldKeepsTheOldRevisionUntilTheNewOneMayStart) {
  want({});
  run_smoothly();
  supervisor_.hold("waits for 'db'", now());
  want({.revision = 2});
  run_smoothly();
  EXPECT_EQ(first().revision, 1u);
  EXPECT_EQ(first().status(), InstanceStatus::ready);
  EXPECT_EQ(supervisor_.reason(), "waits for 'db'");
  supervisor_.hold("", now());
  run_smoothly();
  EXPECT_EQ(first().revision, 2u);
  EXPECT_TRUE(supervisor_.settled());
}

TEST_F(SupervisorTest, AStoppedAgentWaitsForNobody) {
  supervisor_.hold("waits for 'db'", now());
  want({.intent = Intent::stop});
  EXPECT_FALSE(supervisor_.is_held_back());
  EXPECT_EQ(supervisor_.reason(), "");
  EXPECT_TRUE(supervisor_.settled());
}

TEST_F(SupervisorTest, ProbesAStartingProgramOftenAtFirstAndThenLessOften) {
  want({});
  start_ok(only(Kind::start).at(0));
  auto probes = only(Kind::probe);
  Duration before{};
  int count = 0;
  for (; clock_.steady() < SteadyTime(seconds(20)); ++count) {
    ASSERT_EQ(probes.size(), 1u);
    probe(probes[0], false);
    const Duration wait = *supervisor_.next_deadline() - clock_.steady();
    EXPECT_GE(wait, before);
    EXPECT_GE(wait, milliseconds(5));
    EXPECT_LE(wait, seconds(1));
    before = wait;
    advance(wait);
    probes = only(Kind::probe);
  }
  EXPECT_LT(count, 100);
}

TEST_F(SupervisorTest, RestartsAProgramThatDiedAfterADelayThatDoubles) {
  want({});
  run_smoothly();
  for (int failures = 1; failures <= 8; ++failures) {
    const Action dead{.kind = Kind::start, .instance = first().id, .generation = first().generation};
    exit(dead, "exit 1");
    EXPECT_EQ(first().status(), InstanceStatus::backoff);
    EXPECT_EQ(first().reason, "exit 1");
    EXPECT_EQ(only(Kind::close).size(), 1u);
    const Duration delay = *supervisor_.next_deadline() - clock_.steady();
    const Duration full = std::min<Duration>(seconds(1 << (failures - 1)), minutes(1));
    EXPECT_LE(delay, full);
    EXPECT_GE(delay, full / 2);
    advance(delay - milliseconds(1));
    EXPECT_TRUE(actions().empty());
    advance(milliseconds(1));
    auto starts = only(Kind::start);
    ASSERT_EQ(starts.size(), 1u);
    EXPECT_EQ(first().restarts, static_cast<uint32_t>(failures));
    start_ok(starts[0]);
    probe(only(Kind::probe).at(0), true);
    actions();
  }
}

TEST_F(SupervisorTest, ForgetsCrashesAfterFiveMinutesOfHealth) {
  want({.liveness = {.interval = std::chrono::hours(1)}});
  run_smoothly();
  for (Duration health : {Duration(minutes(5)), Duration(minutes(5) - milliseconds(1))}) {
    for (int i = 0; i < 4; ++i) {
      exit({.kind = Kind::start, .instance = first().id, .generation = first().generation});
      advance(minutes(1));
      run_smoothly();
    }
    advance(health);
    exit({.kind = Kind::start, .instance = first().id, .generation = first().generation});
    EXPECT_EQ(first().failures, health == minutes(5) ? 1u : 6u);
    advance(minutes(1));
    run_smoothly();
  }
}

TEST_F(SupervisorTest, CallsThreeCrashesInARowACrashLoopAndSaysWhy) {
  want({});
  for (int i = 1; i <= 3; ++i) {
    auto starts = only(Kind::start);
    ASSERT_EQ(starts.size(), 1u);
    start_ok(starts[0]);
    exit(starts[0], "exit 137, out of memory at 512Mi");
    EXPECT_EQ(supervisor_.status(), i < 3 ? AgentStatus::degraded : AgentStatus::crash_loop);
    EXPECT_EQ(supervisor_.reason(), "exit 137, out of memory at 512Mi");
    actions();
    if (i < 3) advance(minutes(1));
  }
  supervisor_.hurry(now());
  EXPECT_EQ(only(Kind::start).size(), 1u) << "a start verb does not wait";
}

TEST_F(SupervisorTest, RestartsAProgramThatDoesNotBecomeReadyInTime) {
  want({.ready_within = seconds(30)});
  start_ok(only(Kind::start).at(0));
  for (auto probes = only(Kind::probe); !probes.empty(); probes = only(Kind::probe)) {
    probe(probes[0], false);
    advance(std::min<Duration>(*supervisor_.next_deadline() - clock_.steady(), seconds(5)));
    if (first().phase != Phase::probing) break;
  }
  EXPECT_EQ(first().status(), InstanceStatus::unready);
  EXPECT_EQ(first().reason, "not ready: connection refused on port 8000 for 30s");
  EXPECT_EQ(clock_.steady(), SteadyTime(seconds(30)));
  auto stops = only(Kind::stop);
  ASSERT_EQ(stops.size(), 1u);
  exit(stops[0], "signal 15 (SIGTERM)");
  EXPECT_EQ(first().status(), InstanceStatus::backoff);
  EXPECT_EQ(first().reason, "not ready: connection refused on port 8000 for 30s");
}

TEST_F(SupervisorTest, RestartsAReadyInstanceAfterSoManyFailedProbes) {
  want({.liveness = {.interval = seconds(10), .retries = 3}});
  run_smoothly();
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(first().status(), InstanceStatus::ready);
    advance(seconds(10));
    probe(only(Kind::probe).at(0), false, "503 in 2ms");
  }
  EXPECT_EQ(first().status(), InstanceStatus::unready);
  EXPECT_EQ(first().reason, "not healthy: 503 in 2ms (3 probes in a row)");
  auto drains = only(Kind::drain);
  ASSERT_EQ(drains.size(), 1u);
  supervisor_.drained(drains[0].instance, now());
  exit(only(Kind::stop).at(0));
  EXPECT_EQ(first().status(), InstanceStatus::backoff);
}

TEST_F(SupervisorTest, ForgivesFailedProbesThatAreFollowedByAGoodOne) {
  want({.liveness = {.interval = seconds(10), .retries = 2}});
  run_smoothly();
  for (int i = 0; i < 10; ++i) {
    advance(seconds(10));
    probe(only(Kind::probe).at(0), i % 2 == 1);
    EXPECT_EQ(first().status(), InstanceStatus::ready);
  }
}

TEST_F(SupervisorTest, StopsByDrainingFirstAndThenByTheGrace) {
  want({.drain = seconds(7), .grace = seconds(3)});
  run_smoothly();
  intend(Intent::stop);
  EXPECT_EQ(supervisor_.status(), AgentStatus::stopped);
  EXPECT_EQ(only(Kind::drain).size(), 1u);
  EXPECT_EQ(first().status(), InstanceStatus::stopping);
  advance(seconds(7) - milliseconds(1));
  EXPECT_TRUE(actions().empty()) << "requests are in flight";
  advance(milliseconds(1));
  auto stops = only(Kind::stop);
  ASSERT_EQ(stops.size(), 1u);
  EXPECT_EQ(stops[0].grace, seconds(3));
  EXPECT_FALSE(supervisor_.settled());
  exit(stops[0]);
  EXPECT_EQ(first().status(), InstanceStatus::exited);
  EXPECT_TRUE(supervisor_.settled());
  EXPECT_EQ(supervisor_.next_deadline(), std::nullopt);
}

TEST_F(SupervisorTest, ShortensTheDrainOfARolloutWhenTheAgentIsStopped) {
  want({.revision = 1, .drain = seconds(7), .rollout_drain = minutes(5)});
  run_smoothly();
  wanted_.revision = 2;
  want(wanted_);
  start_ok(only(Kind::start).at(0));
  probe(only(Kind::probe).at(0), true);
  ASSERT_EQ(only(Kind::drain).size(), 1u);
  EXPECT_EQ(*supervisor_.next_deadline() - clock_.steady(), seconds(30)) << "the next probe, not the drain";
  intend(Intent::stop);
  EXPECT_EQ(*supervisor_.next_deadline() - clock_.steady(), seconds(7));
  advance(seconds(7));
  EXPECT_EQ(only(Kind::stop).size(), 2u);
}

TEST_F(SupervisorTest, KeepsTheInstanceAcrossAStopAndAStart) {
  want({});
  run_smoothly();
  const InstanceId id = first().id;
  intend(Intent::stop);
  run_smoothly();
  intend(Intent::run);
  run_smoothly();
  EXPECT_EQ(first().id, id);
  EXPECT_EQ(first().generation, 2u);
  EXPECT_EQ(first().restarts, 0u) << "a verb is no crash";
  EXPECT_EQ(supervisor_.status(), AgentStatus::running);
}

TEST_F(SupervisorTest, StopsAnInstanceThatIsStillStarting) {
  want({});
  auto starts = only(Kind::start);
  intend(Intent::stop);
  EXPECT_TRUE(actions().empty()) << "there is nothing to stop yet";
  start_ok(starts[0]);
  EXPECT_EQ(only(Kind::stop).size(), 1u);
}

TEST_F(SupervisorTest, DoesNotStartAgainWhatDiesWhileItIsBeingStopped) {
  want({});
  run_smoothly();
  intend(Intent::stop);
  exit({.kind = Kind::stop, .instance = first().id, .generation = first().generation}, "exit 1");
  EXPECT_EQ(first().status(), InstanceStatus::exited);
  advance(minutes(10));
  EXPECT_TRUE(only(Kind::start).empty());
}

TEST_F(SupervisorTest, PausesAndResumesWithoutARestart) {
  want({});
  run_smoothly();
  intend(Intent::pause);
  EXPECT_EQ(first().status(), InstanceStatus::paused);
  run_smoothly();
  EXPECT_EQ(supervisor_.status(), AgentStatus::paused);
  EXPECT_TRUE(supervisor_.settled());
  advance(minutes(10));
  EXPECT_TRUE(actions().empty()) << "a frozen program is not probed";
  intend(Intent::run);
  run_smoothly();
  EXPECT_EQ(first().status(), InstanceStatus::ready);
  EXPECT_EQ(done(Kind::start), 1u);
  EXPECT_EQ(done(Kind::open), 1u) << "it was open all the time";
}

TEST_F(SupervisorTest, ShowsThatAFreezeDidNotWorkAndGivesNoRequestsAllTheSame) {
  want({});
  run_smoothly();
  intend(Intent::pause);
  auto freezes = only(Kind::freeze);
  ASSERT_EQ(freezes.size(), 1u);
  supervisor_.frozen(first().id, first().generation, fail(Code::unsupported, "no freezer"), now());
  EXPECT_EQ(first().status(), InstanceStatus::paused);
  EXPECT_EQ(first().reason, "not frozen: no freezer");
}

TEST_F(SupervisorTest, RestartsAProgramThatCannotBeThawed) {
  want({});
  run_smoothly();
  intend(Intent::pause);
  run_smoothly();
  intend(Intent::run);
  supervisor_.thawed(first().id, first().generation, fail(Code::internal, "stuck"), now());
  exit(only(Kind::stop).at(0));
  EXPECT_EQ(first().status(), InstanceStatus::backoff);
  EXPECT_EQ(first().reason, "not resumed: stuck");
}

TEST_F(SupervisorTest, WaitsForTheResumeWithAProgramThatDiedWhilePaused) {
  want({});
  run_smoothly();
  intend(Intent::pause);
  run_smoothly();
  exit({.kind = Kind::stop, .instance = first().id, .generation = first().generation}, "signal 9 (SIGKILL)");
  EXPECT_EQ(first().status(), InstanceStatus::exited);
  EXPECT_EQ(first().reason, "signal 9 (SIGKILL)");
  advance(minutes(10));
  EXPECT_TRUE(only(Kind::start).empty());
  intend(Intent::run);
  run_smoothly();
  EXPECT_EQ(first().status(), InstanceStatus::ready);
}

TEST_F(SupervisorTest, ScalesUpAndDown) {
  want({.replicas = 3});
  run_smoothly();
  EXPECT_EQ(supervisor_.ready(), 3u);
  wanted_.replicas = 1;
  want(wanted_);
  EXPECT_EQ(only(Kind::drain).size(), 2u);
  EXPECT_TRUE(supervisor_.settled()) << "the surplus only drains";
  for (const SupervisedInstance& instance : std::vector(supervisor_.instances()))
    supervisor_.drained(instance.id, now());
  run_smoothly();
  ASSERT_EQ(supervisor_.instances().size(), 1u);
  EXPECT_EQ(first().replica, 0u);
  EXPECT_EQ(done(Kind::forget), 2u);
  wanted_.replicas = 0;
  want(wanted_);
  run_smoothly();
  EXPECT_TRUE(supervisor_.instances().empty());
  EXPECT_EQ(supervisor_.status(), AgentStatus::stopped);
}

TEST_F(SupervisorTest, RollsOutByReplacingOneReplicaAfterTheOtherWithoutLosingCapacity) {
  want({.replicas = 2, .revision = 1});
  run_smoothly();
  done_.clear();
  wanted_.revision = 2;
  want(wanted_);
  size_t most = 0;
  for (int steps = 0; !supervisor_.settled() || supervisor_.instances().size() > 2; ++steps) {
    ASSERT_LT(steps, 50);
    for (const Action& action : actions()) {
      answer(action);
      EXPECT_EQ(supervisor_.ready(), 2u);
      most = std::max(most, supervisor_.instances().size());
    }
  }
  run_smoothly();
  EXPECT_LE(most, 4u);
  for (const SupervisedInstance& instance : supervisor_.instances()) EXPECT_EQ(instance.revision, 2u);
  EXPECT_EQ(done(Kind::start), 2u);
  EXPECT_EQ(done(Kind::forget), 2u);
}

TEST_F(SupervisorTest, KeepsTheOldRevisionServingWhenTheNewOneDoesNotStart) {
  want({.replicas = 2, .revision = 1});
  run_smoothly();
  wanted_.revision = 2;
  want(wanted_);
  for (int i = 0; i < 5; ++i) {
    auto starts = only(Kind::start);
    ASSERT_EQ(starts.size(), 1u) << "one at a time";
    start_ok(starts[0]);
    exit(starts[0], "exit 1");
    EXPECT_EQ(supervisor_.ready(), 2u);
    EXPECT_EQ(supervisor_.status(), AgentStatus::degraded);
    EXPECT_EQ(supervisor_.reason(), "revision 2 does not become ready: exit 1; an older one still serves");
    actions();
    advance(minutes(1));
  }
  EXPECT_FALSE(supervisor_.settled());
}

TEST_F(SupervisorTest, ReplacesAnInstanceThatNeverServedAtOnce) {
  want({.revision = 1});
  auto starts = only(Kind::start);
  start_ok(starts[0]);
  exit(starts[0]);
  actions();
  wanted_.revision = 2;
  want(wanted_);
  std::vector<Action> all = actions();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].kind, Kind::forget);
  EXPECT_EQ(all[1].kind, Kind::start);
  EXPECT_EQ(all[1].revision, 2u);
}

TEST_F(SupervisorTest, StartsASuccessorOnlyWhenAnEndingInstanceHasLeftTheWorkspace) {
  want({.revision = 1});
  auto starts = only(Kind::start);
  start_ok(starts[0]);
  actions();
  wanted_.revision = 2;
  want(wanted_);
  std::vector<Action> all = actions();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].kind, Kind::stop) << "it never served";
  exit(all[0]);
  EXPECT_EQ(only(Kind::start).size(), 1u);
}

TEST_F(SupervisorTest, GivesUpAHalfDoneRolloutForANewerOne) {
  want({.revision = 1});
  run_smoothly();
  wanted_.revision = 2;
  want(wanted_);
  auto second = only(Kind::start);
  wanted_.revision = 3;
  want(wanted_);
  start_ok(second.at(0));
  run_smoothly();
  ASSERT_EQ(supervisor_.instances().size(), 1u);
  EXPECT_EQ(first().revision, 3u);
  EXPECT_EQ(supervisor_.status(), AgentStatus::running);
}

TEST_F(SupervisorTest, DoesNotStartANewRevisionOfAStoppedAgent) {
  want({.revision = 1});
  run_smoothly();
  intend(Intent::stop);
  run_smoothly();
  wanted_.revision = 2;
  want(wanted_);
  EXPECT_TRUE(only(Kind::start).empty());
  intend(Intent::run);
  run_smoothly();
  EXPECT_EQ(first().revision, 2u);
}

TEST_F(SupervisorTest, RestartsEveryInstanceOnceAndAtOnce) {
  want({.replicas = 2});
  run_smoothly();
  done_.clear();
  supervisor_.restart(now());
  EXPECT_FALSE(supervisor_.settled());
  run_smoothly();
  EXPECT_EQ(done(Kind::start), 2u);
  EXPECT_EQ(supervisor_.restarts(), 0u);
  EXPECT_TRUE(supervisor_.settled());
}

TEST_F(SupervisorTest, RemovesEverything) {
  want({.replicas = 2});
  run_smoothly();
  intend(Intent::remove);
  run_smoothly();
  EXPECT_TRUE(supervisor_.instances().empty());
  EXPECT_EQ(done(Kind::forget), 2u);
  EXPECT_TRUE(supervisor_.settled());
}

TEST_F(SupervisorTest, GoesOnWithAProgramThatOutlivedTheDaemon) {
  const InstanceId id = InstanceId::make(clock_, random_);
  supervisor_.found({.id = id, .revision = 4, .restarts = 2, .program = {{.pid = 99, .started_at = clock_.now()}}},
                    now());
  want({.revision = 4});
  run_smoothly();
  EXPECT_EQ(done(Kind::start), 0u);
  EXPECT_EQ(first().id, id);
  EXPECT_EQ(first().pid, 99);
  EXPECT_EQ(first().status(), InstanceStatus::ready);
  EXPECT_EQ(supervisor_.restarts(), 2u);
}

TEST_F(SupervisorTest, StartsAgainWhatDiedWithTheDaemonAndKeepsItsInstance) {
  const InstanceId id = InstanceId::make(clock_, random_);
  supervisor_.found({.id = id, .revision = 4}, now());
  want({.revision = 4});
  run_smoothly();
  EXPECT_EQ(done(Kind::start), 1u);
  EXPECT_EQ(first().id, id);
  EXPECT_EQ(first().status(), InstanceStatus::ready);
}

TEST_F(SupervisorTest, FreezesAFoundProgramOfAPausedAgent) {
  supervisor_.found({.id = InstanceId::make(clock_, random_), .revision = 1, .program = {{.pid = 99}}}, now());
  want({.intent = Intent::pause});
  run_smoothly();
  EXPECT_EQ(done(Kind::freeze), 1u);
  EXPECT_EQ(done(Kind::start), 0u);
  EXPECT_EQ(first().status(), InstanceStatus::paused);
}

TEST_F(SupervisorTest, EndsAFoundProgramThatIsNotWantedAnyMore) {
  supervisor_.found({.id = InstanceId::make(clock_, random_), .revision = 1, .program = {{.pid = 99}}}, now());
  want({.revision = 2});
  run_smoothly();
  ASSERT_EQ(supervisor_.instances().size(), 1u);
  EXPECT_EQ(first().revision, 2u);
  EXPECT_EQ(done(Kind::stop), 1u);
}

TEST_F(SupervisorTest, IgnoresAnswersOfAnEarlierLife) {
  want({});
  auto starts = only(Kind::start);
  start_ok(starts[0]);
  auto old_probe = only(Kind::probe);
  exit(starts[0]);
  advance(minutes(1));
  auto again = only(Kind::start);
  ASSERT_EQ(again.size(), 1u);
  exit(starts[0]);
  probe(old_probe[0], true);
  start_ok(starts[0]);
  EXPECT_EQ(first().phase, Phase::launching);
}

TEST_F(SupervisorTest, SaysThatARevisionDoesNotTakeOver) {
  want({.replicas = 2});
  run_smoothly();
  EXPECT_EQ(supervisor_.up_to_date(), 2u);
  wanted_.revision = 2;
  want(wanted_);
  EXPECT_EQ(supervisor_.ready(), 2u);
  EXPECT_EQ(supervisor_.up_to_date(), 0u);
  EXPECT_EQ(supervisor_.status(), AgentStatus::running);
  for (int i = 1; i <= 3; ++i) {
    auto starts = only(Kind::start);
    ASSERT_EQ(starts.size(), 1u);
    EXPECT_FALSE(supervisor_.is_stuck());
    start_ok(starts[0]);
    exit(starts[0], "exit 2");
    EXPECT_EQ(supervisor_.status(), AgentStatus::degraded);
    EXPECT_EQ(supervisor_.reason(), "revision 2 does not become ready: exit 2; an older one still serves");
    actions();
    if (i < 3) advance(minutes(1));
  }
  EXPECT_TRUE(supervisor_.is_stuck());
  EXPECT_EQ(supervisor_.ready(), 2u);
  wanted_.revision = 3;
  want(wanted_);
  run_smoothly();
  EXPECT_EQ(supervisor_.up_to_date(), 2u);
  EXPECT_EQ(supervisor_.status(), AgentStatus::running);
}

// ---- Startup, readiness, liveness ------------------------------------------------------------

using core::ProbeRole;

TEST_F(SupervisorTest, AsksForReadinessOnlyOnceTheProgramIsUp) {
  want({.startup = {.interval = seconds(2), .retries = 0}, .readiness = {.successes = 2}});
  start_ok(only(Kind::start).at(0));
  auto probes = only(Kind::probe);
  ASSERT_EQ(probes.size(), 1u);
  EXPECT_EQ(probes[0].role, ProbeRole::startup);
  probe(probes[0], false);
  EXPECT_EQ(*supervisor_.next_deadline() - clock_.steady(), Duration(seconds(2))) << "its own interval";
  advance(seconds(2));
  probe(only(Kind::probe).at(0), true);
  probes = only(Kind::probe);
  ASSERT_EQ(probes.size(), 1u);
  EXPECT_EQ(probes[0].role, ProbeRole::readiness);
  probe(probes[0], true);
  EXPECT_EQ(first().status(), InstanceStatus::starting) << "two in a row";
  advance(seconds(1));
  auto all = actions();
  ASSERT_EQ(all.size(), 1u);
  probe(all[0], true);
  EXPECT_EQ(first().status(), InstanceStatus::ready);
  EXPECT_EQ(only(Kind::open).size(), 1u);
}

TEST_F(SupervisorTest, ShutsAnInstanceThatIsNotReadyAndOpensItAgain) {
  want({.readiness = {.interval = seconds(1), .retries = 2, .successes = 2},
        .liveness = {.interval = std::chrono::hours(1)}});
  run_smoothly();
  advance(seconds(1));
  run_smoothly();
  ASSERT_EQ(first().status(), InstanceStatus::ready);
  for (int i = 0; i < 2; ++i) {
    advance(seconds(1));
    probe(only(Kind::probe).at(0), false, "503 from /ready");
  }
  EXPECT_EQ(only(Kind::shut).size(), 1u);
  EXPECT_EQ(first().status(), InstanceStatus::unready);
  EXPECT_EQ(supervisor_.status(), AgentStatus::degraded);
  EXPECT_EQ(supervisor_.reason(), "not ready: 503 from /ready (2 probes in a row)");
  EXPECT_EQ(supervisor_.ready(), 0u);
  EXPECT_FALSE(supervisor_.settled());
  for (int i = 0; i < 10; ++i) {
    advance(seconds(1));
    auto all = actions();
    ASSERT_EQ(all.size(), 1u) << "it is neither stopped nor shut once more";
    probe(all[0], false, "503 from /ready");
  }
  for (int i = 0; i < 2; ++i) {
    advance(seconds(1));
    probe(only(Kind::probe).at(0), true);
  }
  EXPECT_EQ(only(Kind::open).size(), 1u);
  EXPECT_EQ(supervisor_.status(), AgentStatus::running);
  EXPECT_EQ(supervisor_.reason(), "");
}

TEST_F(SupervisorTest, EndsAnInstanceThatIsShutAndNotAlive) {
  want({.readiness = {.interval = seconds(1), .retries = 1}, .liveness = {.interval = seconds(5), .retries = 1}});
  run_smoothly();
  advance(seconds(1));
  probe(only(Kind::probe).at(0), false);
  advance(seconds(4));
  for (const Action& action : only(Kind::probe)) probe(action, false);
  EXPECT_EQ(only(Kind::drain).size(), 1u);
  EXPECT_EQ(first().cause, StopCause::unhealthy);
}

TEST_F(SupervisorTest, ReplacesAnOutdatedInstanceThatIsShutWithoutWaitingForIt) {
  want({.readiness = {.interval = seconds(1), .retries = 1}});
  run_smoothly();
  advance(seconds(1));
  probe(only(Kind::probe).at(0), false);
  wanted_.revision = 2;
  want(wanted_);
  EXPECT_EQ(only(Kind::drain).size(), 1u) << "it has nothing to be kept for";
}

TEST_F(SupervisorTest, OpensAnInstanceWhoseReadinessNobodyAsksForAnyMore) {
  want({.readiness = {.interval = seconds(1), .retries = 1}});
  run_smoothly();
  advance(seconds(1));
  probe(only(Kind::probe).at(0), false);
  actions();
  wanted_.readiness.is_asked = false;
  want(wanted_);
  EXPECT_EQ(only(Kind::open).size(), 1u);
  EXPECT_EQ(supervisor_.status(), AgentStatus::running);
}

TEST_F(SupervisorTest, GivesUpAProgramAfterSoManyFailedStartupProbes) {
  want({.startup = {.interval = seconds(1), .retries = 3}, .ready_within = std::chrono::hours(1)});
  start_ok(only(Kind::start).at(0));
  for (int i = 0; i < 3; ++i) {
    probe(only(Kind::probe).at(0), false, "exit 1: no model");
    if (i < 2) advance(seconds(1));
  }
  EXPECT_EQ(only(Kind::stop).size(), 1u);
  EXPECT_EQ(first().reason, "not ready: exit 1: no model (3 probes in a row)");
}

TEST_F(SupervisorTest, LeavesAnUnhealthyInstanceStoppedUntilItIsStarted) {
  want({.liveness = {.interval = seconds(1), .retries = 1}, .on_unhealthy = core::OnUnhealthy::stop});
  run_smoothly();
  advance(seconds(1));
  probe(only(Kind::probe).at(0), false, "500 from /live");
  run_smoothly();
  EXPECT_EQ(first().status(), InstanceStatus::exited);
  EXPECT_EQ(supervisor_.status(), AgentStatus::degraded);
  EXPECT_EQ(supervisor_.reason(), "not healthy: 500 from /live (1 probe)");
  advance(std::chrono::hours(24));
  EXPECT_TRUE(actions().empty()) << "nobody started it";
  supervisor_.hurry(now());
  run_smoothly();
  EXPECT_EQ(supervisor_.status(), AgentStatus::running);
}

TEST_F(SupervisorTest, OnlyShowsAnUnhealthyInstanceThatIsToBeLeftAlone) {
  want({.liveness = {.interval = seconds(1), .retries = 1}, .on_unhealthy = core::OnUnhealthy::none});
  run_smoothly();
  advance(seconds(1));
  probe(only(Kind::probe).at(0), false, "500 from /live");
  EXPECT_EQ(first().status(), InstanceStatus::ready);
  EXPECT_EQ(supervisor_.status(), AgentStatus::degraded);
  EXPECT_EQ(supervisor_.reason(), "not healthy: 500 from /live (1 probe)");
  advance(seconds(1));
  probe(only(Kind::probe).at(0), true);
  EXPECT_EQ(supervisor_.status(), AgentStatus::running);
  EXPECT_EQ(supervisor_.reason(), "");
}

}  // namespace
}  // namespace gantry::agents
