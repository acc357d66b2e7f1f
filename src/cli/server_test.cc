// up, down, and the child that is a server; config; and the callers of the demo.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "cli/canned.h"
#include "cli/child.h"
#include "cli/demo/load.h"
#include "cli/demo/programs.h"
#include "cli/fake_api.h"
#include "cli/fake_terminal.h"
#include "cli/golden.h"

namespace gantry::cli {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  Files() {
    std::string path = (fs::temp_directory_path() / "gantry-server-XXXXXX").string();
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    root = path;
    terminal.environment.working_directory = root;
    terminal.variables["HOME"] = root.string();
  }
  ~Files() override { fs::remove_all(root); }

  fs::path script(const std::string& body) {
    fs::path path = root / "gantry";
    std::ofstream(path) << "#!/bin/sh\n" << body;
    fs::permissions(path, fs::perms::owner_all);
    return path;
  }

  fs::path root;
  FakeTerminal terminal;
};

// ---- The child -----------------------------------------------------------------------------------

TEST_F(Files, AChildIsReadyWithItsFirstLineAndEndsWithItsOwner) {
  auto child = ServerChild::start(
      {.program = script("echo '{\"url\":\"http://x\",\"pid\":1}'\nexec sleep 100\n"), .log = root / "log"});
  ASSERT_TRUE(child.has_value()) << child.error().reason();
  EXPECT_EQ(json::get_string(child->ready(), "url"), "http://x");
  pid_t pid = child->pid();
  EXPECT_EQ(::kill(pid, 0), 0);
  EXPECT_FALSE(child->wait(Duration::zero()));
  {
    ServerChild gone = std::move(*child);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST_F(Files, AChildThatEndsTellsTheEndOfItsLog) {
  std::ofstream(root / "log") << "an older line\n";
  auto child =
      ServerChild::start({.program = script("echo 'error: the port is taken' >&2\nexit 5\n"), .log = root / "log"});
  ASSERT_FALSE(child.has_value());
  EXPECT_EQ(child.error().id(), ErrorId::GR0807);
  EXPECT_EQ(child.error().reason(), "the server did not become ready: it ended\n  error: the port is taken");
}

TEST_F(Files, AChildThatSaysWhyItDidNotStartIsTakenAtItsWord) {
  const Error why = Error(ErrorId::GR0001, "pid 7 uses /data").with_hint("gantry down");
  std::ofstream(root / "why") << failure_line(why);
  terminal.environment.self = script("echo \"${GANTRY_STARTED_BY_COMMAND}\" >&2\ncat \"${0%/*}/why\"\nexit 5\n");
  EXPECT_EQ(terminal.run({"up", "--detach", "--data", (root / "data").string()}), 5);
  EXPECT_EQ(terminal.err(), "error: up: pid 7 uses /data (GR0001)\nhint: gantry down\n");
  EXPECT_EQ(read_text(root / "data" / "server.log"), "1\n");
}

TEST_F(Files, TheFileOfItsStderrMakesRoomForANewOne) {
  std::ofstream(root / "log") << std::string((size_t{1} << 20) + 1, 'x');
  auto child = ServerChild::start({.program = script("echo '{}'\nexec sleep 100\n"), .log = root / "log"});
  ASSERT_TRUE(child.has_value());
  EXPECT_EQ(fs::file_size(root / "log"), 0u);
  EXPECT_GT(fs::file_size(root / "log.1"), size_t{1} << 20);
}

TEST_F(Files, AServerThatDoesNotStartTellsItsStarterOnStdout) {
  terminal.environment.run_server = [](const UpOptions& options) -> Result<int> {
    EXPECT_EQ(options.started_by, StartedBy::command);
    return fail(ErrorId::GR0601, "127.0.0.1:1 is taken");
  };
  terminal.variables["GANTRY_STARTED_BY_COMMAND"] = "1";
  EXPECT_EQ(terminal.run({"up"}), 5);
  auto line = json::parse(terminal.out());
  ASSERT_TRUE(line.has_value()) << terminal.out();
  EXPECT_EQ(json::get_string(*line, "error.id"), "GR0601");
  terminal.variables.clear();
  terminal.environment.run_server = [](const UpOptions&) -> Result<int> { return fail(ErrorId::GR0601, "taken"); };
  terminal.variables["HOME"] = root.string();
  EXPECT_EQ(terminal.run({"up"}), 5);
  EXPECT_EQ(terminal.out(), "");
  EXPECT_TRUE(terminal.err().starts_with("error: up: taken (GR0601)\nhint: ")) << terminal.err();
}

TEST_F(Files, AnAddressThatOthersReachIsWarnedAbout) {
  for (const auto& [listen, warned] : std::map<std::string, bool>{
           {"0.0.0.0:0", true}, {"[::]:8081", true}, {"127.0.0.1:0", false}, {"[::1]:0", false}}) {
    EXPECT_EQ(terminal.run({"up", "--listen", listen}), 0) << terminal.err();
    EXPECT_EQ(terminal.err().starts_with("warning: "), warned) << terminal.err();
  }
}

TEST_F(Files, DownWithoutAServerDoesNotAdviseToStartOne) {
  EXPECT_EQ(terminal.run({"down", "--data", (root / "data").string()}), 11);
  EXPECT_FALSE(terminal.err().contains("gantry up")) << terminal.err();
}

TEST_F(Files, AChildThatSaysNothingIsEnded) {
  auto child = ServerChild::start(
      {.program = script("exec sleep 100\n"), .log = root / "log", .ready_timeout = std::chrono::milliseconds(100)});
  ASSERT_FALSE(child.has_value());
  EXPECT_EQ(child.error().reason(), "the server did not become ready: it said nothing in time");
}

TEST_F(Files, UpDetachPassesWhatWasDecidedAndPrintsTheAddress) {
  terminal.environment.self =
      script("echo \"$@\" > \"${0%/*}/words\"\necho '{\"url\":\"http://x\",\"pid\":7}'\nexec sleep 0.2\n");
  EXPECT_EQ(terminal.run({"up", "--detach", "--data", (root / "data").string(), "--listen", "127.0.0.1:0",
                          "--log-level", "warn"}),
            0)
      << terminal.err();
  EXPECT_EQ(terminal.out(), "gantry is ready at http://x (pid 7)\n");
  std::string words = read_text(root / "words");
  EXPECT_EQ(words, fmt::format("up --output=json --listen=127.0.0.1:0 --log-level=warn --data={}\n",
                               (root / "data").string()));
  EXPECT_EQ(fs::status(root / "data").permissions(), fs::perms::owner_all);
  EXPECT_EQ(terminal.run({"up", "-d", "--data", (root / "data").string(), "-o", "json"}), 0);
  EXPECT_EQ(terminal.out(), "{\"url\":\"http://x\",\"pid\":7}\n");
}

TEST_F(Files, UpHandsTheConfigurationToTheServer) {
  std::string listen, data;
  Announce announce = Announce::text;
  terminal.environment.run_server = [&](const UpOptions& options) {
    listen = options.config.text("listen");
    data = options.config.text("data");
    announce = options.announce;
    return 42;
  };
  terminal.variables["GANTRY_LISTEN"] = "127.0.0.1:1";
  EXPECT_EQ(terminal.run({"up", "--data", "/srv/gantry", "-o", "json"}), 42);
  EXPECT_EQ(listen, "127.0.0.1:1");
  EXPECT_EQ(data, "/srv/gantry");
  EXPECT_EQ(announce, Announce::json);
}

// ---- down ----------------------------------------------------------------------------------------

TEST_F(Files, DownWaitsUntilTheServerIsGone) {
  FakeApi api;
  terminal.variables["GANTRY_URL"] = api.url();
  api.on("GET /v1/status", {200, canned::status});
  api.on("GET /v1/status", {200, canned::status});
  api.on("GET /v1/status", FakeApi::problem(503, "unavailable", "draining"));
  api.on("POST /v1/server/shutdown", {202, "{}"});
  EXPECT_EQ(terminal.run({"down", "-o", "json"}), 0) << terminal.err();
  EXPECT_EQ(json::get_bool(*json::parse(terminal.out()), "stopped"), true);
  EXPECT_EQ(api.lines(), (std::vector<std::string>{"GET /v1/status", "POST /v1/server/shutdown", "GET /v1/status",
                                                   "GET /v1/status"}));
}

TEST_F(Files, DownWatchesTheProcessOfALocalServerAndKillsOnlyWhenTold) {
  FakeApi api;
  auto child = ServerChild::start(
      {.program = script("trap '' TERM\necho '{}'\nwhile :; do sleep 0.05; done\n"), .log = root / "log"});
  ASSERT_TRUE(child.has_value());
  std::ofstream(root / "server.json") << fmt::format(R"({{"url":"{}","pid":{}}})", api.url(), child->pid());
  api.on("GET /v1/status", {200, fmt::format(R"({{"pid":{}}})", child->pid())});
  api.on("POST /v1/server/shutdown", {202, "{}"});
  EXPECT_EQ(terminal.run({"down", "--data", root.string(), "--timeout", "1s"}), 6);
  EXPECT_TRUE(terminal.err().contains("GR0808")) << terminal.err();
  EXPECT_FALSE(child->wait(Duration::zero()));
  // The clock of the test runs ahead of the process, so its end is waited for here.
  terminal.on_pause = [&] {
    (void)child->wait(std::chrono::seconds(1));
    return Interrupted::no;
  };
  EXPECT_EQ(terminal.run({"down", "--data", root.string(), "--timeout", "0", "--kill"}), 0) << terminal.err();
  EXPECT_TRUE(terminal.out().ends_with("was killed\n")) << terminal.out();
}

// ---- config --------------------------------------------------------------------------------------

TEST_F(Files, ConfigIsSetShownAndReset) {
  EXPECT_EQ(terminal.run({"config", "get", "listen"}), 0) << terminal.err();
  EXPECT_EQ(terminal.out(), "127.0.0.1:8081\n");
  EXPECT_EQ(terminal.run({"config", "set", "listen", "127.0.0.1:9000"}), 0) << terminal.err();
  EXPECT_EQ(terminal.run({"config", "set", "log-level", "warn", "--project"}), 0) << terminal.err();
  EXPECT_TRUE(fs::exists(root / ".gantry.yaml"));
  EXPECT_EQ(terminal.run({"config", "get", "listen", "-o", "json"}), 0);
  auto value = json::parse(terminal.out());
  EXPECT_EQ(json::get_string(*value, "value"), "127.0.0.1:9000");
  EXPECT_EQ(json::get_string(*value, "level"), "user");
  EXPECT_EQ(terminal.run({"config", "get", "log_level"}), 0);
  EXPECT_EQ(terminal.out(), "warn\n");
  EXPECT_EQ(terminal.run({"config", "reset", "listen"}), 0);
  EXPECT_EQ(terminal.run({"config", "get", "listen"}), 0);
  EXPECT_EQ(terminal.out(), "127.0.0.1:8081\n");
  EXPECT_EQ(terminal.run({"config", "reset", "--all", "--project", "--yes"}), 0) << terminal.err();
  EXPECT_EQ(terminal.run({"config", "get", "log_level"}), 0);
  EXPECT_EQ(terminal.out(), "info\n");
}

TEST_F(Files, ConfigRefusesWhatItDoesNotKnow) {
  EXPECT_EQ(terminal.run({"config", "get", "lisen"}), 3);
  EXPECT_TRUE(terminal.err().ends_with("hint: did you mean `listen`?\n")) << terminal.err();
  EXPECT_EQ(terminal.run({"config", "set", "log_level", "loud"}), 7);
  EXPECT_EQ(terminal.run({"config", "reset"}), 2);
  EXPECT_EQ(terminal.run({"config", "reset", "--all"}), 2);
}

TEST_F(Files, ABrokenFileStopsOnlyTheCommandsThatReadIt) {
  fs::create_directories(root / ".config/gantry");
  std::ofstream(root / ".config/gantry/config.yaml") << "lisen: x\n";
  EXPECT_EQ(terminal.run({"list"}), 7);
  EXPECT_TRUE(terminal.err().contains("GR0701")) << terminal.err();
  EXPECT_EQ(terminal.run({"version"}), 0);
  EXPECT_EQ(terminal.out(), "gantry 1.2.3 (commit abcdef0, test build)\n");
  EXPECT_EQ(terminal.run({"help", "config"}), 0);
}

// ---- the demo ------------------------------------------------------------------------------------

TEST(Demo, CarriesTheProgramsOfTheExamples) {
  fs::path examples = fs::path(GANTRY_SOURCE_DIR) / "examples";
  EXPECT_EQ(python_counter, read_text(examples / "python-counter/app.py"));
  EXPECT_EQ(node_notes, read_text(examples / "node-notes/app.js"));
}

/// Waits for a condition, at most ten seconds.
bool eventually(const std::function<bool()>& reached) {
  SystemClock clock;
  const SteadyTime deadline = clock.steady() + std::chrono::seconds(10);
  while (!reached()) {
    if (clock.steady() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST(Demo, CallersSendAgainOnlyWhatTheServerHadNotAccepted) {
  std::vector<DemoItem> items = {{"a", "/items", "a-1"}, {"a", "/items", "a-2"}, {"a", "/items", "a-3"}};
  DemoLoad load(items);
  {
    FakeApi first;
    first.on("POST /agent/a/items/a-1", {200, "{}"});
    first.on("POST /agent/a/items/a-2", FakeApi::problem(503, "unavailable", "dying"));
    first.on("POST /agent/a/items/a-3", FakeApi::problem(503, "unavailable", "dying"));
    load.go({first.url(), {}});
    ASSERT_TRUE(eventually([&] { return load.counts().answered == 1 && load.counts().broken == 2; }));
    load.hold();
  }
  FakeApi second;
  second.on("POST /agent/a/items/a-3", {202, "{}"});
  EXPECT_EQ(load.send_again({{"a", {"a-2"}}}), 1u);
  load.go({second.url(), {}});
  ASSERT_TRUE(eventually([&] { return load.counts().kept == 1; }));
  EXPECT_EQ(second.lines(), (std::vector<std::string>{"POST /agent/a/items/a-3"}));
  EXPECT_EQ(load.counts().sent, 3u);
  load.stop();
}

}  // namespace
}  // namespace gantry::cli
