#include "core/core.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace gantry::core {
namespace {

constexpr std::string_view head = "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: bot }\nspec:\n";

Parsed parse(std::string spec, ParseOptions options = {}) {
  return parse_resources({"agents.yaml", std::string(head) + std::move(spec)}, options);
}

AgentSpec parse_well(std::string spec, ParseOptions options = {}) {
  Parsed parsed = parse(std::move(spec), std::move(options));
  EXPECT_TRUE(parsed.diagnostics.empty()) << parsed.diagnostics[0].message;
  EXPECT_EQ(parsed.agents.size(), 1u);
  return parsed.agents.empty() ? AgentSpec{} : parsed.agents[0];
}

Environment variables(std::map<std::string, std::string, std::less<>> values) {
  return [values = std::move(values)](std::string_view name) -> std::optional<std::string> {
    auto at = values.find(name);
    return at == values.end() ? std::nullopt : std::optional(at->second);
  };
}

AgentSpec small_spec() {
  AgentSpec spec;
  spec.name = "bot";
  spec.command = {"python3", "app.py"};
  return spec;
}

TEST(Rules, HaveUniqueCodesInOrderTitlesAndExplanations) {
  std::string_view before;
  for (const RuleText& rule : all_rules()) {
    EXPECT_LT(before, rule.code);
    EXPECT_EQ(rule.code.size(), 6u);
    EXPECT_TRUE(rule.code.starts_with("GS"));
    EXPECT_GT(rule.title.size(), 10u) << rule.code;
    EXPECT_FALSE(rule.title.ends_with('.')) << rule.code;
    EXPECT_GT(rule.explanation.size(), 60u) << rule.code;
    EXPECT_TRUE(rule.explanation.ends_with('.')) << rule.code;
    before = rule.code;
  }
  EXPECT_EQ(rule_from_code("gs0203"), Rule::GS0203);
  EXPECT_EQ(rule_from_code("GS9999"), std::nullopt);
}

// The example of SPEC section 9, with a code of ours.
TEST(Render, DrawsTheFormOfTheSpecification) {
  std::string text;
  for (int i = 1; i < 42; ++i) text += "#\n";
  text += "        if: tasks.verdit.output.cause == 'bad_deploy'\n";
  Diagnostic diagnostic{.rule = Rule::GS0203,
                        .message = "no task has the id `verdit`",
                        .file = "incident.flow.yaml",
                        .span = {42, 19, 6},
                        .field = "",
                        .help = "did you mean `verdict`? it is defined on line 33 and runs before this one"};
  EXPECT_EQ(render(diagnostic, {"incident.flow.yaml", text}),
            "error[GS0203]: no task has the id `verdit`\n"
            "  --> incident.flow.yaml:42:19\n"
            "   |\n"
            "42 |         if: tasks.verdit.output.cause == 'bad_deploy'\n"
            "   |                   ^^^^^^\n"
            "   = help: did you mean `verdict`? it is defined on line 33 and runs before this one\n");
}

TEST(Render, KeepsTabsCountsCharactersAndStaysOnItsLine) {
  Source source{"f", "\tä\tbad value\n"};
  Diagnostic diagnostic{.rule = Rule::GS0101, .message = "m", .file = "f", .span = {1, 4, 99}, .field = "", .help = ""};
  EXPECT_EQ(render(diagnostic, source), "error[GS0101]: m\n --> f:1:4\n  |\n1 | \tä\tbad value\n  | \t \t^^^^^^^^^\n");
  diagnostic.span = {7, 3, 2};  // beyond the end
  EXPECT_EQ(render(diagnostic, source), "error[GS0101]: m\n --> f:7:3\n  |\n7 | \n  | ^\n");
}

TEST(Render, WithoutAPlaceNamesTheFileOrNothing) {
  Diagnostic diagnostic{.rule = Rule::GS0303,
                        .severity = Severity::warning,
                        .message = "m",
                        .file = "",
                        .span = {},
                        .field = "",
                        .help = "h"};
  EXPECT_EQ(render(diagnostic, {}), "warning[GS0303]: m\n  = help: h\n");
  diagnostic.file = "f";
  EXPECT_EQ(render(diagnostic, {}), "warning[GS0303]: m\n --> f\n  = help: h\n");
  EXPECT_FALSE(has_errors(std::span(&diagnostic, 1)));
  EXPECT_TRUE(render_all(std::span(&diagnostic, 1), {"f", ""}).ends_with("\n1 warning in f\n"));
}

TEST(Render, NeverLetsATextSteerTheTerminal) {
  Parsed parsed = parse("  command: [x]\n  \"\\e[2J\": 1\n");
  ASSERT_EQ(parsed.diagnostics.size(), 1u);
  EXPECT_EQ(render(parsed.diagnostics[0], {"f", "\x1b[2J"}).find('\x1b'), std::string::npos);
  EXPECT_EQ(json::serialize(to_json(parsed.diagnostics[0], {"f", ""})).find('\x1b'), std::string::npos);
}

TEST(Diagnostics, InTheApiCarryPlaceLineAndField) {
  std::string text = std::string(head) + "  command: [x]\n  port: 99999\n";
  Parsed parsed = parse_resources({"agents.yaml", text});
  ASSERT_EQ(parsed.diagnostics.size(), 1u);
  EXPECT_EQ(json::serialize(to_json(parsed.diagnostics[0], {"agents.yaml", text})),
            R"({"code":"GS0303","severity":"error","message":"`port` must be between 1 and 65535, not 99999",)"
            R"("field":"spec.port","file":"agents.yaml","line":6,"column":9,"length":5,)"
            R"("source_line":"  port: 99999","help":"write a value of that range, such as `65535`"})");
  Diagnostic nowhere{.rule = Rule::GS0105, .message = "m", .file = "", .span = {}, .field = "", .help = ""};
  EXPECT_TRUE(to_json(nowhere, {}).at("line").is_null());
}

TEST(Parse, GoesOnAfterAMistakeAndKeepsTheAgentsThatAreRight) {
  Parsed parsed =
      parse_resources({"f", std::string(head) + "  command: [x]\n  port: 0\n---\napiVersion: gantry/v1\nkind: Agent\n"
                                                "metadata: { name: good }\nspec: { command: [y] }\n"});
  EXPECT_EQ(parsed.diagnostics.size(), 1u);
  ASSERT_EQ(parsed.agents.size(), 1u);
  EXPECT_EQ(parsed.agents[0].name, "good");
}

TEST(Parse, KeepsNoAgentWhenTheTextItselfIsWrong) {
  Parsed parsed = parse("  command: [x]\n  port: 1\n  port: 2\n");
  EXPECT_TRUE(has_errors(parsed.diagnostics));
  EXPECT_TRUE(parsed.agents.empty());
}

TEST(Parse, BoundsTheSourceAndTheNumberOfResources) {
  std::string many;
  for (int i = 0; i < 1001; ++i)
    many += fmt::format(
        "---\napiVersion: gantry/v1\nkind: Agent\nmetadata: {{ name: bot-{} }}\nspec: {{ command: [x] }}\n", i);
  Parsed parsed = parse_resources({"f", many});
  ASSERT_EQ(parsed.diagnostics.size(), 1u);
  EXPECT_EQ(parsed.diagnostics[0].rule, Rule::GS0102);
  Parsed large = parse_resources({"f", std::string(head) + "  command: [x]\n#" + std::string(1 << 20, 'x')});
  ASSERT_EQ(large.diagnostics.size(), 1u);
  EXPECT_EQ(large.diagnostics[0].rule, Rule::GS0102);
}

TEST(Parse, BoundsTheResourcesOfADeploymentToo) {
  std::string text = "apiVersion: gantry/v1\nkind: AgentDeployment\nmetadata: { name: d }\nspec:\n  agents:\n";
  for (int i = 0; i < 1001; ++i) text += fmt::format("    - {{ name: a{}, command: [x] }}\n", i);
  Parsed parsed = parse_resources({"f", text});
  ASSERT_EQ(parsed.diagnostics.size(), 1u);
  EXPECT_EQ(parsed.diagnostics[0].rule, Rule::GS0102);
}

TEST(Parse, DefaultsAreThoseOfTheSpecification) {
  AgentSpec spec = parse_well("  command: python3 app.py\n");
  EXPECT_EQ(spec, small_spec());
  EXPECT_EQ(spec.port, 8000);
  EXPECT_EQ(spec.concurrency, 16u);
  EXPECT_EQ(spec.timeout, std::chrono::minutes(5));
  EXPECT_EQ(spec.grace, std::chrono::seconds(10));
  EXPECT_EQ(spec.exposure, Exposure::keyed);
  EXPECT_EQ(spec.health.check.kind, Probe::Kind::tcp);
  EXPECT_TRUE(spec.persistence.covers("POST"));
  EXPECT_FALSE(spec.persistence.covers("GET"));
  EXPECT_FALSE(spec.persistence.covers("post"));
}

TEST(Parse, PersistenceThatIsOffCoversNothing) {
  EXPECT_FALSE(parse_well("  command: [x]\n  persistence: { enabled: false }\n").persistence.covers("POST"));
}

TEST(Substitution, ReplacesInScalarsOnceAndNeverAddsStructure) {
  ParseOptions options{variables({{"NAME", "x"},
                                  {"EMPTY", ""},
                                  {"EVIL", "a\nspec: {port: 1}\n# ${NAME} $${NAME}"},
                                  {"PORT", "9000"},
                                  {"ON", "true"},
                                  {"WORDS", "python3 -m 'my app'"}})};
  AgentSpec spec = parse_well(
      "  command: ${WORDS}\n"
      "  port: \"${PORT}\"\n"
      "  replicas: ${REPLICAS:-3}\n"
      "  public: ${ON}\n"
      "  env: { A: \"a${NAME}b${NAME}\", B: \"$$x $${NAME} $ $y\", C: \"${EMPTY}\", D: \"${EMPTY:-d}\", E: "
      "\"${EVIL}\", F: \"${UNSET:-}\" }\n",
      options);
  EXPECT_EQ(spec.command, (std::vector<std::string>{"python3", "-m", "my app"}));
  EXPECT_EQ(spec.port, 9000);
  EXPECT_EQ(spec.replicas, 3u);
  EXPECT_EQ(spec.exposure, Exposure::public_path);
  EXPECT_EQ(spec.env.at("A"), "axbx");
  EXPECT_EQ(spec.env.at("B"), "$x ${NAME} $ $y");
  EXPECT_EQ(spec.env.at("C"), "");
  EXPECT_EQ(spec.env.at("D"), "d");
  EXPECT_EQ(spec.env.at("E"), "a\nspec: {port: 1}\n# ${NAME} $${NAME}");
  EXPECT_EQ(spec.env.at("F"), "");
}

TEST(Substitution, WithoutAnEnvironmentEveryDollarIsItself) {
  AgentSpec spec = parse_well("  command: [x]\n  env: { A: \"${NAME} $$\" }\n");
  EXPECT_EQ(spec.env.at("A"), "${NAME} $$");
}

TEST(Substitution, AFailureIsOneMistakeAndTheAgentIsNotKept) {
  Parsed parsed = parse("  command: [x]\n  port: ${NOPE}\n  env: { A: \"${NOPE}\" }\n", {variables({})});
  EXPECT_EQ(parsed.diagnostics.size(), 2u);
  for (const Diagnostic& diagnostic : parsed.diagnostics) EXPECT_EQ(diagnostic.rule, Rule::GS0401);
  EXPECT_TRUE(parsed.agents.empty());
}

TEST(Substitution, IsBoundedInAll) {
  std::string spec = "  command: [x]\n  env:\n";
  for (int i = 0; i < 900; ++i) spec += fmt::format("    V{}: ${{BIG}}\n", i);
  Parsed parsed = parse(spec, {variables({{"BIG", std::string(100'000, 'x')}})});
  ASSERT_EQ(parsed.diagnostics.size(), 1u);
  EXPECT_EQ(parsed.diagnostics[0].rule, Rule::GS0102);
}

TEST(SplitCommand, FollowsTheQuotingOfAShellWithoutExpansion) {
  using Words = std::vector<std::string>;
  const std::pair<std::string_view, Words> rows[] = {
      {"python3 app.py", {"python3", "app.py"}},
      {"  a \t b\n c ", {"a", "b", "c"}},
      {"a 'b c' \"d e\"", {"a", "b c", "d e"}},
      {"a'b'\"c\"d", {"abcd"}},
      {"'' \"\"", {"", ""}},
      {R"(a\ b \'x\' "\"\\\$\n")", {"a b", "'x'", "\"\\$\\n"}},
      {"echo $HOME * | cat", {"echo", "$HOME", "*", "|", "cat"}},
      {"'a\\b'", {"a\\b"}},
      {"a \\\n b", {"a", "b"}},
      {"", {}},
  };
  for (const auto& [text, words] : rows) EXPECT_EQ(split_command(text).value(), words) << text;
  for (std::string_view text : {"'open", "\"open", "a \\", "\"a\\"})
    EXPECT_FALSE(split_command(text).has_value()) << text;
}

TEST(Canonical, IsOneTextForOneMeaning) {
  AgentSpec one = parse_well(
      "  command: [python3, app.py]\n  env: { B: \"2\", A: \"1\" }\n  timeout: 90s\n  resources: { memory: 1Gi }\n");
  AgentSpec two = parse_well(
      "  resources: { memory: 1024Mi }\n  timeout: 1m30s\n  env: { A: 1, B: 2 }\n  command: python3 app.py\n");
  EXPECT_EQ(canonical_json(one), canonical_json(two));
  EXPECT_EQ(
      canonical_json(small_spec()),
      R"({"apiVersion":"gantry/v1","kind":"Agent","metadata":{"name":"bot"},"spec":{"breaker":{"failures":10,"open":"5s"},)"
      R"("command":["python3","app.py"],)"
      R"("concurrency":16,"env":{},"grace":"10s","health":{"grace":"30s","interval":"30s","kind":"tcp","retries":3,)"
      R"("timeout":"5s"},"persistence":{"enabled":true,"methods":["DELETE","PATCH","POST","PUT"],)"
      R"("require_key":false,"response_limit":"64Ki","retention":"30d",)"
      R"("retry":{"cap":"1m","initial":"1s","max":5,"policy":"exponential",)"
      R"("retry_on":["connect","timeout","died"]}},"port":8000,"public":false,"queue":{"max":1000000},"replicas":1,)"
      R"("resources":{"cpu":"1","memory":"512Mi","pids":128,"tmp":"64Mi","workspace":"1Gi"},"timeout":"5m"}})");
}

TEST(Canonical, RoundTripsEveryFieldAndEveryText) {
  AgentSpec spec = small_spec();
  spec.labels = {{"team", "cx"}, {"tier", ""}};
  spec.command = {"sh", "-c", "echo \"$HOME\" '${X}' $$ | cat\n", "", "ä€😀\t\\"};
  spec.workdir = "sha256:" + std::string(64, 'a');
  spec.env = {{"A", "${B} $$ %s"}, {"B", ""}, {"C", "line\nline\r\n"}, {"_x1", "true"}};
  spec.port = 1;
  spec.replicas = 0;
  spec.resources = {mebibytes(4), {10}, 8, kibibytes(64), {2'000'000'000}};
  spec.health.check = {.kind = Probe::Kind::http,
                       .endpoint = "/health?x=1",
                       .status = {{200, 200}, {204, 299}},
                       .json = {{"db.state", "up"}, {"ready", "true"}, {"$x", "${A}"}},
                       .port = 81,
                       .interval = std::chrono::milliseconds(100),
                       .timeout = std::chrono::milliseconds(1500),
                       .retries = 7};
  spec.health.startup = {.kind = Probe::Kind::exec, .command = {"sh", "-c", "$A"}, .interval = {}, .retries = 0};
  spec.health.readiness = {.kind = Probe::Kind::http, .endpoint = "/", .successes = 3};
  spec.health.liveness = Probe{.interval = std::chrono::hours(1), .retries = 1};
  spec.health.grace = Duration{0};
  spec.health.on_unhealthy = OnUnhealthy::stop;
  spec.persistence = {.enabled = false,
                      .methods = {"POST"},
                      .retry = {.max = 1,
                                .backoff = {Backoff::Policy::fixed, std::chrono::milliseconds(1), std::chrono::hours(1),
                                            Backoff::Jitter::full},
                                .timeout = std::chrono::seconds(9),
                                .deadline = std::chrono::hours(2),
                                .on = {.connect = false, .timeout = true, .died = false, .statuses = {429, 503}}},
                      .require_key = true,
                      .response_limit = Bytes{0},
                      .retention = {.age = std::chrono::days(3650), .count = 7, .bytes = mebibytes(3)}};
  spec.queue.max = 17;
  spec.breaker = {.failures = 0, .open = std::chrono::milliseconds(1500)};
  spec.concurrency = 1;
  spec.timeout = std::chrono::milliseconds(12'345);
  spec.grace = Duration{0};
  spec.exposure = Exposure::public_path;
  EXPECT_EQ(spec_from_json(canonical_json(spec)).value(), spec);
  Parsed again = parse_resources({"f", to_yaml(spec)}, {variables({})});
  ASSERT_EQ(again.agents.size(), 1u) << render_all(again.diagnostics, {"f", to_yaml(spec)});
  EXPECT_EQ(again.agents[0], spec);
  EXPECT_TRUE(validate_agent_spec(spec).empty());
}

TEST(SpecFromJson, CallsDamageByItsName) {
  for (std::string_view text :
       {"", "{", "[]", "{}", "1", R"({"apiVersion":"gantry/v1","kind":"Agent","metadata":{"name":"x"},"spec":{}})",
        R"({"apiVersion":"gantry/v1","kind":"AgentDeployment","metadata":{"name":"x"},"spec":{"agents":[]}})"}) {
    auto spec = spec_from_json(text);
    ASSERT_FALSE(spec.has_value()) << text;
    EXPECT_EQ(spec.error().code(), Code::data_loss) << text;
  }
}

TEST(Validate, NamesTheFlagsOfTheCommandLine) {
  AgentSpec spec = small_spec();
  spec.name = "Bad Name";
  spec.command = {};
  spec.replicas = 5000;
  spec.resources.memory = Bytes{12};
  spec.env = {{"1X", "a"}};
  spec.persistence.retry.max = 0;
  spec.health.check.interval = Duration{1};
  std::set<std::string> found;
  for (const Diagnostic& diagnostic : validate_agent_spec(spec)) {
    EXPECT_TRUE(diagnostic.file.empty());
    EXPECT_FALSE(diagnostic.span);
    found.insert(fmt::format("{} {}", diagnostic.field, diagnostic.message));
  }
  EXPECT_EQ(found, (std::set<std::string>{
                       "metadata.name `Bad Name` is not a valid name",
                       "spec.command the command names no program",
                       "spec.replicas `--replicas` must be between 0 and 256, not 5000",
                       "spec.resources.memory `--memory` must be between 4Mi and 16Ti, not 12",
                       "spec.env.1X `1X` cannot be the name of a variable",
                       "spec.persistence.retry.max `--retries` must be between 1 and 1000, not 0",
                       "spec.health.interval `health.interval` must be between 100ms and 1d, not 1ns",
                   }));
  EXPECT_EQ(flag_of("spec.env.KEY"), "--env");
  EXPECT_EQ(flag_of("spec.environment"), "");
}

}  // namespace
}  // namespace gantry::core
