// Every command against a server with canned answers: what it asks, what it prints, how it ends.
#include "cli/command.h"

#include <gtest/gtest.h>

#include "cli/canned.h"
#include "cli/fake_api.h"
#include "cli/fake_terminal.h"
#include "cli/golden.h"

namespace gantry::cli {
namespace {

class Commands : public testing::Test {
 protected:
  Commands() {
    terminal.variables["GANTRY_URL"] = api.url();
    terminal.variables["GANTRY_KEY"] = "gk_secret";
  }

  /// Answers for everything that a command could ask.
  void answer_everything() {
    api.on("GET /v1/status", {200, canned::status});
    api.on("GET /v1/version", {200, R"({"version":"0.1.0","commit":"68cf76f","build":"release"})"});
    api.on("GET /v1/doctor", {200, canned::doctor});
    api.on("GET /v1/doctor/storage", {200, canned::storage});
    api.on("GET /v1/agents", {200, canned::agents});
    api.on("GET /v1/agents/bot", {200, canned::agent});
    api.on("GET /v1/agents/bot/health", {200, canned::health});
    api.on("GET /v1/stats", {200, canned::stats});
    api.on("GET /v1/events", {200, canned::events});
    api.on("GET /v1/quotas", {200, canned::quotas});
    api.on("PATCH /v1/quotas", {200, canned::quotas});
    api.on("GET /v1/logs", {200, canned::logs, {{"Content-Type", "application/jsonl"}}});
    for (const char* verb : {"start", "stop", "restart", "pause", "resume", "scale"})
      api.on(fmt::format("POST /v1/agents/bot/{}", verb), {200, canned::agent});
    api.on("DELETE /v1/agents/bot", {200, R"({"removed":"bot"})"});
    api.on("PUT /v1/agents/notes", {201, R"({"result":"created","agent":)" + canned::ready_agent + "}"});
    api.on("GET /v1/agents/notes", {200, canned::ready_agent});
    api.on("GET /v1/requests", {200, canned::requests});
    api.on("GET /v1/requests/req_1", {200, canned::request});
    api.on("POST /v1/requests/req_1/replay", {202, canned::replayed});
    api.on("POST /v1/requests/req_1/cancel", {200, canned::cancelled});
    api.on("GET /v1/requests/req_01JD4YC0M2P4R6T8V0X1Y2Z3A4", {200, canned::request});
    api.on("GET /v1/webhooks",
           {200, R"({"data":[)" + canned::webhook + "," + canned::disabled_webhook + R"(],"next":null})"});
    api.on("POST /v1/webhooks", {201, canned::made_webhook});
    api.on("GET /v1/webhooks/ops", {200, canned::webhook});
    api.on("GET /v1/webhooks/pager", {200, canned::disabled_webhook});
    api.on("PATCH /v1/webhooks/ops", {200, canned::webhook});
    api.on("DELETE /v1/webhooks/ops", {200, R"({"removed":"ops"})"});
    api.on("POST /v1/webhooks/ops/rotate", {200, canned::made_webhook});
    api.on("POST /v1/webhooks/ops/test", {202, canned::delivery_started});
    api.on("GET /v1/webhooks/ops/deliveries", {200, canned::deliveries});
    api.on("POST /v1/webhooks/ops/deliveries/req_1/replay", {202, canned::delivery_started});
    api.on("POST /agent/bot/ask", {200,
                                   R"({"answer":42})",
                                   {{"Content-Type", "application/json"},
                                    {"Date", "Fri, 20 Nov 2026 18:14:59 GMT"},
                                    {"Gantry-Request-Id", "req_1"}}});
  }

