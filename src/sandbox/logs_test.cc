#include "sandbox/logs.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace gantry::sandbox {
namespace {

namespace fs = std::filesystem;

class Logs : public testing::Test {
 protected:
  Logs() {
    std::string pattern = "/tmp/gantry-logs-XXXXXX";
    GANTRY_CHECK(mkdtemp(pattern.data()) != nullptr);
    root = pattern;
    fs::create_directory(root / "logs");
  }
  ~Logs() override { fs::remove_all(root); }
  void append(const char* name, std::string_view text) { std::ofstream(root / "logs" / name, std::ios::app) << text; }
  std::string read(LogQuery query) {
    last = *read_logs(root, query);
    std::string out;
    for (const LogLine& line : last.lines)
      out += std::string(line.stream == Stream::out ? "o:" : "e:") + line.text + ";";
    return out;
  }
  void rotate() {
    fs::rename(root / "logs/1.log", root / "logs/2.log");
    fs::rename(root / "logs/current.log", root / "logs/1.log");
  }
  fs::path root;
  LogChunk last;
};

TEST_F(Logs, AreReadFromTheOldestFileToTheNewest) {
  append("2.log", "1000 o a\n");
  append("1.log", "2000 e b\n3000 o c\n");
  append("current.log", "4000 o d\n");
  EXPECT_EQ(read({}), "o:a;e:b;o:c;o:d;");
  EXPECT_EQ(last.lines[1].time, time_from_unix_ms(2000));
  EXPECT_EQ(read({.since = time_from_unix_ms(3000)}), "o:c;o:d;");
}

TEST_F(Logs, GoOnAfterTheCursorAlsoOverRotations) {
  append("1.log", "1000 o a\n");
  append("current.log", "2000 o b\n");
  EXPECT_EQ(read({.max_lines = 1}), "o:a;");
  EXPECT_TRUE(last.more);
  EXPECT_EQ(read({.after = last.next}), "o:b;");
  LogCursor end = last.next;
  EXPECT_EQ(read({.after = end}), "");
  append("current.log", "3000 o c\n");
  rotate();
  append("current.log", "4000 o d\n");
  EXPECT_EQ(read({.after = end}), "o:c;o:d;");
  EXPECT_FALSE(last.skipped);
  fs::remove(root / "logs/1.log");
  fs::remove(root / "logs/2.log");
  EXPECT_EQ(read({.after = end}), "o:d;");
  EXPECT_TRUE(last.skipped);
}

TEST_F(Logs, LeaveALineThatIsBeingWrittenForTheNextTime) {
  append("current.log", "1000 o whole\n2000 o ha");
  EXPECT_EQ(read({}), "o:whole;");
  append("current.log", "lf\n");
  EXPECT_EQ(read({.after = last.next}), "o:half;");
}

TEST_F(Logs, SkipWhatIsNoLine) {
  append("current.log", "garbage\n\n12 x y\n1000 o \n1000 o a b\n99999999999999999999 o x\n1000 e" + std::string("\n"));
  EXPECT_EQ(read({}), "o:;o:a b;");
}

TEST_F(Logs, AreReadBackwardsOverFilesAndBlocks) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += fmt::format("{} o line {}\n", 1000 + i, i);
  append("1.log", text);
  append("current.log", "50000 e last\n60000 o half of a li");
  std::vector<std::string> lines;
  std::optional<LogCursor> before;
  size_t calls = 0;
  for (bool more = true; more; ++calls) {
    auto answer = read_logs_before(root, before, 64 << 10);
    ASSERT_TRUE(answer.has_value());
    if (!before) EXPECT_TRUE(read_logs(root, {.after = answer->end})->lines.empty());
    for (const LogLine& line : answer->lines) lines.push_back(line.text);
    before = answer->next;
    more = answer->more;
  }
  ASSERT_EQ(lines.size(), 20'001u);
  EXPECT_EQ(lines[0], "last");
  EXPECT_EQ(lines[1], "line 19999");
  EXPECT_EQ(lines.back(), "line 0");
  EXPECT_GT(calls, 4u);
}

TEST_F(Logs, TellWhereALineBeginsSoThatReadingCanGoOnThere) {
  append("current.log", "1000 o a\n2000 o b\n3000 o c\n");
  auto back = read_logs_before(root, {}, 1 << 20);
  ASSERT_TRUE(back.has_value());
  EXPECT_FALSE(back->more);
  EXPECT_EQ(read({.after = back->lines.at(1).at}), "o:b;o:c;");
}

TEST_F(Logs, LookAtABoundedPartAtOnce) {
  for (int i = 0; i < 100; ++i) append("current.log", fmt::format("{} o line {}\n", 1000 + i, i));
  read({.max_bytes = 100});
  EXPECT_TRUE(last.more);
  EXPECT_LT(last.lines.size(), 10u);
  size_t lines = last.lines.size();
  while (last.more) {
    read({.after = last.next, .max_bytes = 100});
    lines += last.lines.size();
  }
  EXPECT_EQ(lines, 100u);
}

TEST_F(Logs, KnowWithoutReadingWhetherSomethingIsNew) {
  append("current.log", "1000 o a\n");
  read({});
  EXPECT_FALSE(has_newer_logs(root, last.next));
  append("current.log", "2000 o b\n");
  EXPECT_TRUE(has_newer_logs(root, last.next));
  read({});
  append("1.log", "");
  rotate();
  EXPECT_TRUE(has_newer_logs(root, last.next));
}

TEST_F(Logs, FollowNoLinkAndOpenNoFifo) {
  append("secret", "1000 o secret\n");
  fs::rename(root / "logs/secret", root / "secret");
  fs::create_symlink("../secret", root / "logs/current.log");
  ASSERT_EQ(::mkfifo((root / "logs/1.log").c_str(), 0600), 0);
  EXPECT_EQ(read({}), "");
}

TEST_F(Logs, AreEmptyBeforeTheFirstStart) {
  fs::remove_all(root / "logs");
  EXPECT_EQ(read({}), "");
}

}  // namespace
}  // namespace gantry::sandbox
