#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "cli/canned.h"
#include "cli/fake_api.h"
#include "cli/fake_terminal.h"
#include "cli/golden.h"
#include "cli/workdir.h"

namespace gantry::cli {
namespace {

namespace fs = std::filesystem;

std::string agent_json(std::string_view name, std::string_view status, int ready, std::string_view revision = "rev_2",
                       std::string_view reason = "", int up_to_date = -1, bool stuck = false) {
  return json::serialize(json::Object{{"name", name},
                                      {"status", status},
                                      {"reason", reason},
                                      {"ready", ready},
                                      {"up_to_date", up_to_date < 0 ? ready : up_to_date},
                                      {"stuck", stuck},
                                      {"replicas", 1},
                                      {"revision", revision},
                                      {"revision_number", 2},
                                      {"instances", json::Array()}});
}

std::string deployed(std::string_view name, std::string_view result, const std::string& agent) {
  return fmt::format(R"({{"result":"{}","agent":{}}})", result,
                     agent.empty() ? agent_json(name, "starting", 0) : agent);
}

class Deploy : public testing::Test {
 protected:
  Deploy() {
    std::string path = (fs::temp_directory_path() / "gantry-deploy-XXXXXX").string();
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    root = path;
    terminal.environment.working_directory = root;
    terminal.variables["GANTRY_URL"] = api.url();
    write("bot/app.py", "print('hello')\n");
  }
  ~Deploy() override { fs::remove_all(root); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path, std::ios::binary) << text;
  }
  std::string digest() { return pack_workdir({.directory = root / "bot"})->digest; }

  /// The server takes the upload and the agent `name`, which becomes ready at the second look.
  void accept(const std::string& name) {
    api.on("POST /v1/workdirs",
           {201, json::serialize(json::Object{{"digest", digest()}, {"files", 1}, {"bytes", 15}})});
    api.on("PUT /v1/agents/" + name, {201, deployed(name, "created", "")});
    api.on("GET /v1/agents/" + name, {200, agent_json(name, "starting", 0)});
    api.on("GET /v1/agents/" + name, {200, agent_json(name, "running", 1)});
  }
  std::string said() {
    std::string text = fmt::format("{}--- stderr\n{}", terminal.out(), terminal.err());
    for (size_t at; (at = text.find(api.url())) != std::string::npos;)
      text.replace(at, api.url().size(), "http://SERVER");
    return text;
  }

