#include "cli/workdir.h"

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <map>

#include "cli/ignore.h"
#include "crypto/crypto.h"
#include "os/os.h"

namespace gantry::cli {
namespace {

namespace fs = std::filesystem;

TEST(Ignore, PatternsMeanWhatGitSays) {
  struct Case {
    std::string_view rules;
    std::string_view path;
    EntryKind kind;
    bool out;
  };
  constexpr auto file = EntryKind::file, directory = EntryKind::directory;
  for (const auto& [rules, path, kind, out] : std::vector<Case>{
           {"*.log", "a.log", file, true},
           {"*.log", "deep/er/a.log", file, true},
           {"*.log", "a.log.txt", file, false},
           {"*.log\n!keep.log", "keep.log", file, false},
           {"!keep.log\n*.log", "keep.log", file, true},
           {"node_modules/", "node_modules", directory, true},
           {"node_modules/", "node_modules", file, false},
           {"node_modules/", "a/node_modules", directory, true},
           {"/build", "build", directory, true},
           {"/build", "a/build", directory, false},
           {"docs/*.md", "docs/a.md", file, true},
           {"docs/*.md", "docs/a/b.md", file, false},
           {"docs/**/b.md", "docs/b.md", file, true},
           {"docs/**/b.md", "docs/x/y/b.md", file, true},
           {"**/cache", "x/cache", directory, true},
           {"a/**", "a/b/c", file, true},
           {"?.txt", "a.txt", file, true},
           {"?.txt", "ab.txt", file, false},
           {"[a-c].txt", "b.txt", file, true},
           {"[!a-c].txt", "b.txt", file, false},
           {"# comment\n\n  \nx", "# comment", file, false},
           {"\\#x", "#x", file, true},
           {"x\r\n", "x", file, true},
           {"", ".git", directory, true},
           {"!.git/", ".git", directory, false},
           {"[", "[", file, true},
       }) {
    EXPECT_EQ(IgnoreRules(rules).leaves_out(path, kind), out) << rules << " against " << path;
  }
}

class Workdir : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (fs::temp_directory_path() / "gantry-workdir-XXXXXX").string();
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    root = path;
  }
  void TearDown() override { fs::remove_all(root); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path, std::ios::binary) << text;
  }

  Result<PackedWorkdir> pack() { return pack_workdir({.directory = root}); }

  /// What the tar holds: `path mode size link`.
  static std::vector<std::string> entries_of(const PackedWorkdir& packed) {
    std::vector<std::string> entries;
    archive* reader = ::archive_read_new();
    ::archive_read_support_format_tar(reader);
    EXPECT_EQ(::archive_read_open_fd(reader, packed.tar.get(), 10240), ARCHIVE_OK);
    archive_entry* entry = nullptr;
    while (::archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
      const char* link = ::archive_entry_symlink(entry);
      entries.push_back(fmt::format("{} {:o} {}{}", ::archive_entry_pathname(entry), ::archive_entry_perm(entry),
                                    ::archive_entry_size(entry), link == nullptr ? "" : fmt::format(" -> {}", link)));
      EXPECT_EQ(::archive_entry_mtime(entry), 0);
      EXPECT_EQ(::archive_entry_uid(entry), 0);
    }
    ::archive_read_free(reader);
    return entries;
  }

  fs::path root;
};

TEST_F(Workdir, EntriesAreSortedAndTheirModesAreFixed) {
  write("b.txt", "bb");
  write("a/run.sh", "#!/bin/sh\n");
  fs::permissions(root / "a/run.sh", fs::perms::owner_all);
  fs::permissions(root / "b.txt", fs::perms::owner_read | fs::perms::owner_write);
  fs::create_directories(root / "empty");
  fs::create_symlink("a/run.sh", root / "start");
  auto packed = pack();
  ASSERT_TRUE(packed.has_value()) << packed.error().reason();
  EXPECT_EQ(packed->files, 5u);
  EXPECT_EQ(entries_of(*packed), (std::vector<std::string>{"a/ 755 0", "a/run.sh 755 10", "b.txt 644 2", "empty/ 755 0",
                                                           "start 755 0 -> a/run.sh"}));
}

