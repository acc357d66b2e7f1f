#include "telemetry/telemetry.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>

namespace gantry::telemetry {
namespace {

// Keeps what is written; can be made to block or to fail.
class MemorySink final : public Sink {
 public:
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::string text;
    bool blocked = false;
    bool waiting = false;  // a write waits because of `blocked`
    bool failing = false;
  };
  MemorySink(std::shared_ptr<Shared> shared, Format format) : shared_(std::move(shared)), format_(format) {}
  Result<> write(std::string_view lines) override {
    std::unique_lock lock(shared_->mutex);
    shared_->waiting = shared_->blocked;
    shared_->changed.notify_all();
    shared_->changed.wait(lock, [&] { return !shared_->blocked; });
    if (shared_->failing) return fail(Code::exhausted, "no space left on device");
    shared_->text += lines;
    return {};
  }
  Format format() const override { return format_; }

 private:
  std::shared_ptr<Shared> shared_;
  Format format_;
};

struct Fixture {
  explicit Fixture(LogOptions options = {}, Format format = Format::json) {
    options.sinks.push_back(std::make_unique<MemorySink>(shared, format));
    writer = std::make_unique<LogWriter>(std::move(options), clock);
  }
  std::string text() {
    writer->flush();
    std::lock_guard lock(shared->mutex);
    return shared->text;
  }
  std::vector<json::Value> lines() {
    std::istringstream stream(text());
    std::vector<json::Value> values;
    for (std::string line; std::getline(stream, line);) values.push_back(json::parse(line).value());
    return values;
  }
  void block() {
    std::lock_guard lock(shared->mutex);
    shared->blocked = true;
  }
  void wait_until_blocked() {
    std::unique_lock lock(shared->mutex);
    ASSERT_TRUE(shared->changed.wait_for(lock, std::chrono::seconds(30), [&] { return shared->waiting; }));
  }
  void unblock() {
    std::lock_guard lock(shared->mutex);
    shared->blocked = false;
    shared->changed.notify_all();
  }