  FakeApi api;
  FakeTerminal terminal;
};

TEST_F(Commands, EachOnePrintsJsonThatParses) {
  answer_everything();
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"status"},
           {"version"},
           {"doctor"},
           {"doctor", "--storage"},
           {"list"},
           {"ps", "--status", "running"},
           {"inspect", "bot"},
           {"stats", "bot"},
           {"stats"},
           {"top"},
           {"quota"},
           {"quota", "set", "memory=8Gi"},
           {"events"},
           {"logs", "bot"},
           {"start", "bot"},
           {"stop", "bot"},
           {"restart", "bot", "--no-wait"},
           {"pause", "bot"},
           {"resume", "bot"},
           {"remove", "bot", "--yes"},
           {"scale", "bot", "3"},
           {"deploy", "--name", "notes", "--command", "node app.js"},
           {"requests", "list"},
           {"requests", "show", "req_1"},
           {"requests", "replay", "req_1"},
           {"requests", "cancel", "req_1"},
           {"requests", "replay", "req_1", "--wait", "5s"},
           {"webhooks", "list"},
           {"webhooks", "add", "ops", "https://hooks.example.com/gantry"},
           {"webhooks", "show", "ops"},
           {"webhooks", "edit", "ops", "--disable"},
           {"webhooks", "remove", "ops", "--yes"},
           {"webhooks", "rotate", "ops"},
           {"webhooks", "test", "ops"},
           {"webhooks", "deliveries", "ops"},
           {"webhooks", "replay", "ops", "req_1", "--wait", "5s"},
           {"invoke", "bot", "/ask", "-d", "{}"},
           {"config", "view"},
           {"config", "get", "listen"},
           {"help"},
           {"help", "deploy"},
           {"completion", "bash"},
       }) {
    auto line = words;
    line.insert(line.end(), {"-o", "json"});
    int code = terminal.run(line);
    if (words[0] != "doctor") EXPECT_EQ(code, 0) << fmt::format("{}: {}", fmt::join(words, " "), terminal.err());
    auto value = json::parse(terminal.out());
    EXPECT_TRUE(value.has_value()) << fmt::format("{}: {}", fmt::join(words, " "), terminal.out());
  }
}

TEST_F(Commands, TablesAreAsTheGoldenFilesSay) {
  answer_everything();
  struct Case {
    std::string file;
    std::vector<std::string> words;
  };
  for (const auto& [file, words] : std::vector<Case>{
           {"list.txt", {"list"}},
           {"list-wide.txt", {"list", "-o", "wide"}},
           {"list.yaml", {"list", "-o", "yaml"}},
           {"list-name.txt", {"list", "-o", "name"}},
           {"inspect.txt", {"inspect", "bot"}},
           {"health.txt", {"health", "bot"}},
           {"stats.txt", {"stats", "--all"}},
           {"stats-wide.txt", {"stats", "-o", "wide"}},
           {"top.txt", {"top", "--sort", "memory"}},
           {"status.txt", {"status"}},
           {"logs.txt", {"logs", "bot"}},
           {"logs-wide.txt", {"logs", "bot", "-o", "wide"}},
           {"events.txt", {"events"}},
           {"quota.txt", {"quota"}},
           {"logs-all.txt", {"logs", "--all"}},
           {"requests-list.txt", {"requests", "list"}},
           {"requests-list-wide.txt", {"requests", "list", "-o", "wide"}},
           {"requests-show.txt", {"requests", "show", "req_1"}},
           {"requests-replay.txt", {"requests", "replay", "req_1"}},
           {"requests-cancel.txt", {"requests", "cancel", "req_1"}},
           {"webhooks-list.txt", {"webhooks", "list"}},
           {"webhooks-list-wide.txt", {"webhooks", "list", "-o", "wide"}},
           {"webhooks-add.txt", {"webhooks", "add", "ops", "https://hooks.example.com/gantry"}},
           {"webhooks-show.txt", {"webhooks", "show", "pager"}},
           {"webhooks-test.txt", {"webhooks", "test", "ops"}},
           {"webhooks-deliveries.txt", {"webhooks", "deliveries", "ops"}},
           {"doctor-storage.txt", {"doctor", "--storage"}},
           {"restart.txt", {"restart", "bot"}},
           {"remove.txt", {"remove", "bot", "--yes"}},
           {"invoke.txt", {"invoke", "bot", "/ask", "-d", "{}", "-i"}},
           {"invoke.json", {"invoke", "bot", "/ask", "-d", "{}", "-o", "json"}},
           {"list.json", {"list", "-o", "json"}},
           {"inspect.json", {"inspect", "bot", "-o", "json"}},
           {"health.json", {"health", "bot", "-o", "json"}},
           {"stats.json", {"stats", "--all", "-o", "json"}},
           {"status.json", {"status", "-o", "json"}},
           {"requests-list.json", {"requests", "list", "-o", "json"}},
           {"requests-show.json", {"requests", "show", "req_1", "-o", "json"}},
           {"doctor-storage.json", {"doctor", "--storage", "-o", "json"}},
           {"version.txt", {"version", "-o", "wide"}},
           {"version.json", {"version", "-o", "json"}},
       }) {
    terminal.run(words);
    std::string printed =
        fmt::format("$ gantry {}\n{}--- stderr\n{}", fmt::join(words, " "), terminal.out(), terminal.err());
    // The port is the kernel's choice.
    for (size_t at; (at = printed.find(api.url())) != std::string::npos;)
      printed.replace(at, api.url().size(), "http://SERVER");
    std::erase(printed, '\r');
    expect_golden("output/" + file, printed);
  }
}