TEST_F(Workdir, TheDigestIsThatOfTheBytesAndDoesNotDependOnTimes) {
  write("app.py", "print(1)\n");
  write("lib/x.py", "x\n");
  auto first = pack();
  ASSERT_TRUE(first.has_value());
  auto bytes = os::read_fd(first->tar, mebibytes(1));
  ASSERT_TRUE(bytes.has_value());
  EXPECT_EQ(first->digest, "sha256:" + crypto::sha256_hex(*bytes));
  EXPECT_EQ(first->size.count, bytes->size());
  fs::last_write_time(root / "app.py", fs::file_time_type::clock::time_point(std::chrono::hours(1)));
  EXPECT_EQ(pack()->digest, first->digest);
  write("app.py", "print(2)\n");
  EXPECT_NE(pack()->digest, first->digest);
}

TEST_F(Workdir, WhatGantryignoreNamesStaysAtHome) {
  write(".gantryignore", "*.log\nnode_modules/\n");
  write("app.js", "x");
  write("debug.log", "x");
  write("node_modules/a/index.js", "x");
  write(".git/HEAD", "x");
  auto packed = pack();
  ASSERT_TRUE(packed.has_value());
  EXPECT_EQ(entries_of(*packed), (std::vector<std::string>{".gantryignore 644 20", "app.js 644 1"}));
}

TEST_F(Workdir, WhatCannotBePackedIsNamedWithTheWayOut) {
  write("app.py", "x");
  ASSERT_EQ(::mkfifo((root / "pipe").c_str(), 0600), 0);
  auto packed = pack();
  ASSERT_FALSE(packed.has_value());
  EXPECT_EQ(packed.error().id(), ErrorId::GR0805);
  EXPECT_EQ(packed.error().reason(), "pipe: it is no file, directory or symbolic link");
  EXPECT_EQ(packed.error().hint(), "leave it out with a line in .gantryignore");
}

TEST_F(Workdir, LinksMayOnlyLeadInside) {
  write("a/b/x", "x");
  fs::create_symlink("../../a/b/x", root / "a/b/fine");
  ASSERT_TRUE(pack().has_value());
  for (const char* target : {"/etc/passwd", "../../../x", "../../.."}) {
    fs::remove(root / "a/b/bad");
    fs::create_symlink(target, root / "a/b/bad");
    auto packed = pack();
    ASSERT_FALSE(packed.has_value()) << target;
    EXPECT_EQ(packed.error().reason(), fmt::format("a/b/bad: the link leads out of the directory, to {}", target));
  }
}

TEST_F(Workdir, BoundsAreKept) {
  for (int i = 0; i < 5; ++i) write(fmt::format("{}.txt", i), std::string(1000, 'x'));
  EXPECT_TRUE(pack_workdir({.directory = root, .max_files = 5}).has_value());
  EXPECT_EQ(pack_workdir({.directory = root, .max_files = 4}).error().id(), ErrorId::GR0805);
  EXPECT_EQ(pack_workdir({.directory = root, .max_size = Bytes{4000}}).error().reason(),
            "the packed directory is larger than 4k");
  write("a/b/c/d", "x");
  EXPECT_EQ(pack_workdir({.directory = root, .max_depth = 2}).error().reason(),
            "a/b/c: directories are nested too deeply");
}

TEST_F(Workdir, ADirectoryThatIsNotThereIsAnError) {
  auto packed = pack_workdir({.directory = root / "nothing"});
  ASSERT_FALSE(packed.has_value());
  EXPECT_EQ(packed.error().reason(), (root / "nothing").string() + ": no such directory");
}

}  // namespace
}  // namespace gantry::cli
