// tests/golden/spec/*.txt: a resource file, a line `---`, and what checking it prints. The last such
// line separates, since YAML has its own. UPDATE_GOLDEN=1 rewrites the second half.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/core.h"

namespace gantry::core {
namespace {

struct Golden {
  std::filesystem::path path;
  std::string input;
  std::string expected;
};

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<Golden> read_goldens() {
  std::vector<Golden> goldens;
  for (const auto& entry : std::filesystem::directory_iterator(GANTRY_GOLDEN_DIR "/spec")) {
    if (entry.path().extension() != ".txt") continue;
    std::string text = read_file(entry.path());
    size_t at = text.rfind("\n---\n");
    EXPECT_NE(at, text.npos) << entry.path();
    if (at != text.npos) goldens.push_back({entry.path(), text.substr(0, at + 1), text.substr(at + 5)});
  }
  std::ranges::sort(goldens, {}, &Golden::path);
  return goldens;
}

std::optional<std::string> environment(std::string_view name) {
  if (name == "BOT") return "bot";
  if (name == "EMPTY") return "";
  return std::nullopt;
}

std::string check(const std::string& input) {
  Source source{"agents.yaml", input};
  Parsed parsed = parse_resources(source, {.environment = environment});
  std::string out = render_all(parsed.diagnostics, source);
  if (!parsed.diagnostics.empty()) return out;
  for (const AgentSpec& agent : parsed.agents) {
    if (!out.empty()) out += "\n";
    out += to_yaml(agent);
  }
  return out;
}

TEST(Golden, EveryFileOfTheFolderIsCheckedAsItSays) {
  auto goldens = read_goldens();
  EXPECT_GE(goldens.size(), 30u);
  for (const Golden& golden : goldens) {
    std::string actual = check(golden.input);
    if (std::getenv("UPDATE_GOLDEN"))
      std::ofstream(golden.path, std::ios::binary) << golden.input << "---\n" << actual;
    else
      EXPECT_EQ(actual, golden.expected) << golden.path << "; UPDATE_GOLDEN=1 rewrites it";
  }
}

TEST(Golden, EveryDiagnosticAppearsInAFile) {
  std::string all;
  for (const Golden& golden : read_goldens()) all += golden.expected;
  for (const RuleText& rule : all_rules())
    EXPECT_NE(all.find(fmt::format("[{}]", rule.code)), all.npos) << rule.code << " has no golden file";
}

TEST(Golden, EveryMistakeSaysHowToMendIt) {
  for (const Golden& golden : read_goldens()) {
    size_t errors = 0;
    std::stringstream lines(golden.expected);
    std::string line, title;
    while (std::getline(lines, line)) {
      if (line.starts_with("error[")) {
        EXPECT_EQ(errors, 0u) << golden.path << ": no help for " << title;
        ++errors;
        title = line;
      }
      if (line.find(" = help: ") != line.npos) errors = 0;
    }
    EXPECT_EQ(errors, 0u) << golden.path << ": no help for " << title;
  }
}

// Whatever was accepted reads back from both of its written forms.
TEST(Golden, AcceptedAgentsReadBack) {
  size_t agents = 0;
  for (const Golden& golden : read_goldens()) {
    Parsed parsed = parse_resources({"agents.yaml", golden.input}, {.environment = environment});
    for (const AgentSpec& agent : parsed.agents) {
      ++agents;
      EXPECT_EQ(spec_from_json(canonical_json(agent)).value(), agent) << golden.path;
      Parsed again = parse_resources({"again.yaml", to_yaml(agent)}, {.environment = environment});
      ASSERT_EQ(again.agents.size(), 1u) << golden.path << "\n"
                                         << render_all(again.diagnostics, {"again.yaml", to_yaml(agent)});
      EXPECT_EQ(again.agents[0], agent) << golden.path;
      EXPECT_TRUE(validate_agent_spec(agent).empty()) << golden.path;
    }
  }
  EXPECT_GE(agents, 5u);
}

}  // namespace
}  // namespace gantry::core