// What this machine is differs; the form, and what the server says, does not.
TEST_F(Commands, DoctorAsJsonIsAsTheGoldenFileSays) {
  answer_everything();
  terminal.run({"doctor", "-o", "json"});
  auto value = json::parse(terminal.out());
  ASSERT_TRUE(value.has_value()) << terminal.out();
  for (json::Value& row : value->as_object()["checks"].as_array()) {
    const std::string name = text_at(row, "name");
    if (name != "kernel" && name != "control groups" && name != "open files" && name != "data directory" &&
        name != "server")
      continue;
    row.as_object()["status"] = "STATUS";
    row.as_object()["detail"] = "DETAIL";
    row.as_object()["hint"] = "HINT";
  }
  expect_golden("output/doctor.json", json::pretty(*value) + "\n");
}

TEST(Goldens, EveryErrorInThemSaysWhatToDo) {
  size_t errors = 0;
  const auto folder = std::filesystem::path(GANTRY_SOURCE_DIR) / "tests/golden/cli";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::stringstream lines(read_text(entry.path()));
    std::string line;
    bool open = false;
    while (std::getline(lines, line)) {
      if (line.starts_with("error: ")) {
        EXPECT_FALSE(open) << entry.path() << ": an error without a hint";
        open = true;
        ++errors;
      }
      if (line.starts_with("hint: ")) open = false;
    }
    EXPECT_FALSE(open) << entry.path() << ": an error without a hint";
  }
  EXPECT_GE(errors, 1u);
}

TEST(Options, HaveAFlagWhereTheReferenceSaysSo) {
  for (const config::Option& option : config::schema()) {
    const std::string name = config::flag_name(option);
    auto has = [&](const std::vector<Flag>& flags) {
      return std::ranges::find(flags, name, &Flag::name) != flags.end();
    };
    const bool found =
        has(global_flags()) || std::ranges::any_of(command_table(), [&](const Command& row) { return has(row.flags); });
    EXPECT_EQ(found, option.on_command_line == config::OnCommandLine::flag) << name;
  }
}

TEST_F(Commands, ConfigViewTellsWhereEachValueComesFrom) {
  EXPECT_EQ(terminal.run({"config", "view", "--origin", "--data", "/srv"}), 0);
  EXPECT_TRUE(terminal.out().contains("--data flag")) << terminal.out();
  EXPECT_TRUE(terminal.out().contains("GANTRY_KEY")) << terminal.out();
  EXPECT_FALSE(terminal.out().contains("gk_secret")) << terminal.out();
  EXPECT_EQ(terminal.run({"config", "view"}), 0);
  EXPECT_FALSE(terminal.out().contains("ORIGIN")) << terminal.out();
}

TEST_F(Commands, CallsCarryTheKeyAndAskForWhatWasMeant) {
  answer_everything();
  struct Case {
    std::vector<std::string> words;
    std::string line;
  };
  for (const auto& [words, line] : std::vector<Case>{
           {{"list", "--status", "crash_loop"}, "GET /v1/agents?status=crash_loop&limit=1000"},
           {{"logs", "bot", "--tail", "5", "--since", "10m", "--filter", "a b&c", "--stream", "stderr"},
            "GET /v1/logs?tail=5&agent=bot&since=10m&filter=a%20b%26c&stream=stderr"},
           {{"logs", "bot", "-f"}, "GET /v1/logs?tail=100&agent=bot&follow=true"},
           {{"logs", "bot", "notes", "--until", "2026-11-20T18:00:00+01:00", "--grep", "a|b"},
            "GET /v1/logs?tail=100&agent=bot&agent=notes&until=2026-11-20T18%3A00%3A00%2B01%3A00&grep=a%7Cb"},
           {{"logs", "--all", "--filter", "stream=stderr", "--filter", "agent=bot", "--filter", "instance=bot/0",
             "--filter", "x=1"},
            "GET /v1/logs?tail=100&agent=bot&instance=bot%2F0&filter=x%3D1&stream=stderr"},
           {{"stop", "bot"}, "POST /v1/agents/bot/stop?wait=2m"},
           {{"stop", "bot", "--timeout", "5s"}, "POST /v1/agents/bot/stop?wait=5s"},
           {{"stop", "bot", "--no-wait"}, "POST /v1/agents/bot/stop"},
           {{"requests", "list", "--agent", "bot", "--status", "failed", "-n", "7"},
            "GET /v1/requests?agent=bot&status=failed&limit=7"},
           {{"requests", "cancel", "req_1"}, "POST /v1/requests/req_1/cancel"},
           {{"stats"}, "GET /v1/stats"},
           {{"events", "bot", "--type", "exit", "--since", "1h", "-n", "5"},
            "GET /v1/events?agent=bot&type=exit&since=1h&limit=5"},
           {{"stats", "bot", "notes"}, "GET /v1/stats?agent=bot&agent=notes"},
           {{"top", "bot"}, "GET /v1/stats?agent=bot"},
       }) {
    EXPECT_EQ(terminal.run(words), 0) << terminal.err();
    EXPECT_EQ(api.asked().back().line, line);
    EXPECT_EQ(api.asked().back().headers["authorization"], "Bearer gk_secret");
  }
}

