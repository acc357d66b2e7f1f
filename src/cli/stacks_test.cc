// Stacks on the command line: plans, order, failures in between, export, SARIF.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "cli/fake_api.h"
#include "cli/fake_terminal.h"
#include "cli/golden.h"
#include "core/core.h"

namespace gantry::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view stack_yaml =
    "apiVersion: agentainer/v1\nkind: AgentDeployment\nmetadata: { name: shop }\nspec:\n  agents:\n"
    "    - name: api\n      command: [api]\n      env: { KEY: \"${KEY:-secret}\" }\n      dependencies: [db]\n"
    "    - name: db\n      command: [db]\n";

constexpr std::string_view plan_answer = R"({"data":[
  {"name":"db","action":"change","stack":"shop","replaces_instances":true,"needed_by":[],"changes":[
    {"field":"replicas","from":1,"to":3,"hidden":false},
    {"field":"env.KEY","from":"${KEY}","to":"${KEY}","hidden":true},
    {"field":"command","from":["a"],"to":["a","b"],"hidden":false},
    {"field":"labels.gantry/stack","from":null,"to":"shop","hidden":false},
    {"field":"workdir","from":"sha256:0123456789abcdef0123456789abcdef","to":"","hidden":false}]},
  {"name":"api","action":"create","stack":"shop","replaces_instances":false,"needed_by":[],"changes":[]},
  {"name":"cache","action":"none","stack":"shop","replaces_instances":false,"needed_by":[],"changes":[]},
  {"name":"old","action":"remove","stack":"shop","replaces_instances":false,"needed_by":["other"],"changes":[]}],
  "next":null})";

std::string agent_json(std::string_view name) {
  return json::serialize(json::Object{{"name", name},
                                      {"status", "running"},
                                      {"ready", 1},
                                      {"up_to_date", 1},
                                      {"replicas", 1},
                                      {"revision", "rev_1"},
                                      {"revision_number", 1}});
}

class Stacks : public testing::Test {
 protected:
  Stacks() {
    std::string path = (fs::temp_directory_path() / "gantry-stacks-XXXXXX").string();
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    root = path;
    terminal.environment.working_directory = root;
    terminal.variables["GANTRY_URL"] = api.url();
    write("agents.yaml", std::string(stack_yaml));
  }
  ~Stacks() override { fs::remove_all(root); }

  void write(const std::string& path, const std::string& text) { std::ofstream(root / path, std::ios::binary) << text; }
  void accept(std::string_view name) {
    api.on(fmt::format("PUT /v1/agents/{}", name),
           {201, fmt::format(R"({{"result":"created","agent":{}}})", agent_json(name))});
    api.on(fmt::format("GET /v1/agents/{}", name), {200, agent_json(name)});
  }

  fs::path root;
  FakeApi api;
  FakeTerminal terminal;
};

TEST_F(Stacks, APlanIsDrawnForPeopleAndChangesNothing) {
  api.on("POST /v1/plan", {200, std::string(plan_answer)});
  EXPECT_EQ(terminal.run({"deploy", "--config", "agents.yaml", "--dry-run", "--prune"}), 0) << terminal.err();
  EXPECT_EQ(api.lines(), std::vector<std::string>{"POST /v1/plan?prune=shop"});
  expect_golden("output/plan.txt", terminal.out());
  const std::string body = api.asked()[0].body;
  EXPECT_LT(body.find("\"name\":\"db\""), body.find("\"name\":\"api\"")) << "in the order of starts";
  EXPECT_EQ(terminal.run({"deploy", "--config", "agents.yaml", "--dry-run", "-o", "json"}), 0);
  EXPECT_EQ(json::get_string(*json::parse(terminal.out()), "3.action"), "remove");
  EXPECT_EQ(api.lines().back(), "POST /v1/plan");
}

TEST_F(Stacks, ADiffShowsWhatDiffersAndSaysSoByItsExitCode) {
  api.on("POST /v1/plan", {200, std::string(plan_answer)});
  api.on("POST /v1/plan", {200, R"({"data":[{"name":"db","action":"none","changes":[]}],"next":null})"});
  EXPECT_EQ(terminal.run({"diff", "agents.yaml", "--prune"}), 1) << terminal.err();
  expect_golden("output/diff.txt", terminal.out());
  EXPECT_EQ(terminal.run({"diff", "-f", "agents.yaml"}), 0) << terminal.err();
  EXPECT_EQ(terminal.out(), "0 to create, 0 to change, 0 to remove, 1 as they are\n");
  EXPECT_EQ(terminal.run({"diff"}), 2);
}

TEST_F(Stacks, AgentsAreDeployedBehindThoseTheyDependOn) {
  accept("api");
  accept("db");
  EXPECT_EQ(terminal.run({"deploy", "--config", "agents.yaml", "--no-wait"}), 0) << terminal.err();
  EXPECT_EQ(api.lines(), (std::vector<std::string>{"PUT /v1/agents/db", "PUT /v1/agents/api"}));
  auto body = json::parse(api.asked()[1].body);
  EXPECT_EQ(json::get_string(*body, "metadata.labels.gantry/stack"), "shop");
  EXPECT_EQ(json::get_string(*body, "spec.env_from.KEY"), "${KEY:-secret}");
}

