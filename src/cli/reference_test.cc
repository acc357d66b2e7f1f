#include "cli/reference.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "cli/completion.h"
#include "cli/fake_terminal.h"
#include "cli/golden.h"

namespace gantry::cli {
namespace {

TEST(Help, OfEveryCommandIsAsTheGoldenFilesSay) {
  expect_golden("help/gantry.txt", general_help(Style()));
  for (const auto& row : command_table()) {
    if (row.visibility == Visibility::hidden) continue;
    std::string name(row.name);
    std::ranges::replace(name, ' ', '-');
    expect_golden("help/" + name + ".txt", command_help(row, Style()));
  }
}

TEST(Help, NoLineIsWiderThanAHundredColumns) {
  for (const auto& row : command_table()) {
    std::istringstream lines(command_help(row, Style()));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(display_width(line), 110u) << row.name << ": " << line;
  }
}

TEST(Help, TheThreeWaysToAskSayTheSame) {
  FakeTerminal terminal;
  ASSERT_EQ(terminal.run({"help", "requests", "show"}), 0);
  std::string text = terminal.out();
  ASSERT_EQ(terminal.run({"requests", "show", "--help"}), 0);
  EXPECT_EQ(terminal.out(), text);
  ASSERT_EQ(terminal.run({"requests", "-h", "show"}), 0);
  EXPECT_EQ(terminal.out(), text);
  EXPECT_EQ(terminal.run({}), 0);
  EXPECT_EQ(terminal.out(), general_help(Style()));
}

TEST(Help, HiddenCommandsAreNotShown) {
  EXPECT_EQ(general_help(Style()).find("__reference"), std::string::npos);
  EXPECT_EQ(reference_markdown().find("### gantry __"), std::string::npos);
  EXPECT_EQ(completion_script("bash").find("__reference"), std::string::npos);
}

TEST(Reference, DocsReferenceCliIsCurrent) {
  // UPDATE_GOLDEN=1 writes it; so does `gantry __reference markdown > docs/reference/cli.md`.
  expect_file("docs/reference/cli.md", reference_markdown());
}

TEST(Reference, TheManPageHasNoLineThatRoffWouldTakeForACommand) {
  std::string page = reference_man("1.2.3");
  EXPECT_TRUE(page.contains(".TH GANTRY 1 \"\" \"gantry 1.2.3\""));
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('.') || line.starts_with(".\\\"")) continue;
    std::string word = line.substr(1, line.find(' ') - 1);
    std::vector<std::string> known = {"TH", "SH", "SS", "TP", "PP", "RS", "RE", "nf", "fi"};
    EXPECT_NE(std::ranges::find(known, word), known.end()) << line;
  }
}

TEST(Completion, ScriptsAreAsTheGoldenFilesSay) {
  for (const char* shell : {"bash", "zsh", "fish"})
    expect_golden(std::string("completion/") + shell, completion_script(shell));
}

/// What bash offers for a line whose last word is being typed.
std::string offered(const std::string& words, int index) {
  std::string command = fmt::format(
      "bash --norc -c 'source /dev/stdin; COMP_WORDS=({}); COMP_CWORD={}; _gantry; echo \"${{COMPREPLY[*]}}\"' "
      "<<'GANTRY'\n{}GANTRY",
      words, index, completion_script("bash"));
  FILE* pipe = ::popen(command.c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  std::string out;
  char buffer[256];
  while (pipe != nullptr && std::fgets(buffer, sizeof buffer, pipe) != nullptr) out += buffer;
  EXPECT_EQ(::pclose(pipe), 0);
  return out;
}

TEST(Completion, BashOffersCommandsFlagsAndChoices) {
  EXPECT_EQ(offered("gantry sta", 1), "status stats start\n");
  EXPECT_EQ(offered("gantry requests sh", 2), "show\n");
  EXPECT_EQ(offered("gantry logs bot --ta", 3), "--tail\n");
  EXPECT_EQ(offered("gantry --data /x list --status cr", 5), "crash_loop\n");
  EXPECT_EQ(offered("gantry list -s p", 3), "paused\n");
  EXPECT_EQ(offered("gantry list -o js", 3), "json jsonl\n");
  EXPECT_EQ(offered("gantry completion z", 2), "zsh\n");
}

}  // namespace
}  // namespace gantry::cli