TEST_F(Commands, ScaleSendsTheNumber) {
  answer_everything();
  EXPECT_EQ(terminal.run({"scale", "bot", "3"}), 0);
  EXPECT_EQ(api.asked().back().body, R"({"replicas":3})");
  EXPECT_EQ(terminal.out(), "bot scaled to 3\n");
}

TEST_F(Commands, TheExitCodeFollowsTheProblemOfTheServer) {
  struct Case {
    int status;
    std::string code;
    int exit;
  };
  for (const auto& [status, code, exit] : std::vector<Case>{{400, "invalid", 7},
                                                            {401, "unauthenticated", 4},
                                                            {403, "denied", 4},
                                                            {404, "not_found", 3},
                                                            {409, "conflict", 5},
                                                            {429, "exhausted", 12},
                                                            {500, "internal", 1},
                                                            {503, "unavailable", 11},
                                                            {504, "timeout", 6}}) {
    FakeApi failing;
    failing.on("GET /v1/agents/bot", FakeApi::problem(status, code, "the reason", "the hint"));
    terminal.variables["GANTRY_URL"] = failing.url();
    EXPECT_EQ(terminal.run({"inspect", "bot"}), exit) << code;
    EXPECT_EQ(terminal.err(), "error: inspect: the reason\nhint: the hint\n") << code;
    EXPECT_EQ(terminal.out(), "");
  }
}

TEST_F(Commands, AnIdOfTheServerIsShownWithTheError) {
  api.on("GET /v1/status", {401, R"({"status":401,"code":"unauthenticated","message":"no key","id":"GR0901"})"});
  EXPECT_EQ(terminal.run({"status"}), 4);
  EXPECT_EQ(terminal.err(), fmt::format("error: status: no key (GR0901)\nhint: {}\n", hint_of(ErrorId::GR0901)));
}

TEST_F(Commands, AServerThatCannotBeReachedNamesTheAddressAndTheNextCommand) {
  terminal.variables["GANTRY_URL"] = "http://127.0.0.1:1";
  EXPECT_EQ(terminal.run({"list"}), 11);
  EXPECT_TRUE(terminal.err().starts_with("error: list: server at http://127.0.0.1:1: ")) << terminal.err();
  EXPECT_TRUE(terminal.err().contains("(GR0002)\nhint: gantry up --detach\n")) << terminal.err();
}

TEST_F(Commands, WithoutAServerTheDataDirectoryIsNamed) {
  terminal.variables.erase("GANTRY_URL");
  EXPECT_EQ(terminal.run({"list", "--data", "/nowhere/data"}), 11);
  EXPECT_EQ(terminal.err(),
            "error: list: no server runs with the data directory /nowhere/data (GR0002)\nhint: gantry up --detach\n");
}

TEST_F(Commands, AnAnswerThatIsNotTheApisIsAnError) {
  api.on("GET /v1/status", {200, "<html>", {{"Content-Type", "text/html"}}});
  EXPECT_EQ(terminal.run({"status"}), 1);
  EXPECT_TRUE(terminal.err().contains("GR0803")) << terminal.err();
}

TEST_F(Commands, AServerThatHasJustStartedIsUpLessThanASecond) {
  std::string young = canned::status;
  young.replace(young.find("180250"), 6, "15");
  api.on("GET /v1/status", {200, young});
  EXPECT_EQ(terminal.run({"status"}), 0);
  EXPECT_TRUE(terminal.out().contains("pid 4242, up less than 1s, 40.0 MiB resident")) << terminal.out();
}

