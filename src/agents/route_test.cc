#include "agents/route.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

namespace gantry::agents {
namespace {

/// Counts what it is told.
class Recorder final : public Listener {
 public:
  void available(const std::shared_ptr<Route>&) override { ++available_calls; }
  void ready(const std::shared_ptr<Route>&) override { ++ready_calls; }
  void died(const std::shared_ptr<Route>&, InstanceId instance) override { dead.push_back(instance); }
  void removed(const std::shared_ptr<Route>&) override { ++removed_calls; }

  std::atomic<int> available_calls = 0;
  std::atomic<int> ready_calls = 0;
  std::vector<InstanceId> dead;
  int removed_calls = 0;
};

class RouteTest : public testing::Test {
 protected:
  void SetUp() override { set_concurrency(2); }

  void set_concurrency(uint32_t concurrency) {
    core::AgentSpec spec;
    spec.concurrency = concurrency;
    route_->set_spec(std::make_shared<const core::AgentSpec>(spec));
  }
  InstanceId add_instance() {
    const InstanceId id = InstanceId::make(clock_, random_);
    route_->add(std::make_shared<Target>(Target::Names{.instance = id}, 8000, nullptr));
    return id;
  }
  std::optional<Lease> acquire(OnNone on_none = OnNone::give_up) { return route_->try_acquire(on_none); }

