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
  EXPECT_EQ(read({.tail = 2}), "o:c;o:d;");
  EXPECT_EQ(read({.tail = 0}), "");
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

TEST_F(Logs, FindTheTailOfAFileThatIsLongerThanATailNeeds) {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += fmt::format("{} o line {}\n", 1000 + i, i);
  append("current.log", text);
  EXPECT_EQ(read({.tail = 2}), "o:line 199998;o:line 199999;");
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