TEST_F(Commands, AnUnknownAgentBringsTheNearestName) {
  api.on("GET /v1/agents", {200, canned::agents});
  EXPECT_EQ(terminal.run({"inspect", "bto"}), 3);
  EXPECT_TRUE(terminal.err().ends_with("hint: did you mean `bot`?\n")) << terminal.err();
  EXPECT_EQ(terminal.run({"logs", "zzzz"}), 3);
  EXPECT_TRUE(terminal.err().ends_with("hint: gantry list\n")) << terminal.err();
}

TEST_F(Commands, ListsFollowTheCursor) {
  api.on("GET /v1/agents", {200, R"({"data":[)" + canned::agent + R"(],"next":"a b"})"});
  api.on("GET /v1/agents", {200, R"({"data":[)" + canned::ready_agent + R"(],"next":null})"});
  EXPECT_EQ(terminal.run({"list", "-o", "name"}), 0);
  EXPECT_EQ(terminal.out(), "bot\nnotes\n");
  EXPECT_EQ(api.lines(),
            (std::vector<std::string>{"GET /v1/agents?limit=1000", "GET /v1/agents?limit=1000&after=a%20b"}));
}

TEST_F(Commands, AnEmptyListSaysSoOnStderrOnly) {
  api.on("GET /v1/agents", {200, R"({"data":[],"next":null})"});
  EXPECT_EQ(terminal.run({"list"}), 0);
  EXPECT_EQ(terminal.out(), "");
  EXPECT_TRUE(terminal.err().starts_with("no agents")) << terminal.err();
  EXPECT_EQ(terminal.run({"list", "-o", "json"}), 0);
  EXPECT_EQ(terminal.out(), "[]\n");
  EXPECT_EQ(terminal.err(), "");
}

TEST_F(Commands, HealthEndsWithOneWhenAnInstanceIsNotHealthy) {
  answer_everything();
  EXPECT_EQ(terminal.run({"health", "bot", "-o", "json"}), 1);
  FakeApi fine;
  fine.on("GET /v1/agents/bot/health", {200, R"({"agent":"bot","status":"running","instances":[{"healthy":true}]})"});
  terminal.variables["GANTRY_URL"] = fine.url();
  EXPECT_EQ(terminal.run({"health", "bot"}), 0);
}

// ---- Questions ---------------------------------------------------------------------------------

TEST_F(Commands, AQuestionIsNotAskedWhereNobodyCanAnswer) {
  answer_everything();
  for (const auto& words :
       std::vector<std::vector<std::string>>{{"remove", "bot"}, {"remove", "--all"}, {"stop", "--all"}}) {
    EXPECT_EQ(terminal.run(words), 2);
    EXPECT_TRUE(terminal.err().contains("standard input is no terminal, so nobody can be asked: ")) << terminal.err();
    EXPECT_TRUE(terminal.err().ends_with("hint: the same command with --yes does not ask\n")) << terminal.err();
  }
  for (const auto& line : api.lines()) EXPECT_TRUE(line.starts_with("GET ")) << line;
}

TEST_F(Commands, AllAsksAndDoesWhatWasAnswered) {
  answer_everything();
  api.on("POST /v1/agents/notes/stop", {200, canned::ready_agent});
  terminal.environment.in_device = Device::terminal;
  terminal.in.str("n\n");
  EXPECT_EQ(terminal.run({"stop", "--all"}), 130);
  EXPECT_TRUE(terminal.err().starts_with("Stop all 2 agents (bot, notes)? [y/N] ")) << terminal.err();
  EXPECT_EQ(api.lines().size(), 1u);
  terminal.in.clear();
  terminal.in.str("yes\n");
  EXPECT_EQ(terminal.run({"stop", "--all"}), 0);
  EXPECT_EQ(terminal.out(), "bot stopped\nnotes stopped\n");
}

TEST_F(Commands, TheQuestionAboutASingleAgentIsInTheSingular) {
  api.on("GET /v1/agents", {200, R"({"data":[)" + canned::ready_agent + R"(],"next":null})"});
  EXPECT_EQ(terminal.run({"stop", "--all"}), 2);
  EXPECT_TRUE(
      terminal.err().starts_with("error: stop: standard input is no terminal, so nobody can be asked: Stop notes, "
                                 "the only agent? (GR0802)\n"))
      << terminal.err();
}

TEST_F(Commands, WhatIsNotThereIsNotAskedAbout) {
  answer_everything();
  EXPECT_EQ(terminal.run({"remove", "nots"}), 3);
  EXPECT_TRUE(terminal.err().ends_with("hint: did you mean `notes`?\n")) << terminal.err();
}

