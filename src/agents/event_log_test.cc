#include "agents/event_log.h"

#include <gtest/gtest.h>

#include <future>

#include "agents/agents.h"

namespace gantry::agents {
namespace {

namespace fs = std::filesystem;

class EventLogTest : public testing::Test {
 protected:
  EventLogTest() {
    std::string pattern = (fs::temp_directory_path() / "gantry-events-XXXXXX").string();
    GANTRY_CHECK(::mkdtemp(pattern.data()) != nullptr);
    data_ = pattern;
    threads_.start();
    const store::Migrations schema[] = {migrations()};
    database_ = store::open_sqlite(data_ / "store.db", schema).value();
    log_.emplace(EventLogParts{*database_, threads_, clock_, logger_, tasks_}, EventLimits{.kept = 50});
  }
  ~EventLogTest() override {
    tasks_.join();
    database_.reset();
    fs::remove_all(data_);
  }
  void tell(const std::string& agent, const std::string& type, const std::string& reason = "") {
    auto done = database_->write_blocking(scope_, [&](store::Session& session) {
      return log_->insert(session, {.type = type, .agent = agent, .reason = reason}, clock_.now());
    });
    ASSERT_TRUE(done.has_value()) << done.error().reason();
    clock_.advance(std::chrono::seconds(1));
  }
  template <class T>
  T run(Task<T> task) {
    std::promise<T> promise;
    TaskGroup group;
    group.spawn(threads_.executor(0), keep(std::move(task), promise));
    group.join();
    return promise.get_future().get();
  }
  template <class T>
  static Task<void> keep(Task<T> task, std::promise<T>& promise) {
    promise.set_value(co_await std::move(task));
  }
  std::vector<std::string> reasons(EventFilter filter) {
    std::vector<std::string> all;
    for (const EventView& view : run(log_->read(scope_, std::move(filter))).value()) all.push_back(view.event.reason);
    return all;
  }

  fs::path data_;
  const Scope scope_ = Scope::standard();
  ManualClock clock_;
  telemetry::Logger logger_;
  IoThreads threads_{1};
  TaskGroup tasks_;
  std::unique_ptr<store::Database> database_;
  std::optional<EventLog> log_;
};

using Reasons = std::vector<std::string>;

TEST_F(EventLogTest, ReadsTheNewestFirstAndPagesBack) {
  for (const char* reason : {"1", "2", "3"}) tell("bot", "instance.exit", reason);
  EXPECT_EQ(reasons({}), (Reasons{"3", "2", "1"}));
  const auto page = run(log_->read(scope_, {.limit = 2})).value();
  EXPECT_EQ(reasons({.before_seq = page.back().seq}), Reasons{"1"});
  EXPECT_EQ(reasons({.after_seq = page.back().seq}), Reasons{"3"});
  EXPECT_EQ(reasons({.after_seq = 0}), (Reasons{"1", "2", "3"}));
}

TEST_F(EventLogTest, FiltersByAgentTypeAndTime) {
  const Time start = clock_.now();
  tell("bot", "instance.exit", "a");
  tell("notes", "instance.ready", "b");
  tell("bot", "agent.deploy", "c");
  EXPECT_EQ(reasons({.agents = {"bot"}}), (Reasons{"c", "a"}));
  EXPECT_EQ(reasons({.agents = {"bot", "notes"}, .types = {"instance"}}), (Reasons{"b", "a"}));
  EXPECT_EQ(reasons({.types = {"exit"}}), Reasons{"a"});
  EXPECT_EQ(reasons({.types = {"agent.deploy", "ready"}}), (Reasons{"c", "b"}));
  EXPECT_EQ(reasons({.since = start + std::chrono::seconds(1)}), (Reasons{"c", "b"}));
  EXPECT_EQ(reasons({.until = start + std::chrono::seconds(1)}), (Reasons{"b", "a"}));
  const auto wrong = run(log_->read(scope_, {.types = {"instance.exti"}}));
  ASSERT_FALSE(wrong.has_value());
  EXPECT_EQ(wrong.error().reason(), "type: there is no event 'instance.exti'");
  EXPECT_EQ(wrong.error().hint(), "did you mean 'instance.exit'?");
}

TEST_F(EventLogTest, KeepsOnlyTheLatest) {
  for (int i = 0; i < 120; ++i) tell("bot", "instance.exit", std::to_string(i));
  const Reasons kept = reasons({.limit = 1000});
  ASSERT_EQ(kept.size(), 50u);
  EXPECT_EQ(kept.front(), "119");
  EXPECT_EQ(kept.back(), "70");
}

TEST_F(EventLogTest, WritesWhatIsRecordedAndWakesWhoWaits) {
  log_->record(scope_, {.type = "instance.start", .agent = "bot", .replica = 3, .revision = 2, .reason = "first"});
  const auto seen = run(log_->wait(scope_, {.after_seq = 0}, std::chrono::seconds(30))).value();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].event.reason, "first");
  EXPECT_EQ(seen[0].event.replica, 3u);
  EXPECT_EQ(seen[0].event.revision, 2u);
  EXPECT_FALSE(seen[0].event.instance.has_value());
}

TEST_F(EventLogTest, OtherScopesSeeNothingOfIt) {
  tell("bot", "instance.exit", "mine");
  EXPECT_TRUE(run(log_->read({"default", "default", "prod"}, {})).value().empty());
}

TEST(EventTypes, AreNamedWholeOrByEitherSideOfTheDot) {
  EXPECT_EQ(event_types_named("instance.exit"), std::vector<std::string_view>{"instance.exit"});
  EXPECT_EQ(event_types_named("exit"), std::vector<std::string_view>{"instance.exit"});
  EXPECT_EQ(event_types_named("restart").size(), 2u);
  EXPECT_EQ(event_types_named("agent.*").size() + event_types_named("instance").size(), event_types().size());
  EXPECT_TRUE(event_types_named("exi").empty());
}

}  // namespace
}  // namespace gantry::agents
