// The logs of agents: merged, filtered, followed.
#include <fstream>

#include "agents/agents_for_test.h"

namespace gantry::agents {
namespace {

class AgentLogsTest : public AgentsTest {
 protected:
  void SetUp() override {
    AgentsTest::SetUp();
    core::AgentSpec wanted = spec();
    wanted.replicas = 2;
    deploy_and_wait(wanted);
    for (size_t replica = 0; replica < 2; ++replica)
      for (int64_t i = 0; i < 10; ++i)
        write(replica, 1'700'000'000'000 + 10 * i + static_cast<int64_t>(replica), i % 2 == 0 ? 'o' : 'e',
              fmt::format("line {} of {}", i, replica));
  }
  void write(size_t replica, int64_t unix_ms, char stream, const std::string& text) {
    const fs::path directory = box(replica)->spec.instance_dir / "logs";
    fs::create_directories(directory);
    std::ofstream(directory / "current.log", std::ios::app) << unix_ms << ' ' << stream << ' ' << text << '\n';
  }
  std::unique_ptr<LogReader> reader_of(LogOptions options) {
    if (options.agents.empty()) options.agents = {"bot"};
    auto reader = agents_->logs(scope_, std::move(options));
    EXPECT_TRUE(reader.has_value()) << reader.error().reason();
    return *std::move(reader);
  }
  std::vector<std::string> read(LogOptions options) {
    auto reader = reader_of(std::move(options));
    std::vector<std::string> lines;
    while (!reader->ended()) {
      auto next = run(reader->next(seconds(1)));
      EXPECT_TRUE(next.has_value());
      for (const LogLine& line : *next) lines.push_back(line.line);
    }
    return lines;
  }
  /// The next lines of a follower, until there are so many.
  std::vector<std::string> follow(LogReader& reader, size_t count) {
    std::vector<std::string> lines;
    while (lines.size() < count && !reader.ended())
      for (const LogLine& line : run(reader.next(seconds(20))).value()) lines.push_back(line.line);
    return lines;
  }
  Error refusal(LogOptions options) {
    auto reader = agents_->logs(scope_, std::move(options));
    EXPECT_FALSE(reader.has_value());
    return reader.has_value() ? Error(Code::internal, "") : reader.error();
  }
};

TEST_F(AgentLogsTest, MergesTheInstancesAndReadsToTheEnd) {
  EXPECT_EQ(read({}).size(), 20u);
  EXPECT_EQ(read({.tail = 3}), (std::vector<std::string>{"line 8 of 1", "line 9 of 0", "line 9 of 1"}));
  EXPECT_EQ(read({.tail = 0}), std::vector<std::string>());
}

TEST_F(AgentLogsTest, LinesOfOneMomentStayInTheirOrder) {
  std::vector<std::string> written;
  for (int i = 0; i < 200; ++i) {
    written.push_back(fmt::format("burst {}", i));
    write(0, 1'700'000'001'000, 'o', written.back());
  }
  EXPECT_EQ(read({.filter = "burst"}), written);
}

TEST_F(AgentLogsTest, FiltersByTextStreamInstanceAndTime) {
  EXPECT_EQ(read({.filter = "line 3"}), (std::vector<std::string>{"line 3 of 0", "line 3 of 1"}));
  EXPECT_EQ(read({.tail = 1, .filter = "line 3"}), (std::vector<std::string>{"line 3 of 1"}));
  EXPECT_EQ(read({.stream = "stderr"}).size(), 10u);
  EXPECT_EQ(read({.instances = {view().instances[1].id.to_string()}}).size(), 10u);
  EXPECT_EQ(read({.instances = {"bot/0"}, .filter = "line 4"}), std::vector<std::string>{"line 4 of 0"});
  EXPECT_EQ(read({.since = time_from_unix_ms(1'700'000'000'080)}).size(), 4u);
  EXPECT_EQ(read({.until = time_from_unix_ms(1'700'000'000'010)}).size(), 3u);
  EXPECT_EQ(read({.tail = 2, .until = time_from_unix_ms(1'700'000'000'010)}),
            (std::vector<std::string>{"line 0 of 1", "line 1 of 0"}));
  EXPECT_EQ(read({.grep = "^line [23] of (0|9)$"}), (std::vector<std::string>{"line 2 of 0", "line 3 of 0"}));
}

TEST_F(AgentLogsTest, RefusesConditionsThatMeanNothing) {
  const std::string unknown = InstanceId::make(clock_, random_).to_string();
  EXPECT_EQ(refusal({.instances = {unknown}}).code(), Code::not_found);
  EXPECT_EQ(refusal({.agents = {"bot"}, .instances = {"bot/7"}}).reason(), "there is no instance bot/7 of bot");
  EXPECT_EQ(refusal({.agents = {"bot", "bto"}}).id(), ErrorId::GR0501);
  EXPECT_EQ(refusal({.instances = {"seven"}}).id(), ErrorId::GR0511);
  EXPECT_EQ(refusal({.stream = "both"}).id(), ErrorId::GR0511);
  EXPECT_EQ(refusal({.since = time_from_unix_ms(2), .until = time_from_unix_ms(1)}).id(), ErrorId::GR0511);
  const Error pattern = refusal({.grep = "a(b"});
  EXPECT_EQ(pattern.id(), ErrorId::GR0511);
  EXPECT_EQ(pattern.reason(), "grep: missing ): a(b in 'a(b'");
  EXPECT_TRUE(pattern.hint().contains("RE2"));
  // What makes a backtracking engine run for ever is refused or harmless here.
  EXPECT_EQ(refusal({.grep = "(a)\\1"}).id(), ErrorId::GR0511);
  EXPECT_EQ(refusal({.grep = "((a{1000}){1000}){1000}"}).id(), ErrorId::GR0511);
  EXPECT_EQ(refusal({.grep = std::string(1025, 'a')}).id(), ErrorId::GR0511);
  write(0, 1'700'000'001'000, 'o', std::string(16'000, 'a'));
  EXPECT_EQ(read({.grep = "(a+)+$"}).size(), 1u);
}

TEST_F(AgentLogsTest, MergesSeveralAgentsAndAllOfThem) {
  core::AgentSpec other = spec();
  other.name = "other";
  ASSERT_TRUE(run(agents_->deploy(scope_, other)).has_value());
  ASSERT_TRUE(eventually([&] { return view("other").status == AgentStatus::running; }));
  const fs::path directory = driver_.box(view("other").instances.at(0).id)->spec.instance_dir / "logs";
  fs::create_directories(directory);
  std::ofstream(directory / "current.log") << "1700000000085 o of another agent\n";
  const std::vector<std::string> both{"line 8 of 1", "of another agent", "line 9 of 0", "line 9 of 1"};
  EXPECT_EQ(read({.agents = {"bot", "other"}, .tail = 4}), both);
  EXPECT_EQ(read({.agents = {"other"}}), std::vector<std::string>{"of another agent"});
  auto all = agents_->logs(scope_, {.tail = 4});
  ASSERT_TRUE(all.has_value());
  EXPECT_EQ(follow(**all, 4), both);
}

// The order must hold over the borders of chunks, which are four lines long here.
TEST_F(AgentLogsTest, MergesLogsThatAreLongerThanAChunk) {
  std::vector<std::string> written;
  for (int i = 0; i < 300; ++i) {
    written.push_back(fmt::format("long {}", i));
    // Bursts of seven lines of one instance and then of the other.
    write(static_cast<size_t>(i / 7 % 2), 1'700'000'002'000 + i, 'o', written.back());
  }
  EXPECT_EQ(read({.filter = "long"}), written);
  EXPECT_EQ(read({.tail = 150, .filter = "long"}), std::vector<std::string>(written.begin() + 150, written.end()));
  EXPECT_EQ(read({.tail = 1000}).size(), 320u);
}

TEST_F(AgentLogsTest, FollowsInTheOrderOfTimeAndFindsLaterInstances) {
  auto reader = reader_of({.tail = 0, .follow = LogOptions::Follow::yes});
  EXPECT_TRUE(run(reader->next(Duration(0))).value().empty());
  // Written in the wrong order, between two looks.
  write(1, 1'700'000'003'001, 'o', "second");
  write(0, 1'700'000'003'000, 'o', "first");
  EXPECT_EQ(follow(*reader, 2), (std::vector<std::string>{"first", "second"}));
  ASSERT_TRUE(run(agents_->scale(scope_, "bot", 3, {.wait = seconds(30)})).has_value());
  write(2, 1'700'000'004'000, 'o', "of a later instance");
  EXPECT_EQ(follow(*reader, 1), std::vector<std::string>{"of a later instance"});
}

TEST_F(AgentLogsTest, AFollowerGetsTheLastLinesOfAnInstanceThatGoes) {
  auto reader = reader_of({.tail = 0, .follow = LogOptions::Follow::yes});
  EXPECT_TRUE(run(reader->next(Duration(0))).value().empty());
  write(1, 1'700'000'005'000, 'o', "good bye");
  ASSERT_TRUE(run(agents_->scale(scope_, "bot", 1, {.wait = seconds(30)})).has_value());
  EXPECT_EQ(follow(*reader, 1), std::vector<std::string>{"good bye"});
}

TEST_F(AgentLogsTest, AFollowerEndsWhenItsTimeIsOver) {
  auto reader = reader_of({.tail = 1, .until = clock_.now() - seconds(1), .follow = LogOptions::Follow::yes});
  EXPECT_EQ(follow(*reader, 2).size(), 1u);
  EXPECT_TRUE(reader->ended());
}

TEST_F(AgentLogsTest, ManyInstancesAreRefusedRatherThanHeldInMemory) {
  Options narrow;
  narrow.data = data_;
  narrow.log_instances_at_once = 1;
  agents_->stop(AtStop::keep_instances);
  agents_ = std::make_unique<Agents>(Parts{*database_, driver_, threads_, blocking_, clock_, random_, logger_}, narrow);
  ASSERT_TRUE(agents_->start().has_value());
  ASSERT_TRUE(eventually([&] { return view().instances.size() == 2; }));
  EXPECT_EQ(refusal({.agents = {"bot"}}).reason(), "2 instances cannot be merged at once, at most 1 can");
}

TEST_F(AgentLogsTest, FollowsWhatIsWrittenLater) {
  auto reader = reader_of({.tail = 1, .follow = LogOptions::Follow::yes});
  EXPECT_EQ(run(reader->next(seconds(1))).value().size(), 1u);
  EXPECT_TRUE(run(reader->next(Duration(0))).value().empty());
  EXPECT_FALSE(reader->ended());
  write(0, 1'700'000'000'500, 'o', "later");
  auto later = run(reader->next(seconds(20))).value();
  ASSERT_EQ(later.size(), 1u);
  EXPECT_EQ(later[0].line, "later");
  ASSERT_TRUE(run(agents_->remove(scope_, "bot")).has_value());
  ASSERT_TRUE(run(reader->next(seconds(20))).has_value());
  EXPECT_TRUE(reader->ended());
}

}  // namespace
}  // namespace gantry::agents