  ManualClock clock;
  std::shared_ptr<MemorySink::Shared> shared = std::make_shared<MemorySink::Shared>();
  std::unique_ptr<LogWriter> writer;
};

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct TemporaryFolder {
  TemporaryFolder() {
    std::string name = ::testing::TempDir() + "gantry-telemetry-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

TEST(Log, WritesOneJsonObjectALineWithTypedFields) {
  Fixture fixture;
  SeededRandom random(1);
  AgentId id = AgentId::make(fixture.clock, random);
  fixture.writer->logger().info("agent \"deployed\"\n", field("agent", "bot"), field("ms", 12), field("ok", true),
                                field("ratio", 0.5), field("big", UINT64_MAX), field("took", Duration(1'234'567)),
                                field("size", mebibytes(1)), field("id", id),
                                field("error", Error(ErrorId::GR0001, "locked")), field("text", std::string("a\tb")));
  EXPECT_EQ(fixture.text(),
            fmt::format(
                "{{\"time\":\"2023-11-14T22:13:20.000Z\",\"level\":\"info\",\"message\":\"agent \\\"deployed\\\"\\n\","
                "\"agent\":\"bot\",\"ms\":12,\"ok\":true,\"ratio\":0.5,\"big\":18446744073709551615,\"took\":1.235,"
                "\"size\":1048576,\"id\":\"{}\",\"error\":\"conflict GR0001: locked\",\"text\":\"a\\tb\"}}\n",
                id));
}

TEST(Log, TextIsForPeopleAndCannotSteerATerminal) {
  Fixture fixture({}, Format::text);
  fixture.writer->logger()
      .with(field("agent", "bot"))
      .warn("evil \x1b[2J\n", field("reason", "exit 137, out"), field("n", 3));
  EXPECT_EQ(fixture.text(),
            "2023-11-14T22:13:20.000Z warn  evil \\x1b[2J\\x0a agent=bot reason=\"exit 137, out\" n=3\n");
}

TEST(Log, ChildrenAddTheirFieldsToEveryLine) {
  Fixture fixture;
  Logger parent = fixture.writer->logger().with(field("agent", "bot"));
  Logger child = parent.with(field("replica", 2));
  child.info("one", field("x", 1));
  parent.info("two");
  auto lines = fixture.lines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(json::get_int(lines[0], "replica").value(), 2);
  EXPECT_EQ(json::get_string(lines[0], "agent").value(), "bot");
  EXPECT_EQ(json::get_int(lines[0], "x").value(), 1);
  EXPECT_EQ(json::find(lines[1], "replica"), nullptr);
}

TEST(Log, LevelsFilterAndCanBeChanged) {
  Fixture fixture({.level = Level::warn});
  Logger log = fixture.writer->logger();
  EXPECT_FALSE(log.enabled(Level::info));
  log.info("no");
  log.warn("yes");
  fixture.writer->set_level(Level::debug);
  log.debug("now");
  fixture.writer->set_level(Level::off);
  log.error("never");
  auto lines = fixture.lines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(json::get_string(lines[1], "level").value(), "debug");
  EXPECT_EQ(parse_level("warn").value(), Level::warn);
  EXPECT_EQ(parse_level("loud").error().reason(), "'loud' is not a log level: debug, info, warn, error or off");
  EXPECT_EQ(parse_format("text").value(), Format::text);
  EXPECT_FALSE(parse_format("xml").has_value());
}

TEST(Log, AFullQueueDropsCountsAndSaysSoAndNobodyWaits) {
  Fixture fixture({.queue_lines = 10});
  fixture.block();
  Logger log = fixture.writer->logger();
  log.info("first");
  fixture.wait_until_blocked();  // the writer holds the first line and waits for the sink
  for (int i = 0; i < 25; ++i) log.info("more", field("i", i));
  EXPECT_EQ(fixture.writer->dropped(), 15u);
  fixture.unblock();
  auto lines = fixture.lines();
  ASSERT_EQ(lines.size(), 12u);
  EXPECT_EQ(json::get_string(lines[11], "message").value(), "log lines were dropped");
  EXPECT_EQ(json::get_int(lines[11], "lines").value(), 15);
}

TEST(Log, TheQueueIsBoundedInBytesToo) {
  Fixture fixture({.queue_size = kibibytes(4)});
  fixture.block();
  Logger log = fixture.writer->logger();
  log.info("first");
  fixture.wait_until_blocked();
  for (int i = 0; i < 10; ++i) log.info(std::string(1000, 'x'));
  EXPECT_EQ(fixture.writer->dropped(), 7u);
  fixture.unblock();
}

TEST(Log, LongTextsAreCutBetweenCharacters) {
  Fixture fixture({.max_text = 5});
  fixture.writer->logger().info("abcdefgh", field("f", "aääää"));
  auto lines = fixture.lines();
  EXPECT_EQ(json::get_string(lines[0], "message").value(), "abcde…");
  EXPECT_EQ(json::get_string(lines[0], "f").value(), "aää…");
}

TEST(Log, IsSafeFromManyThreadsAndStopWritesWhatIsQueued) {
  Fixture fixture({.queue_lines = 100'000});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([log = fixture.writer->logger().with(field("thread", t))] {
      for (int i = 0; i < 1000; ++i) log.info("line", field("i", i));
    });
  for (auto& thread : threads) thread.join();
  Logger survivor = fixture.writer->logger();
  fixture.writer->stop();
  fixture.writer->stop();
  survivor.error("after the end");
  std::istringstream stream(fixture.shared->text);
  size_t lines = 0;
  for (std::string line; std::getline(stream, line);) {
    ASSERT_TRUE(json::parse(line).has_value()) << line;
    ++lines;
  }
  EXPECT_EQ(lines, 4000u);
}

TEST(Log, StopWritesWhatWaitsBehindASlowSink) {
  Fixture fixture;
  fixture.block();
  Logger log = fixture.writer->logger();
  log.info("first");
  fixture.wait_until_blocked();
  for (int i = 0; i < 5; ++i) log.info("more");
  std::thread stopper([&] { fixture.writer->stop(); });
  // The stop is under way as soon as nothing is taken any more.
  SystemClock clock;
  for (auto deadline = clock.steady() + std::chrono::seconds(30); log.enabled(Level::error);) {
    ASSERT_LT(clock.steady(), deadline);
    std::this_thread::yield();
  }
  fixture.unblock();
  stopper.join();
  EXPECT_EQ(std::ranges::count(fixture.shared->text, '\n'), 6);
}

TEST(Log, AFailingSinkIsCountedAndHarmsNobody) {
  Fixture fixture;
  fixture.shared->failing = true;
  fixture.writer->logger().info("lost");
  EXPECT_EQ(fixture.text(), "");
  EXPECT_EQ(fixture.writer->failed_writes(), 1u);
}

TEST(Log, ADefaultLoggerWritesNothing) {
  Logger log;
  EXPECT_FALSE(log.enabled(Level::error));
  log.with(field("a", 1)).error("nowhere");
}

TEST(FileSink, RotatesWholeLinesAndKeepsTheWantedNumber) {
  TemporaryFolder folder;
  auto path = folder.path / "server.log";
  auto sink = file_sink({.path = path, .max_size = Bytes{10}, .keep = 2}).value();
  for (std::string_view lines :
       {"1111\n2222\n", "33\n", "4444\n555\n6666\n", "a line that is longer than a file\n", "7777\n"})
    ASSERT_TRUE(sink->write(lines).has_value());
  EXPECT_EQ(read_file(path), "7777\n");
  EXPECT_EQ(read_file(path.string() + ".1"), "a line that is longer than a file\n");
  EXPECT_EQ(read_file(path.string() + ".2"), "555\n6666\n");
  EXPECT_FALSE(std::filesystem::exists(path.string() + ".3"));
}

TEST(FileSink, GoesOnWithTheFileThatIsThereAndIsPrivate) {
  TemporaryFolder folder;
  auto path = folder.path / "server.log";
  ASSERT_TRUE(file_sink({.path = path, .max_size = Bytes{10}}).value()->write("1111\n").has_value());
  auto sink = file_sink({.path = path, .max_size = Bytes{10}}).value();
  ASSERT_TRUE(sink->write("2222\n").has_value());
  EXPECT_EQ(read_file(path), "1111\n2222\n");
  ASSERT_TRUE(sink->write("3333\n").has_value());
  EXPECT_EQ(read_file(path), "3333\n");
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST(FileSink, SaysWhyItCannotOpen) {
  auto sink = file_sink({.path = "/nowhere/at/all/server.log"});
  ASSERT_FALSE(sink.has_value());
  EXPECT_EQ(sink.error().reason(), "open '/nowhere/at/all/server.log': No such file or directory");
}

TEST(Secret, IsRedactedInLogsFmtAndJson) {
  Secret secret("hunter2-hunter2-hunter2");
  Fixture fixture;
  fixture.writer->logger().with(field("fixed", secret)).info("login", field("key", secret));
  EXPECT_EQ(fixture.text().find("hunter2"), std::string::npos);
  EXPECT_NE(fixture.text().find("\"key\":\"[redacted]\""), std::string::npos);
  EXPECT_EQ(fmt::format("{}", secret), "[redacted]");
  EXPECT_EQ(json::serialize(boost::json::value_from(secret)), "\"[redacted]\"");
  EXPECT_EQ(secret.reveal(), "hunter2-hunter2-hunter2");
}

TEST(Secret, ComparesCopiesAndLeavesNothingBehindWhenMoved) {
  Secret secret("short");
  Secret copy = secret;
  EXPECT_EQ(copy, secret);
  EXPECT_FALSE(copy == Secret("other"));
  Secret moved = std::move(copy);
  EXPECT_TRUE(copy.empty());  // NOLINT(bugprone-use-after-move): what a move leaves is the promise
  EXPECT_EQ(moved, secret);
  copy = std::move(moved);
  EXPECT_TRUE(moved.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(copy.reveal(), "short");
}

}  // namespace
}  // namespace gantry::telemetry