TEST_F(Commands, ResumeSaysWhenNothingWasPaused) {
  answer_everything();
  EXPECT_EQ(terminal.run({"resume", "bot"}), 0);
  EXPECT_EQ(terminal.out(), "");
  EXPECT_EQ(terminal.err(), "bot is degraded, not paused: nothing to resume\n");
}

TEST_F(Commands, RequestsOfNobodyAreNotFound) {
  api.on("GET /v1/requests", {200, R"({"data":[],"next":null})"});
  api.on("GET /v1/agents", {200, canned::agents});
  api.on("GET /v1/agents/notes", {200, canned::ready_agent});
  EXPECT_EQ(terminal.run({"requests", "list", "--agent", "notse"}), 3);
  EXPECT_TRUE(terminal.err().ends_with("hint: did you mean `notes`?\n")) << terminal.err();
  EXPECT_EQ(terminal.run({"requests", "list", "--agent", "notes"}), 0);
  EXPECT_EQ(terminal.run({"requests", "list", "--limit", "0"}), 2);
  EXPECT_TRUE(terminal.err().contains("--limit: 0 would show nothing")) << terminal.err();
}

TEST_F(Commands, InspectSaysTheWayOutOfAFullWorkspace) {
  api.on("GET /v1/agents/bot", {200, R"({"name":"bot","status":"crash_loop","reason":"workspace above 8Mi"})"});
  EXPECT_EQ(terminal.run({"inspect", "bot"}), 0);
  EXPECT_TRUE(terminal.err().starts_with("hint: raise resources.workspace and deploy again")) << terminal.err();
  EXPECT_EQ(terminal.run({"inspect", "bot", "-o", "json"}), 0);
  EXPECT_EQ(terminal.err(), "");
}

TEST_F(Commands, AVerbNeedsNamesOrAllAndNotBoth) {
  EXPECT_EQ(terminal.run({"stop"}), 2);
  EXPECT_EQ(terminal.run({"stop", "bot", "--all"}), 2);
  EXPECT_TRUE(api.lines().empty());
}

TEST_F(Commands, OneFailureDoesNotKeepAVerbFromTheOthers) {
  api.on("POST /v1/agents/a/stop", FakeApi::problem(409, "conflict", "it is being removed", "wait"));
  api.on("POST /v1/agents/bot/stop", {200, canned::agent});
  EXPECT_EQ(terminal.run({"stop", "a", "bot"}), 5);
  EXPECT_EQ(terminal.out(), "bot stopped\n");
  EXPECT_TRUE(terminal.err().contains("error: stop: a: it is being removed")) << terminal.err();
}

// ---- Watching ----------------------------------------------------------------------------------

TEST_F(Commands, WatchPrintsOneBlockForEachChangeWhenPiped) {
  api.on("GET /v1/agents", {200, R"({"data":[{"name":"bot","status":"starting"}],"next":null})"});
  api.on("GET /v1/agents", {200, R"({"data":[{"name":"bot","status":"starting"}],"next":null})"});
  api.on("GET /v1/agents", {200, R"({"data":[{"name":"bot","status":"running"}],"next":null})"});
  int looks = 0;
  terminal.on_pause = [&] { return ++looks > 3 ? Interrupted::yes : Interrupted::no; };
  EXPECT_EQ(terminal.run({"list", "--watch", "-o", "jsonl"}), 130);
  EXPECT_EQ(terminal.out(), "{\"name\":\"bot\",\"status\":\"starting\"}\n{\"name\":\"bot\",\"status\":\"running\"}\n");
}

TEST_F(Commands, WatchDrawsOverTheLastPictureOnATerminal) {
  api.on("GET /v1/agents", {200, canned::agents});
  terminal.environment.out_device = Device::terminal;
  terminal.environment.width = 200;
  terminal.environment.height = 24;
  int looks = 0;
  terminal.on_pause = [&] { return ++looks > 1 ? Interrupted::yes : Interrupted::no; };
  EXPECT_EQ(terminal.run({"list", "--watch", "--no-color"}), 130);
  std::string picture = terminal.out().substr(0, terminal.out().find('\x1b'));
  EXPECT_EQ(std::ranges::count(picture, '\n'), 3);
  EXPECT_EQ(terminal.out(), picture + "\x1b[3A\r\x1b[J" +
                                terminal.out().substr(picture.size() + std::string("\x1b[3A\r\x1b[J").size()));
}

