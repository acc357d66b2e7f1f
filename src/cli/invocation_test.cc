#include "cli/invocation.h"

#include <gtest/gtest.h>

#include "core/core.h"

namespace gantry::cli {
namespace {

Invocation parse(const std::vector<std::string>& words) {
  auto request = parse_command_line(words);
  EXPECT_TRUE(request.has_value()) << request.error().reason();
  return *request->invocation;
}

TEST(CommandLine, FlagsAreReadInEverySpellingAndOrder) {
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"logs", "bot", "--tail", "5", "--follow"},
           {"logs", "--tail=5", "-f", "bot"},
           {"--data", "/srv", "logs", "-f", "--tail=5", "--", "bot"},
       }) {
    Invocation given = parse(words);
    EXPECT_EQ(given.command().name, "logs");
    EXPECT_EQ(given.arguments("NAME"), std::vector<std::string>{"bot"});
    EXPECT_EQ(given.number("--tail"), 5u);
    EXPECT_TRUE(given.has("--follow"));
    EXPECT_FALSE(given.has("--since"));
  }
}

TEST(CommandLine, TheTableSaysWhatHoldsWithoutAFlag) {
  Invocation given = parse({"logs", "bot"});
  EXPECT_EQ(given.number_or_fallback("--tail"), 100u);
  EXPECT_EQ(given.choice("--output"), "table");
  EXPECT_EQ(parse({"list", "--interval", "250ms"}).duration_or_fallback("--interval"), std::chrono::milliseconds(250));
  EXPECT_EQ(parse({"list"}).duration_or_fallback("--interval"), std::chrono::seconds(1));
}

TEST(CommandLine, ValuesThatBeginWithADashOrLookLikeListsAreTaken) {
  Invocation given = parse({"invoke", "bot", "-d", "-", "-H", "A: 1", "-HB: [2,3]", "-XPUT"});
  EXPECT_EQ(given.text("--body"), "-");
  EXPECT_EQ(given.list("--header"), (std::vector<std::string>{"A: 1", "B: [2,3]"}));
  EXPECT_EQ(given.text("--method"), "PUT");
  EXPECT_EQ(parse({"invoke", "bot", "-d", "[1,2]"}).text("--body"), "[1,2]");
  EXPECT_EQ(parse({"invoke", "bot", "--body=-x"}).text("--body"), "-x");
}

TEST(CommandLine, AnAgentMayBeCalledLikeACommand) {
  EXPECT_EQ(parse({"inspect", "stop"}).required("NAME"), "stop");
  EXPECT_EQ(parse({"stop", "list", "requests"}).arguments("NAME"), (std::vector<std::string>{"list", "requests"}));
}

TEST(CommandLine, AliasesAndTwoWordsFindTheirCommand) {
  EXPECT_EQ(parse({"ps"}).command().name, "list");
  EXPECT_EQ(parse({"requests", "ls"}).command().name, "requests list");
  EXPECT_EQ(parse({"requests", "--url", "http://x", "show", "req_1"}).command().name, "requests show");
  EXPECT_EQ(parse({"--version"}).command().name, "version");
}

TEST(CommandLine, HelpIsAskedForAnywhere) {
  EXPECT_EQ(parse_command_line({})->kind, Request::Kind::explain_all);
  EXPECT_EQ(parse_command_line({"--help"})->kind, Request::Kind::explain_all);
  for (const auto& words :
       std::vector<std::vector<std::string>>{{"logs", "-h"}, {"--help", "logs"}, {"logs", "--help", "x"}}) {
    auto request = parse_command_line(words);
    ASSERT_TRUE(request.has_value());
    EXPECT_EQ(request->kind, Request::Kind::explain);
    EXPECT_EQ(request->invocation->command().name, "logs");
  }
  EXPECT_EQ(parse_command_line({"requests", "-h"})->invocation->command().name, "requests");
  EXPECT_EQ(parse_command_line({"invoke", "bot", "--", "-h"})->kind, Request::Kind::run);
}

