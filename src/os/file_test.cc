#include "os/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/os.h"

namespace gantry::os {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  FileTest() : top_(fs::path(testing::TempDir()) / fmt::format("gantry-os-{}", ::getpid())) {
    std::ignore = remove_tree(top_);
    EXPECT_TRUE(make_directories(top_ / "root" / "sub"));
    EXPECT_TRUE(replace_file(top_ / "root" / "sub" / "file", "content"));
    EXPECT_TRUE(replace_file(top_ / "secret", "secret"));
  }
  ~FileTest() override { std::ignore = remove_tree(top_); }

  fs::path top_;
};

TEST_F(FileTest, FdClosesItsDescriptorOnceAndMoves) {
  auto opened = open_file(top_ / "secret", O_RDONLY);
  ASSERT_TRUE(opened);
  const int number = opened->get();
  {
    Fd moved = *std::move(opened);
    EXPECT_FALSE(*opened);
    EXPECT_EQ(moved.get(), number);
    EXPECT_NE(::fcntl(number, F_GETFD) & FD_CLOEXEC, 0) << "a child program must not inherit it";
  }
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

TEST_F(FileTest, NamesTheFileThatCannotBeOpened) {
  auto opened = open_file(top_ / "nothing", O_RDONLY);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::not_found);
  EXPECT_NE(opened.error().reason().find("nothing"), std::string::npos);
}

TEST_F(FileTest, ReadsAndWritesAtOffsets) {
  auto fd = open_file(top_ / "data", O_RDWR | O_CREAT);
  ASSERT_TRUE(fd);
  ASSERT_TRUE(pwrite_all(*fd, "world", 6));
  ASSERT_TRUE(pwrite_all(*fd, "hello ", 0));
  std::string out(100, '\0');
  EXPECT_EQ(pread_all(*fd, out, 0).value_or(0), 11u);
  EXPECT_EQ(out.substr(0, 11), "hello world");
  EXPECT_EQ(pread_all(*fd, out, 100).value_or(7), 0u);
  EXPECT_TRUE(sync_data(*fd));
}

TEST_F(FileTest, ReadsWholeFilesUpToTheLimitAlsoWhereTheSizeIsNotKnown) {
  EXPECT_EQ(read_file(top_ / "secret", Bytes{6}).value_or(""), "secret");
  auto too_long = read_file(top_ / "secret", Bytes{5});
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code(), Code::exhausted);
  EXPECT_FALSE(read_file("/proc/self/status", mebibytes(1)).value_or("").empty());
}