TEST_F(Commands, APictureThatIsTooHighIsCut) {
  json::Array many;
  for (int i = 0; i < 50; ++i) many.push_back(json::Object{{"name", fmt::format("agent-{}", i)}});
  api.on("GET /v1/agents", {200, json::serialize(json::Object{{"data", many}, {"next", nullptr}})});
  terminal.environment.out_device = Device::terminal;
  terminal.environment.height = 10;
  terminal.on_pause = [] { return Interrupted::yes; };
  EXPECT_EQ(terminal.run({"list", "--watch", "--no-color"}), 130);
  EXPECT_EQ(std::ranges::count(terminal.out(), '\n'), 9);
  EXPECT_TRUE(terminal.out().ends_with("…\n"));
}

TEST_F(Commands, WatchOutlivesARestartOfTheServer) {
  api.on("GET /v1/agents", {200, R"({"data":[{"name":"bot","status":"running"}],"next":null})"});
  api.on("GET /v1/agents", FakeApi::problem(503, "unavailable", "the server is draining"));
  api.on("GET /v1/agents", FakeApi::problem(503, "unavailable", "the server is draining"));
  api.on("GET /v1/agents", {200, R"({"data":[{"name":"bot","status":"starting"}],"next":null})"});
  int looks = 0;
  terminal.on_pause = [&] { return ++looks > 3 ? Interrupted::yes : Interrupted::no; };
  EXPECT_EQ(terminal.run({"list", "--watch", "-o", "name"}), 130);
  EXPECT_EQ(terminal.out(), "bot\nbot\n");
  EXPECT_EQ(terminal.err(), "the server is draining; trying again\nerror: list: interrupted\n");
}

// ---- Colour ------------------------------------------------------------------------------------

TEST_F(Commands, ColoursNeedATerminalAndCanBeTurnedOff) {
  answer_everything();
  auto colored = [&](const std::vector<std::string>& words) {
    terminal.run(words);
    return terminal.out().contains('\x1b');
  };
  EXPECT_FALSE(colored({"list"}));
  terminal.environment.out_device = Device::terminal;
  EXPECT_TRUE(colored({"list"}));
  EXPECT_FALSE(colored({"list", "--no-color"}));
  EXPECT_FALSE(colored({"list", "-o", "json"}));
  terminal.variables["NO_COLOR"] = "1";
  EXPECT_FALSE(colored({"list"}));
  EXPECT_FALSE(colored({"help"}));
  terminal.variables["GANTRY_COLOR"] = "always";
  EXPECT_TRUE(colored({"list"}));
}

TEST_F(Commands, TheFormatOfListingsCanBeSet) {
  answer_everything();
  terminal.variables["GANTRY_OUTPUT"] = "name";
  EXPECT_EQ(terminal.run({"list"}), 0);
  EXPECT_EQ(terminal.out(), "bot\nnotes\n");
  EXPECT_EQ(terminal.run({"list", "-o", "json"}), 0);
  EXPECT_TRUE(json::parse(terminal.out()).has_value());
}

// ---- Logs --------------------------------------------------------------------------------------

TEST_F(Commands, LogsArePrintedBareInAPipeAndHarmlessOnATerminal) {
  answer_everything();
  EXPECT_EQ(terminal.run({"logs", "bot"}), 0);
  EXPECT_EQ(terminal.out(), "counting on port 8000\n\x1b[2Joops\n");
  EXPECT_EQ(terminal.run({"logs", "bot", "-o", "jsonl"}), 0);
  EXPECT_EQ(terminal.out(), canned::logs);
  terminal.environment.out_device = Device::terminal;
  EXPECT_EQ(terminal.run({"logs", "bot", "--no-color"}), 0);
  EXPECT_EQ(terminal.out(), "bot/0 | counting on port 8000\nnotes/1 | \\x1b[2Joops\n");
  EXPECT_EQ(terminal.run({"logs", "bot", "--no-color", "--no-prefix", "-t"}), 0);
  EXPECT_EQ(terminal.out(), "2026-11-20T18:14:01.500Z counting on port 8000\n2026-11-20T18:14:02.000Z \\x1b[2Joops\n");
}

TEST_F(Commands, LogsOfSeveralAgentsAreToldApartByNameAndColour) {
  answer_everything();
  EXPECT_EQ(terminal.run({"logs", "bot", "notes"}), 0);
  EXPECT_EQ(terminal.out(), "bot/0 | counting on port 8000\nnotes/1 | \x1b[2Joops\n");
  EXPECT_EQ(terminal.run({"logs", "--all", "--json"}), 0);
  EXPECT_EQ(terminal.out(), canned::logs);
  terminal.environment.out_device = Device::terminal;
  EXPECT_EQ(terminal.run({"logs", "--all"}), 0);
  EXPECT_EQ(terminal.out(),
            "\x1b[36mbot/0\x1b[0m \x1b[2m|\x1b[0m counting on port 8000\n"
            "\x1b[35mnotes/1\x1b[0m \x1b[33m|\x1b[0m \\x1b[2Joops\n");
}