TEST(CommandLine, MistakesNameTheWordAndTheNearestRightOne) {
  struct Case {
    std::vector<std::string> words;
    std::string reason;
    std::string hint;
  };
  for (const auto& [words, reason, hint] : std::vector<Case>{
           {{"depoly"}, "there is no command 'depoly'", "did you mean `deploy`?"},
           {{"frobnicate"}, "there is no command 'frobnicate'", "gantry help"},
           {{"requests", "lst"}, "there is no command 'requests lst'", "did you mean `list`?"},
           {{"requests"},
            "'gantry requests' needs one of list, ls, show, replay, cancel, edit, requeue, purge, export, watch",
            "gantry help requests"},
           {{"deploy", "--nmae", "bot"}, "'gantry deploy' has no flag '--nmae'", "did you mean `--name`?"},
           {{"deploy", "--zzzzzzzz=1"}, "'gantry deploy' has no flag '--zzzzzzzz'", "gantry help deploy"},
           {{"list", "--status", "runing"},
            "--status: 'runing' is none of running, starting, degraded, crash_loop, paused, stopped",
            "did you mean `running`?"},
           {{"logs", "bot", "--tail"}, "--tail needs a value", "gantry help logs"},
           {{"logs", "bot", "--tail", "many"}, "--tail: 'many' is not a whole number", "gantry help logs"},
           {{"scale", "bot", "-5"}, "REPLICAS: '-5' is not a whole number", "gantry help scale"},
           {{"scale", "bot", "three"}, "REPLICAS: 'three' is not a whole number", "gantry help scale"},
           {{"inspect"}, "NAME is missing: name of the agent", "gantry help inspect"},
           {{"inspect", "a", "b"}, "unexpected argument 'b'", "gantry help inspect"},
           {{"--dta", "x", "list"}, "no flag '--dta' is known before the command", "did you mean `--data`?"},
           {{"__reference", "text"}, "FORM: 'text' is none of markdown, man", "gantry help __reference"},
       }) {
    auto request = parse_command_line(words);
    ASSERT_FALSE(request.has_value()) << reason;
    EXPECT_EQ(request.error().id(), ErrorId::GR0801);
    EXPECT_EQ(request.error().reason(), reason);
    EXPECT_EQ(request.error().hint(), hint);
  }
}

TEST(CommandLine, QuantitiesAreCheckedBeforeAnythingIsSent) {
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"deploy", "--memory", "512mb"}, {"deploy", "--cpu", "many"}, {"list", "--interval", "5"}}) {
    auto request = parse_command_line(words);
    ASSERT_FALSE(request.has_value());
    EXPECT_TRUE(request.error().reason().starts_with(words[1] + ": ")) << request.error().reason();
  }
}

TEST(CommandTable, EveryExampleIsACommandLineThatParses) {
  for (const auto& row : command_table()) {
    for (const auto& example : row.examples) {
      std::string line(example.line);
      // The part that is for a shell: redirection, substitution, the next command.
      line = line.substr(
          0, line.find_first_of("><&*") == 0 ? 0 : std::min({line.find(" >"), line.find(" < "), line.find(" &&")}));
      if (line.starts_with("source <(")) line = "gantry completion bash";
      auto words = core::split_command(line);
      ASSERT_TRUE(words.has_value()) << line;
      ASSERT_EQ(words->front(), "gantry") << line;
      words->erase(words->begin());
      auto request = parse_command_line(*words);
      ASSERT_TRUE(request.has_value()) << line << ": " << request.error().reason();
      EXPECT_EQ(request->invocation->command().name, row.name) << line;
    }
  }
}

TEST(CommandTable, EveryRowIsComplete) {
  for (const auto& row : command_table()) {
    EXPECT_FALSE(row.summary.empty()) << row.name;
    EXPECT_LE(row.summary.size(), 60u) << row.name;
    EXPECT_FALSE(row.summary.ends_with('.')) << row.name;
    EXPECT_TRUE(row.description.ends_with('.')) << row.name;
    if (row.run != nullptr && row.visibility == Visibility::shown) EXPECT_FALSE(row.examples.empty()) << row.name;
    for (int code : row.exits) EXPECT_FALSE(exit_meaning(code).empty()) << row.name;
  }
}

TEST(CommandTable, NamesAndLettersOfFlagsAreUniqueInACommand) {
  for (const auto& row : command_table()) {
    std::vector<std::string> seen;
    for (const Flag* flag : all_flags(row)) {
      std::vector<std::string> spellings = {std::string(flag->name)};
      if (flag->letter != 0) spellings.push_back({'-', flag->letter});
      for (const auto& spelling : spellings) {
        EXPECT_EQ(std::ranges::find(seen, spelling), seen.end()) << row.name << " " << spelling;
        seen.push_back(spelling);
      }
      EXPECT_EQ(flag->value == Value::none, flag->placeholder.empty()) << row.name << " " << flag->name;
      EXPECT_EQ(flag->value == Value::choice, !flag->choices.empty()) << row.name << " " << flag->name;
    }
  }
}

TEST(CommandTable, EveryCommandOfAProgramCanBeReadByAProgram) {
  for (const auto& row : command_table()) {
    if (row.run == nullptr || row.visibility == Visibility::hidden) continue;
    auto output = std::ranges::find(row.flags, std::string_view("--output"), &Flag::name);
    ASSERT_NE(output, row.flags.end()) << row.name;
    EXPECT_NE(std::ranges::find(output->choices, "json"), output->choices.end()) << row.name;
  }
}

}  // namespace
}  // namespace gantry::cli