TEST_F(FileTest, ReplacesAFileAsAWholeAndLeavesNoTemporaryOne) {
  ASSERT_TRUE(replace_file(top_ / "secret", "new"));
  EXPECT_EQ(read_file(top_ / "secret", mebibytes(1)).value_or(""), "new");
  for (const auto& entry : fs::directory_iterator(top_)) EXPECT_NE(entry.path().extension(), ".tmp");
  struct stat info{};
  ASSERT_EQ(::stat((top_ / "secret").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_FALSE(replace_file(top_ / "no directory" / "file", "x"));
}

TEST_F(FileTest, OpensPathsBeneathARootAndNothingElse) {
  ASSERT_EQ(::symlink("../secret", (top_ / "root" / "link").c_str()), 0);
  ASSERT_EQ(::symlink("sub", (top_ / "root" / "inner-link").c_str()), 0);
  ASSERT_EQ(::symlink("/etc/passwd", (top_ / "root" / "absolute-link").c_str()), 0);
  ASSERT_EQ(::mkfifo((top_ / "root" / "fifo").c_str(), 0600), 0);
  struct Case {
    const char* path;
    Beneath kind;
    bool allowed;
    Code code = Code::denied;
  };
  const Case cases[] = {
      {"sub/file", Beneath::regular_file, true},
      {"sub/../sub/file", Beneath::regular_file, true},
      {"./sub", Beneath::directory, true},
      {"../secret", Beneath::regular_file, false},
      {"sub/../../secret", Beneath::regular_file, false},
      {"/etc/passwd", Beneath::regular_file, false},
      {"link", Beneath::regular_file, false},
      {"absolute-link", Beneath::regular_file, false},
      {"inner-link/file", Beneath::regular_file, false},
      {"fifo", Beneath::regular_file, false},
      {"sub", Beneath::regular_file, false},
      {"sub/file", Beneath::directory, false, Code::not_found},
      {"absent", Beneath::regular_file, false, Code::not_found},
      {"", Beneath::regular_file, false, Code::invalid},
  };
  auto root = open_directory(top_ / "root");
  ASSERT_TRUE(root);
  for (const Case& one : cases) {
    auto opened = open_beneath(*root, one.path, O_RDONLY, one.kind);
    EXPECT_EQ(opened.has_value(), one.allowed) << one.path;
    if (!opened && !one.allowed) EXPECT_EQ(opened.error().code(), one.code) << one.path << opened.error().reason();
  }
  EXPECT_FALSE(open_beneath(*root, std::string_view("sub/file\0x", 10), O_RDONLY, Beneath::regular_file));
}

TEST_F(FileTest, RefusesOtherFileSystemsBeneathARoot) {
  auto root = open_directory("/");
  ASSERT_TRUE(root);
  auto opened = open_beneath(*root, "proc/self/status", O_RDONLY, Beneath::regular_file);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::denied);
}

TEST_F(FileTest, CreatesAndTruncatesBeneathARoot) {
  auto root = open_directory(top_ / "root");
  ASSERT_TRUE(root);
  auto created = open_beneath(*root, "sub/new", O_WRONLY | O_CREAT, Beneath::regular_file, 0640);
  ASSERT_TRUE(created) << created.error().reason();
  ASSERT_TRUE(write_all(*created, "long content"));
  auto again = open_beneath(*root, "sub/new", O_WRONLY | O_TRUNC, Beneath::regular_file);
  ASSERT_TRUE(again);
  ASSERT_TRUE(write_all(*again, "x"));
  EXPECT_EQ(read_file(top_ / "root" / "sub" / "new", mebibytes(1)).value_or(""), "x");
}

TEST_F(FileTest, RemovesATreeButNotWhatItsLinksPointTo) {
  ASSERT_TRUE(make_directories(top_ / "root" / "a" / "b" / "c"));
  ASSERT_EQ(::symlink("../../secret", (top_ / "root" / "a" / "link").c_str()), 0);
  ASSERT_EQ(::symlink(top_.c_str(), (top_ / "root" / "a" / "b" / "up").c_str()), 0);
  auto removed = remove_tree(top_ / "root");
  ASSERT_TRUE(removed) << removed.error().reason();
  EXPECT_FALSE(fs::exists(top_ / "root"));
  EXPECT_TRUE(fs::exists(top_ / "secret"));
  EXPECT_TRUE(remove_tree(top_ / "root")) << "nothing there is success";

  ASSERT_EQ(::symlink("secret", (top_ / "top-link").c_str()), 0);
  ASSERT_TRUE(remove_tree(top_ / "top-link"));
  EXPECT_TRUE(fs::exists(top_ / "secret"));
}

TEST_F(FileTest, RemovesATreeThatIsDeeperThanItHasDescriptors) {
  auto root = open_directory(top_ / "root");
  ASSERT_TRUE(root);
  Fd at = *std::move(root);
  for (int i = 0; i < 1300; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0700), 0);
    ASSERT_EQ(::mkdirat(at.get(), "hoisted-0", 0700), 0);
    auto below = open_file_at(at, "d", O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(below);
    at = *std::move(below);
  }
  auto removed = remove_tree(top_ / "root");
  ASSERT_TRUE(removed) << removed.error().reason();
  EXPECT_FALSE(fs::exists(top_ / "root"));
}

TEST_F(FileTest, RemovesDirectoriesThatTheirOwnerMadeUnreadable) {
  ASSERT_TRUE(make_directories(top_ / "root" / "cache" / "sealed"));
  ASSERT_EQ(::mkdirat(AT_FDCWD, (top_ / "root" / "cache" / "sealed" / "x").c_str(), 0700), 0);
  ASSERT_EQ(::chmod((top_ / "root" / "cache" / "sealed").c_str(), 0), 0);
  ASSERT_EQ(::chmod((top_ / "root" / "cache").c_str(), 0500), 0);
  auto removed = remove_tree(top_ / "root");
  ASSERT_TRUE(removed) << removed.error().reason();
  EXPECT_FALSE(fs::exists(top_ / "root"));
}

TEST_F(FileTest, MakesDirectoriesWithTheirParents) {
  EXPECT_TRUE(make_directories(top_ / "x" / "y" / "z"));
  EXPECT_TRUE(make_directories(top_ / "x" / "y" / "z")) << "existing is success";
  EXPECT_TRUE(fs::is_directory(top_ / "x" / "y" / "z"));
  auto on_a_file = make_directories(top_ / "secret" / "below");
  EXPECT_FALSE(on_a_file);
  auto is_a_file = make_directories(top_ / "secret");
  ASSERT_FALSE(is_a_file);
  EXPECT_EQ(is_a_file.error().code(), Code::conflict);
}

TEST_F(FileTest, LocksAFileAgainstOthersUntilTheFdIsGone) {
  {
    auto first = lock_file(top_ / "lock");
    ASSERT_TRUE(first);
    auto second = lock_file(top_ / "lock");
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code(), Code::conflict);
  }
  EXPECT_TRUE(lock_file(top_ / "lock"));
}

TEST_F(FileTest, MeasuresDiskAndTrees) {
  auto space = disk_space(top_);
  ASSERT_TRUE(space);
  EXPECT_GT(space->total, space->available);
  ASSERT_TRUE(replace_file(top_ / "root" / "big", std::string(1 << 20, 'b')));
  auto usage = disk_usage(top_ / "root");
  ASSERT_TRUE(usage);
  EXPECT_GE(usage->count, 1u << 20);
  EXPECT_LT(usage->count, 2u << 20);
  EXPECT_EQ(disk_usage(top_ / "absent").error().code(), Code::not_found);
}

}  // namespace
}  // namespace gantry::os