  fs::path root;
  FakeApi api;
  FakeTerminal terminal;
};

TEST_F(Deploy, FlagsBecomeASpecWithTheDigestOfTheUpload) {
  accept("bot");
  EXPECT_EQ(terminal.run({"deploy",
                          "--name",
                          "bot",
                          "--command",
                          "python3 'my app.py'",
                          "--workdir",
                          "./bot",
                          "-e",
                          "A=1",
                          "--env",
                          "B=x=y",
                          "--memory",
                          "256Mi",
                          "--cpu",
                          "500m",
                          "--pids",
                          "32",
                          "--port",
                          "9000",
                          "--concurrency",
                          "2",
                          "--public",
                          "--no-persistence",
                          "--health",
                          "/ok",
                          "--label",
                          "team=cx"}),
            0)
      << terminal.err();
  EXPECT_EQ(api.lines(), (std::vector<std::string>{"HEAD /v1/workdirs/" + digest(), "POST /v1/workdirs",
                                                   "PUT /v1/agents/bot", "GET /v1/agents/bot", "GET /v1/agents/bot"}));
  auto asked = api.asked();
  EXPECT_EQ(asked[1].headers["content-type"], "application/x-tar");
  auto spec = json::parse(asked[2].body);
  ASSERT_TRUE(spec.has_value());
  EXPECT_EQ(json::get_strings(*spec, "spec.command"), (std::vector<std::string>{"python3", "my app.py"}));
  EXPECT_EQ(json::get_string(*spec, "spec.workdir"), digest());
  EXPECT_EQ(json::get_string(*spec, "spec.env.B"), "x=y");
  EXPECT_EQ(json::get_string(*spec, "spec.resources.memory"), "256Mi");
  EXPECT_EQ(json::get_string(*spec, "spec.resources.cpu"), "500m");
  EXPECT_EQ(json::get_int(*spec, "spec.resources.pids"), 32);
  EXPECT_EQ(json::get_int(*spec, "spec.port"), 9000);
  EXPECT_EQ(json::get_string(*spec, "spec.health.endpoint"), "/ok");
  EXPECT_EQ(json::get_bool(*spec, "spec.public"), true);
  EXPECT_EQ(json::get_bool(*spec, "spec.persistence.enabled"), false);
  EXPECT_EQ(json::get_string(*spec, "metadata.labels.team"), "cx");
  expect_golden("deploy/flags.txt", said());
}

TEST_F(Deploy, TheResultAsJsonIsAsTheGoldenFileSays) {
  accept("bot");
  EXPECT_EQ(terminal.run({"deploy", "--name", "bot", "--command", "x", "--workdir", "bot", "-o", "json"}), 0)
      << terminal.err();
  expect_golden("deploy/result.json", said());
}

TEST_F(Deploy, AnUploadThatTheServerHasIsNotSentAgain) {
  accept("bot");
  api.on("HEAD /v1/workdirs/" + digest(), {200, ""});
  EXPECT_EQ(terminal.run({"deploy", "--name", "bot", "--command", "x", "--workdir", "bot", "--no-wait"}), 0)
      << terminal.err();
  EXPECT_EQ(api.lines(), (std::vector<std::string>{"HEAD /v1/workdirs/" + digest(), "PUT /v1/agents/bot"}));
}

TEST_F(Deploy, AFileThatCannotBeReadSaysWhatToNameInstead) {
  EXPECT_NE(terminal.run({"deploy", "--config", "missing.yaml"}), 0);
  EXPECT_TRUE(terminal.err().contains("missing.yaml") && terminal.err().contains("standard input")) << terminal.err();
  EXPECT_NE(terminal.run({"validate", "-f", "bot"}), 0);
  EXPECT_TRUE(terminal.err().contains("name a file in it, such as bot/agents.yaml")) << terminal.err();
  EXPECT_TRUE(api.lines().empty());
}

TEST_F(Deploy, AFileMayDescribeManyAndItsDirectoriesAreRelativeToIt) {
  for (const char* name : {"one", "two"}) {
    api.on(fmt::format("PUT /v1/agents/{}", name), {200, deployed(name, "unchanged", agent_json(name, "running", 1))});
    api.on(fmt::format("GET /v1/agents/{}", name), {200, agent_json(name, "running", 1)});
  }
  api.on("HEAD /v1/workdirs/" + digest(), {200, ""});
  write("deep/agents.yaml",
        "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: one }\nspec: { command: a, workdir: ../bot, env: { X: "
        "\"${X}\" } }\n"
        "---\napiVersion: gantry/v1\nkind: Agent\nmetadata: { name: two }\nspec: { command: b, workdir: ../bot }\n");
  terminal.variables["X"] = "from the environment";
  EXPECT_EQ(terminal.run({"deploy", "--config", "deep/agents.yaml", "-o", "json"}), 0) << terminal.err();
  auto rows = json::parse(terminal.out());
  ASSERT_TRUE(rows.has_value() && rows->is_array());
  EXPECT_EQ(json::get_string(*rows, "0.name"), "one");
  EXPECT_EQ(json::get_string(*rows, "1.result"), "unchanged");
  EXPECT_EQ(json::get_string(*rows, "1.url"), api.url() + "/agent/two/");
  // One look for both agents: they share a directory.
  EXPECT_EQ(std::ranges::count(api.lines(), "HEAD /v1/workdirs/" + digest()), 1);
  for (const auto& asked : api.asked())
    if (asked.line == "PUT /v1/agents/one")
      EXPECT_EQ(json::get_string(*json::parse(asked.body), "spec.env.X"), "from the environment");
}

constexpr std::string_view bad_yaml =
    "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: Bot }\nspec:\n  command: app\n  resources: { memroy: 1Gi "
    "}\n";

TEST_F(Deploy, EveryMistakeIsShownAndNothingIsSent) {
  write("agents.yaml", std::string(bad_yaml));
  EXPECT_EQ(terminal.run({"deploy", "--config", "agents.yaml"}), 7);
  EXPECT_TRUE(api.lines().empty());
  expect_golden("deploy/invalid.txt", said());
  EXPECT_EQ(terminal.run({"validate", "-f", "agents.yaml"}), 7);
  expect_golden("deploy/invalid.txt", said());
}

TEST_F(Deploy, MistakesInFlagsNameTheFlag) {
  EXPECT_EQ(terminal.run({"deploy", "--name", "Bot", "--command", "x", "--port", "0", "--memory", "1"}), 7);
  EXPECT_TRUE(api.lines().empty());
  expect_golden("deploy/invalid-flags.txt", said());
}

TEST_F(Deploy, ValidateTellsProgramsTheSame) {
  write("good.yaml", "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: bot }\nspec: { command: [x] }\n");
  write("bad.yaml", std::string(bad_yaml));
  EXPECT_EQ(terminal.run({"validate", "good.yaml"}), 0) << terminal.err();
  EXPECT_EQ(terminal.out(), "valid: 1 resource\n");
  EXPECT_EQ(terminal.run({"validate", "good.yaml", "-o", "json"}), 0);
  EXPECT_EQ(json::get_bool(*json::parse(terminal.out()), "valid"), true);
  EXPECT_EQ(terminal.run({"validate", "good.yaml", "-f", "bad.yaml", "-o", "json"}), 7);
  auto result = json::parse(terminal.out());
  EXPECT_EQ(json::get_bool(*result, "valid"), false);
  EXPECT_EQ(json::get_array(*result, "diagnostics").value()->size(), 2u);
  EXPECT_EQ(json::get_string(*result, "diagnostics.0.file"), "bad.yaml");
  EXPECT_EQ(terminal.err(), "");
  terminal.in.str(std::string(bad_yaml));
  EXPECT_EQ(terminal.run({"validate", "-"}), 7);
  EXPECT_TRUE(terminal.err().contains("--> stdin:")) << terminal.err();
  EXPECT_EQ(terminal.run({"validate", "nothing.yaml"}), 3);
  EXPECT_EQ(terminal.run({"validate"}), 2);
}

TEST_F(Deploy, UsageMistakesEndWithTwo) {
  for (const auto& words :
       std::vector<std::vector<std::string>>{{"deploy"},
                                             {"deploy", "--name", "bot"},
                                             {"deploy", "--config", "a.yaml", "--name", "bot"},
                                             {"deploy", "--name", "bot", "--command", "x", "-e", "A"},
                                             {"deploy", "--name", "bot", "--command", "'x"},
                                             {"deploy", "--name", "bot", "--command", "x", "--port", "70000"}}) {
    EXPECT_EQ(terminal.run(words), 2) << fmt::format("{}: {}", fmt::join(words, " "), terminal.err());
  }
  EXPECT_TRUE(api.lines().empty());
}

TEST_F(Deploy, AnAgentThatDoesNotBecomeReadyIsATimeoutThatTellsWhy) {
  api.on("PUT /v1/agents/bot", {201, deployed("bot", "created", "")});
  api.on("GET /v1/agents/bot", {200, agent_json("bot", "starting", 0, "rev_2", "connection refused on port 8000")});
  EXPECT_EQ(terminal.run({"deploy", "--name", "bot", "--command", "x", "--timeout", "10s"}), 6);
  EXPECT_TRUE(terminal.out().contains("bot   created")) << terminal.out();
  EXPECT_TRUE(
      terminal.err().contains("bot is starting, 0/1 ready: connection refused on port 8000 (GR0804)\nhint: gantry logs "
                              "bot --tail 50\n"))
      << terminal.err();
}

TEST_F(Deploy, ACrashLoopEndsTheWaitEarlyButNotAtOnce) {
  api.on("PUT /v1/agents/bot", {200, deployed("bot", "updated", "")});
  // Left over from the revision before, then fine.
  api.on("GET /v1/agents/bot", {200, agent_json("bot", "crash_loop", 0, "rev_1")});
  api.on("GET /v1/agents/bot", {200, agent_json("bot", "running", 1)});
  EXPECT_EQ(terminal.run({"deploy", "--name", "bot", "--command", "x"}), 0) << terminal.err();
  FakeApi crashing;
  crashing.on("PUT /v1/agents/bot", {200, deployed("bot", "updated", "")});
  crashing.on("GET /v1/agents/bot", {200, agent_json("bot", "crash_loop", 0, "rev_2", "exit 1")});
  terminal.variables["GANTRY_URL"] = crashing.url();
  Time before = terminal.clock.now();
  EXPECT_EQ(terminal.run({"deploy", "--name", "bot", "--command", "x"}), 6);
  EXPECT_LT(terminal.clock.now() - before, std::chrono::seconds(10));
  EXPECT_TRUE(terminal.err().contains("bot is crash_loop, 0/1 ready: exit 1")) << terminal.err();
}

TEST_F(Deploy, ReadyMeansTheNewRevision) {
  api.on("PUT /v1/agents/bot", {200, deployed("bot", "updated", "")});
  api.on("GET /v1/agents/bot", {200, agent_json("bot", "running", 1, "rev_1")});
  // It is the current one, and the instance of the one before still serves.
  api.on("GET /v1/agents/bot", {200, agent_json("bot", "running", 1, "rev_2", "", 0)});
  api.on("GET /v1/agents/bot", {200, agent_json("bot", "running", 1, "rev_2", "", 1)});
  EXPECT_EQ(terminal.run({"deploy", "--name", "bot", "--command", "x"}), 0);
  EXPECT_EQ(api.lines().size(), 4u);
}

TEST_F(Deploy, ARevisionThatDoesNotTakeOverEndsTheWaitEarly) {
  api.on("PUT /v1/agents/bot", {200, deployed("bot", "updated", "")});
  std::string reason = "revision 2 does not become ready: exit 1; an older one still serves";
  api.on("GET /v1/agents/bot", {200, agent_json("bot", "degraded", 1, "rev_2", reason, 0, true)});
  Time before = terminal.clock.now();
  EXPECT_EQ(terminal.run({"deploy", "--name", "bot", "--command", "x"}), 6);
  EXPECT_LT(terminal.clock.now() - before, std::chrono::seconds(10));
  EXPECT_TRUE(terminal.err().contains("bot is degraded, 1/1 ready: " + reason)) << terminal.err();
}

TEST_F(Deploy, AStoppedAgentStaysStoppedAndIsNotWaitedFor) {
  api.on("PUT /v1/agents/bot", {200, deployed("bot", "updated", agent_json("bot", "stopped", 0))});
  EXPECT_EQ(terminal.run({"deploy", "--name", "bot", "--command", "x"}), 0) << terminal.err();
  EXPECT_EQ(api.lines().size(), 1u);
}

TEST_F(Deploy, AServerThatGotOtherBytesIsNotTrusted) {
  api.on("POST /v1/workdirs", {201, R"({"digest":"sha256:00"})"});
  EXPECT_EQ(terminal.run({"deploy", "--name", "bot", "--command", "x", "--workdir", "bot"}), 1);
  EXPECT_TRUE(terminal.err().contains("GR0803")) << terminal.err();
}

TEST_F(Deploy, AWorkdirThatIsNotThereIsAMistakeOfItsFieldBeforeAnythingIsSent) {
  EXPECT_EQ(terminal.run({"deploy", "--name", "bot", "--command", "x", "--workdir", "./botty"}), 7);
  EXPECT_TRUE(terminal.err().contains("error[GS0308]: `--workdir`: ./botty does not exist\n")) << terminal.err();
  EXPECT_TRUE(terminal.err().contains((root / "botty\n").string())) << terminal.err();
  write("agents.yaml",
        "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: bot }\nspec:\n  command: x\n  workdir: ./bot/app.py\n"
        "  replicas: 500\n");
  for (const auto& words :
       std::vector<std::vector<std::string>>{{"deploy", "--config", "agents.yaml"}, {"validate", "agents.yaml"}}) {
    EXPECT_EQ(terminal.run(words), 7);
    EXPECT_TRUE(terminal.err().contains("`workdir`: ./bot/app.py is no directory\n --> agents.yaml:6:12\n"))
        << terminal.err();
    EXPECT_TRUE(terminal.err().contains("`replicas` must be between 0 and 256, not 500")) << terminal.err();
  }
  EXPECT_TRUE(api.lines().empty());
}

TEST_F(Deploy, ADigestIsTakenForAWorkdirThatTheServerHas) {
  api.on("HEAD /v1/workdirs/" + digest(), {200, ""});
  api.on("PUT /v1/agents/bot", {200, deployed("bot", "unchanged", agent_json("bot", "running", 1))});
  write("agents.yaml",
        fmt::format(
            "apiVersion: gantry/v1\nkind: Agent\nmetadata: {{ name: bot }}\nspec: {{ command: x, workdir: '{}' }}\n",
            digest()));
  EXPECT_EQ(terminal.run({"deploy", "--config", "agents.yaml", "--no-wait"}), 0) << terminal.err();
  EXPECT_EQ(api.lines(), (std::vector<std::string>{"HEAD /v1/workdirs/" + digest(), "PUT /v1/agents/bot"}));
}

TEST_F(Deploy, EveryMistakeOfTheFlagsIsToldAtOnce) {
  EXPECT_EQ(terminal.run({"deploy", "--name", "bot", "--command", "x", "--memory", "lots", "--cpu", "x", "--env", "A",
                          "--replicas", "x", "--prot", "1"}),
            2);
  expect_golden("deploy/mistaken-flags.txt", said());
  EXPECT_EQ(terminal.run({"deploy", "--command", "'x", "--port", "70000"}), 2);
  for (const char* part : {"error: deploy: 3 mistakes (GR0801)\n", "\n  --name is missing\n",
                           "\n  --command: ", "\n  --port: 70000 is above 65535\n"})
    EXPECT_TRUE(terminal.err().contains(part)) << part << terminal.err();
  EXPECT_TRUE(api.lines().empty());
}

}  // namespace
}  // namespace gantry::cli
