#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "core/core.h"

namespace gantry::core {
namespace {

AgentSpec agent(std::string name, std::vector<std::string> depends_on = {}) {
  AgentSpec spec;
  spec.name = std::move(name);
  spec.command = {"x"};
  spec.depends_on = std::move(depends_on);
  return spec;
}

std::string names_in_order(const std::vector<AgentSpec>& agents) {
  std::vector<const AgentSpec*> pointers;
  for (const AgentSpec& one : agents) pointers.push_back(&one);
  std::string names;
  for (size_t index : start_order(pointers)) names += agents[index].name + " ";
  return names;
}

TEST(StartOrder, IsTheOrderOfTheFileUnlessSomebodyMustComeFirst) {
  EXPECT_EQ(names_in_order({agent("c"), agent("b"), agent("a")}), "c b a ");
  EXPECT_EQ(names_in_order({agent("c", {"a"}), agent("b"), agent("a")}), "a c b ");
  // Dependencies in the order as written.
  EXPECT_EQ(names_in_order({agent("a", {"c", "b"}), agent("b"), agent("c")}), "c b a ");
  EXPECT_EQ(names_in_order({agent("d", {"b", "c"}), agent("b", {"a"}), agent("c", {"a"}), agent("a")}), "a b c d ");
  EXPECT_EQ(names_in_order({agent("a", {"elsewhere"})}), "a ");
}

TEST(StartOrder, OfACircleEnds) {
  EXPECT_EQ(names_in_order({agent("a", {"b"}), agent("b", {"a"})}), "b a ");
  EXPECT_EQ(names_in_order({agent("a", {"a"})}), "a ");
}

std::string words_of(const std::vector<Change>& changes) {
  std::string words;
  for (const Change& change : changes)
    words += fmt::format("{}: {} -> {}{}\n", change.field, json::serialize(change.from), json::serialize(change.to),
                         change.hidden ? " (hidden)" : "");
  return words;
}

TEST(Differences, NameEachFieldThatDiffers) {
  AgentSpec before = agent("a"), after = agent("a", {"b"});
  EXPECT_TRUE(differences(before, before).empty());
  before.env = {{"GONE", "1"}, {"SAME", "1"}};
  after.env = {{"NEW", "2"}, {"SAME", "1"}};
  after.replicas = 3;
  after.resources.memory = gibibytes(2);
  after.labels = {{"team", "cx"}};
  EXPECT_EQ(words_of(differences(before, after)),
            "depends_on: null -> [\"b\"]\n"
            "env.GONE: \"1\" -> null\n"
            "env.NEW: null -> \"2\"\n"
            "labels.team: null -> \"cx\"\n"
            "replicas: 1 -> 3\n"
            "resources.memory: \"512Mi\" -> \"2Gi\"\n");
}

TEST(Differences, NeverShowAValueThatCameFromAReference) {
  AgentSpec before = agent("a"), after = agent("a");
  before.env = {{"KEY", "old secret"}, {"OTHER", "plain"}};
  before.env_from = {{"KEY", "${SECRET}"}};
  after = before;
  after.env["KEY"] = "new secret";
  EXPECT_EQ(words_of(differences(before, after)), "env.KEY: \"${SECRET}\" -> \"${SECRET}\" (hidden)\n");
  after.env_from["KEY"] = "${ANOTHER}";
  after.env["OTHER"] = "secret";
  after.env_from["OTHER"] = "${THIRD}";
  EXPECT_EQ(words_of(differences(before, after)),
            "env.KEY: \"${SECRET}\" -> \"${ANOTHER}\"\nenv.OTHER: null -> \"${THIRD}\" (hidden)\n");
  // What stands in clear now may be the secret that was a reference.
  after = before;
  after.env_from.clear();
  EXPECT_EQ(words_of(differences(before, after)), "env.KEY: \"${SECRET}\" -> null (hidden)\n");
}

constexpr std::string_view two_agents =
    "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: one, labels: { gantry/stack: shop } }\n"
    "spec: { command: a, depends_on: [two, far] }\n---\n"
    "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: two }\nspec: { command: b }\n---\n"
    "apiVersion: agentainer/v1\nkind: AgentDeployment\nmetadata: { name: empty }\nspec: { agents: [] }\n";

TEST(Stacks, AreNamedByLabelsAndDeploymentsAlsoWithoutAgents) {
  Parsed parsed = parse_resources({"agents.yaml", std::string(two_agents)});
  EXPECT_TRUE(parsed.diagnostics.empty());
  EXPECT_EQ(parsed.stacks, (std::vector<std::string>{"shop", "empty"}));
  ASSERT_EQ(parsed.agents.size(), 2u);
  EXPECT_EQ(parsed.agents[0].stack(), "shop");
  EXPECT_EQ(parsed.agents[1].stack(), "");
}

TEST(Dependencies, OnAgentsThatAreNotInTheSourceAreHandedOut) {
  Parsed parsed = parse_resources({"agents.yaml", std::string(two_agents)});
  ASSERT_EQ(parsed.outside.size(), 1u);
  EXPECT_EQ(parsed.outside[0].agent, "one");
  EXPECT_EQ(parsed.outside[0].name, "far");
  EXPECT_EQ(parsed.outside[0].span.line, 4u);
  const std::string_view known[] = {"fat", "two"};
  Diagnostic diagnostic = unknown_dependency(parsed.outside[0], known);
  EXPECT_EQ(diagnostic.message, "agent `one` depends on `far`, which does not exist");
  EXPECT_EQ(diagnostic.help, "did you mean `fat`?");
}

TEST(References, AreKeptForExportAndTravelAsTheyAre) {
  auto environment = [](std::string_view name) -> std::optional<std::string> {
    return name == "SECRET" ? std::optional<std::string>("s3cret $1") : std::nullopt;
  };
  const std::string text =
      "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: one }\nspec: { command: a, env: { KEY: \"k-${SECRET}\", "
      "PRICE: \"$$5\" } }\n";
  Parsed parsed = parse_resources({"agents.yaml", text}, {.environment = environment});
  ASSERT_EQ(parsed.agents.size(), 1u);
  const AgentSpec& spec = parsed.agents[0];
  EXPECT_EQ(spec.env.at("KEY"), "k-s3cret $1");
  EXPECT_EQ(spec.env_from, (std::map<std::string, std::string>{{"KEY", "k-${SECRET}"}}));
  EXPECT_EQ(spec_from_json(canonical_json(spec)).value(), spec);
  const std::string exported = to_yaml(spec);
  EXPECT_FALSE(exported.contains("s3cret")) << exported;
  Parsed again = parse_resources({"again.yaml", exported}, {.environment = environment});
  ASSERT_EQ(again.agents.size(), 1u);
  EXPECT_EQ(again.agents[0], spec);
  EXPECT_EQ(to_yaml(again.agents[0]), exported);
}

TEST(Sarif, HasRulesPlacesAndRelativeNames) {
  Source source{"./deep dir/agents.yaml",
                "apiVersion: gantry/v1\nkind: Agent\nmetadata: { name: Bot }\nspec: { command: a, memroy: 1 }\n"};
  Parsed parsed = parse_resources(source);
  ASSERT_EQ(parsed.diagnostics.size(), 2u);
  const Finding findings[] = {{source, parsed.diagnostics}};
  json::Value log = to_sarif(findings, "1.2.3");
  EXPECT_EQ(json::get_string(log, "version"), "2.1.0");
  EXPECT_EQ(json::get_string(log, "runs.0.tool.driver.version"), "1.2.3");
  EXPECT_EQ(json::get_string(log, "runs.0.columnKind"), "unicodeCodePoints");
  EXPECT_EQ(json::get_string(log, "runs.0.tool.driver.rules.0.id"), "GS0201");
  EXPECT_TRUE(json::get_string(log, "runs.0.tool.driver.rules.0.helpUri").value().ends_with("diagnostics.md#gs0201"));
  EXPECT_EQ(json::get_string(log, "runs.0.results.0.ruleId"), "GS0301");
  EXPECT_EQ(json::get_int(log, "runs.0.results.0.ruleIndex"), 1);
  EXPECT_EQ(json::get_string(log, "runs.0.results.0.level"), "error");
  const std::string place = "runs.0.results.0.locations.0.physicalLocation";
  EXPECT_EQ(json::get_string(log, place + ".artifactLocation.uri"), "deep%20dir/agents.yaml");
  EXPECT_EQ(json::get_int(log, place + ".region.startLine"), 3);
  EXPECT_EQ(json::get_int(log, place + ".region.startColumn"), 19);
  EXPECT_EQ(json::get_int(log, place + ".region.endColumn"), 22);
  EXPECT_EQ(json::get_string(log, "runs.0.results.1.locations.0.logicalLocations.0.fullyQualifiedName"), "spec.memroy");
}

// The page that SARIF and people are sent to. UPDATE_GOLDEN=1 writes it.
TEST(Rules, HaveAHeadingInTheReference) {
  std::string page =
      "# Diagnostics\n\nWhat `gantry validate` and `gantry deploy` find in a file, by code. Made from\n"
      "`src/core/diagnostic_table.inc`; a test keeps the two equal.\n";
  for (const RuleText& rule : all_rules())
    page += fmt::format("\n## {}\n\n**{}.** {}\n", rule.code, rule.title, rule.explanation);
  const std::string path = GANTRY_GOLDEN_DIR "/../../docs/reference/diagnostics.md";
  if (std::getenv("UPDATE_GOLDEN")) std::ofstream(path, std::ios::binary) << page;
  std::stringstream written;
  written << std::ifstream(path, std::ios::binary).rdbuf();
  EXPECT_EQ(written.str(), page) << "UPDATE_GOLDEN=1 rewrites it";
}

}  // namespace
}  // namespace gantry::core
