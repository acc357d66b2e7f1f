// What only shows between two steps of `Agents`: orders that overtake each other, and a name that is taken
// again while its earlier agent is still being forgotten.
#include "agents/actor.h"

#include <gtest/gtest.h>

#include <thread>

#include "agents/registry.h"
#include "agents/sandbox_for_test.h"

namespace gantry::agents {
namespace {

namespace fs = std::filesystem;

class ActorTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "gantry-actor-XXXXXX").string();
    // SAFETY: mkdtemp(3) writes into the string, which has its length already.
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    data_ = pattern;
    threads_.start();
    const store::Migrations schema[] = {migrations()};
    database_ = store::open_sqlite(data_ / "store.db", schema).value();
    workdirs_.emplace(data_, blocking_, random_, WorkdirLimits{});
    events_.emplace(EventLogParts{*database_, threads_, clock_, logger_, tasks_}, EventLimits{});
    world_.emplace(ActorWorld{.parts = {*database_, driver_, threads_, blocking_, clock_, random_, logger_},
                              .settings = {},
                              .places = {data_},
                              .workdirs = *workdirs_,
                              .dependencies = dependencies_,
                              .events = *events_,
                              .loops = loops_,
                              .tasks = tasks_,
                              .forget = [](AgentId, const Scope&, const std::string&) {}});
  }
  void TearDown() override {
    loops_.join();
    tasks_.join();
    database_.reset();
    EXPECT_TRUE(os::remove_tree(data_).has_value());
  }

  AgentRecord make_record(uint32_t replicas) {
    core::AgentSpec spec;
    spec.name = "bot";
    spec.command = {"app"};
    spec.replicas = replicas;
    const NewIds ids{AgentId::make(clock_, random_), RevisionId::make(clock_, random_), clock_.now()};
    return database_
        ->write_blocking(Scope::standard(),
                         [&](store::Session& session) { return deploy(session, spec, ids, {100, 10}); })
        .value()
        .agent;
  }

  fs::path data_;
  Dependencies dependencies_;
  SystemClock clock_;
  SystemRandom random_;
  telemetry::Logger logger_;
  IoThreads threads_{1};
  BlockingPool blocking_{2, 100};
  TaskGroup loops_;
  TaskGroup tasks_;
  ScriptedDriver driver_{clock_};
  std::unique_ptr<store::Database> database_;
  std::optional<Workdirs> workdirs_;
  std::optional<EventLog> events_;
  std::optional<ActorWorld> world_;
};

TEST_F(ActorTest, FollowsTheNewerOfTwoRecordsWhicheverComesLast) {
  const AgentRecord older = make_record(1);
  const AgentRecord newer = make_record(2);
  ASSERT_EQ(newer.id, older.id);
  ASSERT_GT(newer.version, older.version);
  auto actor = std::make_shared<Actor>(*world_, older, std::vector<Listener*>{});
  actor->start({});
  actor->order(newer, Order::apply);
  const uint64_t last = actor->order(older, Order::apply);
  while (actor->published()->orders < last) std::this_thread::yield();
  EXPECT_EQ(actor->published()->agent.replicas, 2u);
  actor->end(AtStop::stop_instances);
}

TEST_F(ActorTest, NeverForgetsANewAgentInPlaceOfTheOldOneWithItsName) {
  const AgentRecord record = make_record(1);
  AgentRecord next = record;
  next.id = AgentId::make(clock_, random_);
  const auto make = [&](const AgentRecord& one) {
    return std::make_shared<Actor>(*world_, one, std::vector<Listener*>{});
  };
  Registry registry;
  const auto first = registry.find_or_add(record, make);
  EXPECT_EQ(registry.find_or_add(record, make), first);
  const auto second = registry.find_or_add(next, make);
  EXPECT_NE(second, first);
  registry.erase(record.id, record.scope, record.name);
  EXPECT_EQ(registry.find(record.scope, "bot"), second);
  EXPECT_EQ(registry.routes().find(record.scope, "bot"), second->route());
  registry.erase(next.id, next.scope, next.name);
  EXPECT_EQ(registry.find(record.scope, "bot"), nullptr);
  EXPECT_EQ(registry.routes().find(record.scope, "bot"), nullptr);
}

}  // namespace
}  // namespace gantry::agents