TEST_F(Stacks, AFailureInTheMiddleTellsWhatIsDone) {
  accept("db");
  api.on("PUT /v1/agents/api", FakeApi::problem(409, "conflict", "agent 'api' is being removed"));
  EXPECT_EQ(terminal.run({"deploy", "--config", "agents.yaml"}), 5);
  EXPECT_TRUE(terminal.out().contains("db    created")) << terminal.out();
  EXPECT_TRUE(terminal.err().contains("1 of 2 agents were deployed; as before: api\n")) << terminal.err();
  EXPECT_TRUE(terminal.err().contains("agent 'api' is being removed")) << terminal.err();
}

TEST_F(Stacks, PruningComesLastAndAsksFirst) {
  accept("api");
  accept("db");
  api.on("POST /v1/plan", {200, std::string(plan_answer)});
  api.on("DELETE /v1/agents/old", {200, R"({"removed":"old"})"});
  EXPECT_EQ(terminal.run({"deploy", "--config", "agents.yaml", "--prune"}), 2) << "nobody can be asked";
  EXPECT_EQ(api.lines(), std::vector<std::string>{"POST /v1/plan?prune=shop"});
  EXPECT_EQ(terminal.run({"deploy", "--config", "agents.yaml", "--prune", "--yes"}), 0) << terminal.err();
  EXPECT_EQ(api.lines().back(), "DELETE /v1/agents/old");
  EXPECT_TRUE(terminal.out().contains("old   removed")) << terminal.out();
}

TEST_F(Stacks, NothingIsPrunedWhenTheNewAgentsDoNotBecomeReady) {
  accept("db");
  api.on("PUT /v1/agents/api", {201, fmt::format(R"({{"result":"created","agent":{}}})", agent_json("api"))});
  api.on("GET /v1/agents/api",
         {200, R"({"name":"api","status":"starting","reason":"waits for 'db'","ready":0,"replicas":1})"});
  api.on("POST /v1/plan", {200, std::string(plan_answer)});
  EXPECT_EQ(terminal.run({"deploy", "--config", "agents.yaml", "--prune", "--yes", "--timeout", "5s"}), 6);
  EXPECT_TRUE(terminal.err().contains("api is starting, 0/1 ready: waits for 'db'")) << terminal.err();
  for (const std::string& line : api.lines()) EXPECT_FALSE(line.starts_with("DELETE")) << line;
}

TEST_F(Stacks, PruningNeedsAStack) {
  write("bare.yaml", "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: bot }\nspec: { command: x }\n");
  EXPECT_EQ(terminal.run({"deploy", "--config", "bare.yaml", "--prune"}), 2);
  EXPECT_TRUE(terminal.err().contains("the files name none (GR0801)\nhint: a stack is the name")) << terminal.err();
  EXPECT_EQ(terminal.run({"deploy", "--name", "x", "--command", "x", "--prune"}), 2);
  EXPECT_TRUE(api.lines().empty());
}

TEST_F(Stacks, ADependencyThatIsNowhereIsAMistakeWithItsPlace) {
  write(
      "bot.yaml",
      "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: bot }\nspec:\n  command: x\n  depends_on: [vector-bd]\n");
  api.on("GET /v1/agents", {200, fmt::format(R"({{"data":[{}],"next":null}})", agent_json("vector-db"))});
  EXPECT_EQ(terminal.run({"deploy", "--config", "bot.yaml"}), 7);
  EXPECT_TRUE(
      terminal.err().contains("error[GS0313]: agent `bot` depends on `vector-bd`, which does not exist\n"
                              " --> bot.yaml:6:16\n"))
      << terminal.err();
  EXPECT_TRUE(terminal.err().contains("help: did you mean `vector-db`?")) << terminal.err();
  EXPECT_EQ(api.lines(), std::vector<std::string>{"GET /v1/agents?limit=1000"});
  // One that another file of the command line describes is there.
  write("db.yaml", "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: vector-bd }\nspec: { command: x }\n");
  accept("bot");
  accept("vector-bd");
  EXPECT_EQ(terminal.run({"deploy", "-f", "bot.yaml", "-f", "db.yaml", "--no-wait"}), 0) << terminal.err();
  EXPECT_EQ(api.lines()[1], "PUT /v1/agents/vector-bd");
  EXPECT_EQ(terminal.run({"deploy", "-f", "bot.yaml", "-f", "db.yaml", "-f", "db.yaml"}), 2);
  EXPECT_TRUE(terminal.err().contains("agent 'vector-bd' is described in db.yaml and in db.yaml")) << terminal.err();
}

// The answer of the API for an agent, as the server makes it of its spec.
std::string full_agent(const core::AgentSpec& spec) {
  json::Object labels;
  for (const auto& [name, value] : spec.labels) labels[name] = value;
  return json::serialize(
      json::Object{{"name", spec.name}, {"labels", std::move(labels)}, {"spec", core::spec_json(spec)}});
}