TEST_F(Commands, LogsEndQuietlyWhenNobodyReadsThem) {
  answer_everything();
  terminal.environment.out->setstate(std::ios::badbit);
  EXPECT_EQ(terminal.run({"logs", "bot", "-f"}), 0);
  EXPECT_EQ(terminal.err(), "");
}

TEST_F(Commands, EventsAreFollowedFromTheLastOneThatWasSeen) {
  api.on("GET /v1/events", {200,
                            "\n"
                            R"({"seq":41,"at":"2026-11-20T18:14:03.000Z","type":"instance.exit","agent":"bot",)"
                            R"("instance":null,"replica":0,"revision":null,"reason":"exit 1"})"
                            "\n",
                            {{"Content-Type", "application/jsonl"}}});
  int pauses = 0;
  terminal.on_pause = [&] { return ++pauses == 2 ? Interrupted::yes : Interrupted::no; };
  EXPECT_EQ(terminal.run({"events", "bot", "-f"}), 130);
  EXPECT_EQ(api.lines(), (std::vector<std::string>{"GET /v1/events?agent=bot&follow=true&limit=100",
                                                   "GET /v1/events?agent=bot&follow=true&limit=100&after=41"}));
  EXPECT_TRUE(terminal.out().starts_with("2026-11-20T18:14:03.000Z  instance.exit          bot/0  exit 1\n"))
      << terminal.out();
  EXPECT_TRUE(terminal.err().starts_with("the server is away; trying again\n")) << terminal.err();
  EXPECT_EQ(terminal.run({"events", "-f", "-o", "json"}), 2);
}

TEST_F(Commands, QuotaSetSendsWhatIsNamed) {
  answer_everything();
  EXPECT_EQ(terminal.run({"quota", "set", "memory=8Gi", "cpu=none", "agents=default"}), 0) << terminal.err();
  EXPECT_EQ(api.asked().back().line, "PATCH /v1/quotas");
  EXPECT_EQ(api.asked().back().body, R"({"memory":"8Gi","cpu":"none","agents":null})");
  for (const char* bad : {"memory", "=8Gi", "memory="}) {
    EXPECT_EQ(terminal.run({"quota", "set", bad}), 2);
    EXPECT_TRUE(terminal.err().contains("is not of the form RESOURCE=AMOUNT")) << terminal.err();
  }
  EXPECT_EQ(terminal.run({"quota", "sett"}), 2);
}

TEST_F(Commands, LogsRefuseConditionsThatMeanNothing) {
  struct Case {
    std::vector<std::string> words;
    std::string reason;
    std::string hint;
  };
  for (const auto& [words, reason, hint] : std::vector<Case>{
           {{"logs"}, "NAME is missing: names of agents, or --all", "gantry logs --all"},
           {{"logs", "bot", "--all"}, "names and --all: it is either some agents or all of them", "gantry help logs"},
           {{"logs", "bot", "--filter", "steam=stderr"},
            "--filter: there is no condition 'steam='; did you mean `stream`?",
            "a text with a '=' in it is looked for with --grep"},
           {{"logs", "bot", "--filter", "stream=both"},
            "--filter: stream is stdout or stderr, not 'both'",
            "gantry help logs"},
           {{"logs", "bot", "--filter", "agent="}, "--filter: 'agent=' says nothing after the '='", "gantry help logs"},
           {{"logs", "bot", "--filter", "a", "--filter", "b"},
            "--filter: two texts, 'a' and 'b'",
            "one pattern finds both: --grep 'a.*b'"},
           {{"logs", "bot", "--since", "yesterday"},
            "--since: 'yesterday' is neither a duration back from now such as 10m nor a time such as "
            "2026-11-20T18:12:00Z",
            "gantry help logs"},
       }) {
    EXPECT_EQ(terminal.run(words), 2) << fmt::format("{}", fmt::join(words, " "));
    EXPECT_EQ(terminal.err(), fmt::format("error: logs: {} (GR0801)\nhint: {}\n", reason, hint));
  }
}

TEST_F(Commands, FollowCannotBeOneDocument) {
  EXPECT_EQ(terminal.run({"logs", "bot", "-f", "-o", "json"}), 2);
  EXPECT_TRUE(terminal.err().contains("hint: gantry logs bot --follow -o jsonl")) << terminal.err();
}

}  // namespace
}  // namespace gantry::cli