  ManualClock clock_;
  SeededRandom random_{1};
  Recorder recorder_;
  std::shared_ptr<Route> route_ = std::make_shared<Route>(AgentId::make(clock_, random_), "bot", Scope::standard(),
                                                          std::vector<Listener*>{&recorder_}, clock_);
};

TEST_F(RouteTest, GivesNothingWhileNoInstanceIsReady) {
  EXPECT_FALSE(acquire().has_value());
  EXPECT_EQ(route_->availability(), Availability::starting);
}

TEST_F(RouteTest, SpreadsRequestsToTheLeastLoadedInstanceUpToTheConcurrency) {
  const InstanceId a = add_instance();
  const InstanceId b = add_instance();
  std::vector<Lease> leases;
  for (int i = 0; i < 4; ++i) {
    auto lease = acquire();
    ASSERT_TRUE(lease.has_value());
    leases.push_back(std::move(*lease));
    EXPECT_LE(route_->load(a).in_flight > route_->load(b).in_flight
                  ? route_->load(a).in_flight - route_->load(b).in_flight
                  : route_->load(b).in_flight - route_->load(a).in_flight,
              1u);
  }
  EXPECT_FALSE(acquire().has_value());
  leases.erase(leases.begin());
  EXPECT_TRUE(acquire().has_value());
}

TEST_F(RouteTest, LetsEqualInstancesTakeTurns) {
  const InstanceId a = add_instance();
  const InstanceId b = add_instance();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(acquire().has_value());
  EXPECT_EQ(route_->load(a).requests_total, 5u);
  EXPECT_EQ(route_->load(b).requests_total, 5u);
}

TEST_F(RouteTest, NotifiesOnceWhenASlotBecomesFreeAndSomebodyWaits) {
  set_concurrency(1);
  add_instance();
  {
    auto lease = acquire();
    ASSERT_TRUE(lease.has_value());
  }
  EXPECT_EQ(recorder_.available_calls, 0) << "nobody waited";
  auto lease = acquire();
  EXPECT_FALSE(acquire(OnNone::notify).has_value());
  EXPECT_FALSE(acquire(OnNone::notify).has_value());
  lease.reset();
  EXPECT_EQ(recorder_.available_calls, 1);
  EXPECT_TRUE(acquire(OnNone::notify).has_value());
  EXPECT_EQ(recorder_.available_calls, 1);
}

TEST_F(RouteTest, NotifiesWhenAnInstanceOrHigherConcurrencyMakesRoom) {
  EXPECT_FALSE(acquire(OnNone::notify).has_value());
  add_instance();
  EXPECT_EQ(recorder_.available_calls, 1);
  auto first = acquire();
  auto second = acquire();
  EXPECT_FALSE(acquire(OnNone::notify).has_value());
  set_concurrency(3);
  EXPECT_EQ(recorder_.available_calls, 2);
}

TEST_F(RouteTest, KeepsRequestsWaitingWhilePausedOrStopped) {
  add_instance();
  for (Availability intent : {Availability::paused, Availability::stopped}) {
    route_->set_intent(intent);
    EXPECT_EQ(route_->availability(), intent);
    EXPECT_FALSE(acquire(OnNone::notify).has_value());
    const int before = recorder_.available_calls;
    route_->set_intent(Availability::starting);
    EXPECT_EQ(recorder_.available_calls, before + 1);
    EXPECT_EQ(route_->availability(), Availability::ready);
    EXPECT_TRUE(acquire().has_value());
  }
}

TEST_F(RouteTest, DrainsAnInstanceAndTellsWhenItsLastRequestEnded) {
  const InstanceId a = add_instance();
  std::vector<InstanceId> drained;
  route_->on_drained([&](InstanceId id) { drained.push_back(id); });
  auto first = acquire();
  auto second = acquire();
  EXPECT_EQ(route_->drain(a), 2u);
  EXPECT_FALSE(acquire(OnNone::notify).has_value());
  EXPECT_TRUE(first->target().alive());
  first.reset();
  EXPECT_TRUE(drained.empty());
  second.reset();
  EXPECT_EQ(drained, std::vector<InstanceId>{a});
  EXPECT_EQ(recorder_.available_calls, 0) << "a slot of a draining instance is not free";
}

TEST_F(RouteTest, ReportsADeathOnceAndLetsItsLeasesEnd) {
  const InstanceId a = add_instance();
  auto lease = acquire();
  route_->kill(a);
  route_->kill(a);
  EXPECT_EQ(recorder_.dead, std::vector<InstanceId>{a});
  EXPECT_FALSE(lease->target().alive());
  EXPECT_FALSE(acquire().has_value());
  lease.reset();
  EXPECT_EQ(route_->availability(), Availability::starting);
}

TEST_F(RouteTest, TellsOnceThatTheAgentWasRemoved) {
  route_->set_intent(Availability::removed);
  route_->set_intent(Availability::removed);
  EXPECT_EQ(recorder_.removed_calls, 1);
}

TEST_F(RouteTest, AMovedLeaseReleasesItsSlotOnce) {
  const InstanceId a = add_instance();
  auto lease = acquire();
  Lease moved = std::move(*lease);
  lease.reset();
  EXPECT_EQ(route_->load(a).in_flight, 1u);
  auto other = acquire();
  moved = std::move(*other);
  EXPECT_EQ(route_->load(a).in_flight, 1u);
  moved.release();
  moved.release();
  EXPECT_EQ(route_->load(a).in_flight, 0u);
}

// Every slot that becomes free while somebody waits must be seen: a lost wake-up would stall this.
TEST_F(RouteTest, NeverLosesAWakeUpBetweenThreads) {
  set_concurrency(1);
  add_instance();
  constexpr int rounds = 20'000;
  std::atomic<int> served = 0;
  const auto serve = [&] {
    for (int i = 0; i < rounds; ++i) {
      for (;;) {
        const int seen = recorder_.available_calls;
        if (auto lease = acquire(OnNone::notify)) break;
        while (recorder_.available_calls == seen) std::this_thread::yield();
      }
      ++served;
    }
  };
  std::thread left(serve);
  std::thread right(serve);
  left.join();
  right.join();
  EXPECT_EQ(served, 2 * rounds);
}

// Sends requests that all end the same way.
void send(Route& route, int count, Went went) {
  for (int i = 0; i < count; ++i) {
    auto lease = route.try_acquire(OnNone::give_up);
    ASSERT_TRUE(lease.has_value()) << i;
    lease->report(went);
  }
}

TEST_F(RouteTest, AnInstanceThatFailsAgainAndAgainIsLeftAlone) {
  core::AgentSpec spec;
  spec.breaker = {.failures = 3, .open = std::chrono::seconds(10)};
  route_->set_spec(std::make_shared<const core::AgentSpec>(spec));
  add_instance();
  send(*route_, 2, Went::badly);
  send(*route_, 1, Went::well);
  send(*route_, 3, Went::badly);
  EXPECT_FALSE(acquire(OnNone::notify).has_value());
  EXPECT_EQ(route_->availability(), Availability::ready) << "it runs; requests wait";
  ASSERT_TRUE(route_->reopens_at().has_value());
  EXPECT_EQ(*route_->reopens_at() - clock_.steady(), std::chrono::seconds(10));
  clock_.advance(std::chrono::seconds(10));
  auto probe = acquire();
  ASSERT_TRUE(probe.has_value());
  EXPECT_FALSE(acquire(OnNone::notify).has_value()) << "one probe";
  probe->report(Went::well);
  probe->release();
  EXPECT_EQ(recorder_.available_calls, 1);
  send(*route_, 5, Went::well);
}

TEST_F(RouteTest, OneDeathIsOneFailureHoweverManyRequestsItTook) {
  core::AgentSpec spec;
  spec.breaker = {.failures = 2, .open = std::chrono::seconds(10)};
  spec.concurrency = 100;
  route_->set_spec(std::make_shared<const core::AgentSpec>(spec));
  add_instance();
  send(*route_, 50, Went::died);
  EXPECT_TRUE(acquire().has_value());
}

TEST_F(RouteTest, ANewInstanceOrANewSpecIsWorthAProbeAtOnce) {
  core::AgentSpec spec;
  spec.breaker = {.failures = 1, .open = std::chrono::seconds(10)};
  route_->set_spec(std::make_shared<const core::AgentSpec>(spec));
  const InstanceId first = add_instance();
  send(*route_, 1, Went::died);
  EXPECT_FALSE(acquire().has_value());
  route_->kill(first);
  add_instance();
  EXPECT_EQ(recorder_.ready_calls, 2);
  send(*route_, 1, Went::badly);
  EXPECT_FALSE(acquire().has_value());
  route_->set_spec(std::make_shared<const core::AgentSpec>(spec));
  EXPECT_EQ(route_->breaker_state(), Breaker::State::closed);
}

TEST_F(RouteTest, AProbeThatWasInterruptedLeavesRoomForAnother) {
  core::AgentSpec spec;
  spec.breaker = {.failures = 1, .open = std::chrono::seconds(1)};
  route_->set_spec(std::make_shared<const core::AgentSpec>(spec));
  add_instance();
  send(*route_, 1, Went::badly);
  clock_.advance(std::chrono::seconds(1));
  acquire()->release();
  EXPECT_TRUE(acquire().has_value());
}

}  // namespace
}  // namespace gantry::agents