TEST_F(Stacks, WhatIsExportedIsImportedToTheSameBytesWithoutSecrets) {
  terminal.variables["KEY"] = "s3cret";
  core::Parsed parsed =
      core::parse_resources({"agents.yaml", std::string(stack_yaml)}, {.environment = terminal.environment.variable});
  ASSERT_EQ(parsed.agents.size(), 2u);
  for (const core::AgentSpec& spec : parsed.agents) api.on("GET /v1/agents/" + spec.name, {200, full_agent(spec)});
  api.on("GET /v1/agents", {200, fmt::format(R"({{"data":[{},{}],"next":null}})", full_agent(parsed.agents[0]),
                                             full_agent(parsed.agents[1]))});
  EXPECT_EQ(terminal.run({"export", "--all"}), 0) << terminal.err();
  const std::string exported = terminal.out();
  EXPECT_EQ(exported, core::to_yaml(parsed.agents[0]) + "---\n" + core::to_yaml(parsed.agents[1]));
  EXPECT_FALSE(exported.contains("s3cret")) << exported;
  EXPECT_TRUE(exported.contains("KEY: \"${KEY:-secret}\"")) << exported;
  EXPECT_EQ(terminal.run({"export", "--stack", "shop"}), 0);
  EXPECT_EQ(terminal.out(), exported);
  EXPECT_EQ(terminal.run({"export", "--stack", "other"}), 3);
  EXPECT_EQ(terminal.run({"export", "db", "api", "db"}), 0);
  EXPECT_EQ(terminal.out(), exported);
  EXPECT_EQ(terminal.run({"export", "db", "-o", "json"}), 0);
  EXPECT_EQ(json::get_string(*json::parse(terminal.out()), "0.metadata.name"), "db");
  EXPECT_EQ(terminal.run({"export"}), 2);
  EXPECT_EQ(terminal.run({"export", "db", "--all"}), 2);

  FakeApi other;
  terminal.variables["GANTRY_URL"] = other.url();
  for (const core::AgentSpec& spec : parsed.agents)
    other.on("PUT /v1/agents/" + spec.name,
             {201, fmt::format(R"({{"result":"created","agent":{}}})", agent_json(spec.name))});
  terminal.in.str(exported);
  EXPECT_EQ(terminal.run({"import", "--no-wait"}), 0) << terminal.err();
  ASSERT_EQ(other.asked().size(), 2u);
  EXPECT_EQ(core::spec_from_json(other.asked()[0].body).value(), parsed.agents[1]);
  EXPECT_EQ(core::spec_from_json(other.asked()[1].body).value(), parsed.agents[0]);
}

TEST_F(Stacks, HostPathsOfVolumesAreRelativeToTheFile) {
  fs::create_directories(root / "deep");
  write("deep/bot.yaml",
        "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: bot }\nspec:\n  command: x\n  volumes:\n"
        "    - { host: ../models, container: /models, read_only: true }\n    - { host: /srv, container: /srv }\n");
  accept("bot");
  EXPECT_EQ(terminal.run({"deploy", "-f", "deep/bot.yaml", "--no-wait"}), 0) << terminal.err();
  auto body = json::parse(api.asked()[0].body);
  EXPECT_EQ(json::get_string(*body, "spec.volumes.0.host"), (root / "models").string());
  EXPECT_EQ(json::get_bool(*body, "spec.volumes.0.read_only"), true);
  EXPECT_EQ(json::get_string(*body, "spec.volumes.1.host"), "/srv");
  EXPECT_EQ(json::get_bool(*body, "spec.volumes.1.read_only"), false);
}

TEST_F(Stacks, ADigestThatTheServerDoesNotHaveIsToldBeforeAnythingIsSent) {
  write("bot.yaml",
        "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: bot }\nspec: { command: x, workdir: \"sha256:" +
            std::string(64, 'a') + "\" }\n");
  EXPECT_EQ(terminal.run({"import", "bot.yaml"}), 7);
  EXPECT_TRUE(terminal.err().contains("bot: the server has no files sha256:aaa")) << terminal.err();
  EXPECT_EQ(api.lines().size(), 1u);
  api.on("HEAD /v1/workdirs/sha256:" + std::string(64, 'a'), {200, ""});
  accept("bot");
  EXPECT_EQ(terminal.run({"import", "bot.yaml", "--no-wait"}), 0) << terminal.err();
  EXPECT_EQ(json::get_string(*json::parse(api.asked().back().body), "spec.workdir"), "sha256:" + std::string(64, 'a'));
}

TEST_F(Stacks, ValidateWritesSarif) {
  write("bad.yaml", "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: bot }\nspec: { command: x, memroy: 1 }\n");
  EXPECT_EQ(terminal.run({"validate", "agents.yaml", "bad.yaml", "-o", "sarif"}), 7) << terminal.err();
  expect_golden("output/validate.sarif", terminal.out());
  EXPECT_EQ(terminal.run({"validate", "agents.yaml", "-o", "sarif"}), 0);
  EXPECT_EQ(json::get_array(*json::parse(terminal.out()), "runs.0.results").value()->size(), 0u);
  EXPECT_EQ(terminal.run({"list", "-o", "sarif"}), 2);
}

}  // namespace
}  // namespace gantry::cli
