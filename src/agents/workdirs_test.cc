// Uploads: what is kept, and everything that a hostile archive may try.
#include "agents/workdirs.h"

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <future>

#include "agents/unpack.h"
#include "os/os.h"

namespace gantry::agents {
namespace {

namespace fs = std::filesystem;

/// Writes a tar archive entry by entry, however strange.
class TarBuilder {
 public:
  struct Entry {
    std::string path;
    unsigned type = AE_IFREG;
    std::string content;
    unsigned mode = 0644;
    std::string link;
    std::string hard_link;
  };
  TarBuilder() : buffer_(8 << 20), writer_(archive_write_new()) {
    archive_write_set_format_pax_restricted(writer_);
    archive_write_set_options(writer_, "hdrcharset=BINARY");
    archive_write_set_bytes_per_block(writer_, 512);
    archive_write_open_memory(writer_, buffer_.data(), buffer_.size(), &used_);
  }
  TarBuilder& add(const Entry& entry) {
    archive_entry* raw = archive_entry_new();
    archive_entry_set_pathname(raw, entry.path.c_str());
    archive_entry_set_filetype(raw, entry.type);
    archive_entry_set_perm(raw, static_cast<mode_t>(entry.mode));
    archive_entry_set_size(raw, static_cast<la_int64_t>(entry.content.size()));
    if (!entry.link.empty()) archive_entry_set_symlink(raw, entry.link.c_str());
    if (!entry.hard_link.empty()) archive_entry_set_hardlink(raw, entry.hard_link.c_str());
    EXPECT_LE(archive_write_header(writer_, raw), ARCHIVE_OK) << archive_error_string(writer_);
    archive_write_data(writer_, entry.content.data(), entry.content.size());
    archive_entry_free(raw);
    return *this;
  }
  std::string bytes() {
    archive_write_close(writer_);
    archive_write_free(writer_);
    return {buffer_.data(), used_};
  }

 private:
  std::vector<char> buffer_;
  size_t used_ = 0;
  archive* writer_;
};

class WorkdirsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "gantry-workdirs-XXXXXX").string();
    // SAFETY: mkdtemp(3) writes into the string, which has its length already.
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    data_ = pattern;
    threads_.start();
  }
  void TearDown() override {
    tasks_.join();
    EXPECT_TRUE(os::remove_tree(data_).has_value());
  }

  template <class T>
  T run(Task<T> task) {
    std::promise<T> promise;
    auto future = promise.get_future();
    tasks_.spawn(threads_.executor(0), keep(std::move(task), promise));
    return future.get();
  }
  template <class T>
  static Task<void> keep(Task<T> task, std::promise<T>& promise) {
    promise.set_value(co_await std::move(task));
  }

  Result<Workdir> upload(const std::string& tar, size_t chunk = 1000) {
    GANTRY_TRY(auto sink, run(workdirs_->begin()));
    for (size_t at = 0; at < tar.size(); at += chunk) GANTRY_TRY_VOID(run(sink->write(tar.substr(at, chunk))));
    return run(sink->finish());
  }
  Result<Workdir> upload(TarBuilder& builder) { return upload(builder.bytes()); }
  void limit(WorkdirLimits limits) { workdirs_.emplace(data_, blocking_, random_, limits); }
  static std::string read(const fs::path& path) { return os::read_file(path, mebibytes(1)).value_or("(none)"); }
  size_t entries(const std::string& directory) {
    std::error_code error;
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(data_ / directory, error), fs::directory_iterator()));
  }

  fs::path data_;
  SystemRandom random_;
  SystemClock clock_;
  IoThreads threads_{1};
  BlockingPool blocking_{2, 100};
  TaskGroup tasks_;
  std::optional<Workdirs> workdirs_;
  void make() { workdirs_.emplace(data_, blocking_, random_, WorkdirLimits{}); }
};

TEST_F(WorkdirsTest, KeepsFilesDirectoriesLinksAndTheExecutableBit) {
  make();
  auto stored = upload(TarBuilder()
                           .add({.path = "./", .type = AE_IFDIR})
                           .add({.path = "app.py", .content = "print(1)\n"})
                           .add({.path = "bin/run", .content = "#!/bin/sh\n", .mode = 0755})
                           .add({.path = "deep/er", .type = AE_IFDIR, .mode = 0700})
                           .add({.path = "bin/app", .type = AE_IFLNK, .link = "../app.py"})
                           .add({.path = "copy.py", .hard_link = "app.py"})
                           .add({.path = "\xc3\xa4\xe2\x82\xac.txt", .content = "umlaut"}));
  ASSERT_TRUE(stored.has_value()) << stored.error().reason();
  const fs::path root = workdirs_->path_of(stored->digest);
  EXPECT_EQ(read(root / "app.py"), "print(1)\n");
  EXPECT_EQ(read(root / "copy.py"), "print(1)\n");
  EXPECT_EQ(read(root / "\xc3\xa4\xe2\x82\xac.txt"), "umlaut");
  EXPECT_EQ(fs::read_symlink(root / "bin/app"), "../app.py");
  struct stat status{};
  ASSERT_EQ(::stat((root / "bin/run").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0555u);
  ASSERT_EQ(::stat((root / "app.py").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0444u);
  ASSERT_EQ(::stat((root / "deep/er").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0755u);
  EXPECT_EQ(stored->files, 6u);
  EXPECT_EQ(stored->bytes.count, 9u + 10u + 6u);
  EXPECT_EQ(entries("uploads"), 0u);
}

TEST_F(WorkdirsTest, KeepsTheSameContentOnceAndFindsItByItsDigest) {
  make();
  const std::string tar = TarBuilder().add({.path = "a", .content = "1"}).bytes();
  auto first = upload(tar, 7);
  auto second = upload(tar, 100'000);
  ASSERT_TRUE(first.has_value());
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(first->digest, second->digest);
  EXPECT_TRUE(first->digest.starts_with("sha256:"));
  EXPECT_EQ(entries("revisions"), 2u) << "the directory and its information";
  auto found = run(workdirs_->find(first->digest));
  ASSERT_TRUE(found.has_value() && found->has_value());
  EXPECT_EQ((*found)->files, 1u);
  EXPECT_EQ(run(workdirs_->find("sha256:" + std::string(64, '0'))).value(), std::nullopt);
  EXPECT_FALSE(run(workdirs_->find("sha256:../../etc")).has_value());
}

TEST_F(WorkdirsTest, RefusesWhateverCouldReachOutside) {
  make();
  std::ofstream(data_ / "outside") << "secret";
  const TarBuilder::Entry hostile[] = {
      {.path = "/etc/passwd", .content = "x"},
      {.path = "../outside", .content = "x"},
      {.path = "a/../../outside", .content = "x"},
      {.path = "a/..", .type = AE_IFDIR},
      {.path = "link", .type = AE_IFLNK, .link = "/etc/passwd"},
      {.path = "link", .type = AE_IFLNK, .link = ".."},
      {.path = "a/link", .type = AE_IFLNK, .link = "../../outside"},
      {.path = "a/link", .type = AE_IFLNK, .link = "x/../../../outside"},
      {.path = "hard", .hard_link = "/etc/passwd"},
      {.path = "hard", .hard_link = "../outside"},
      {.path = "hard", .hard_link = "never-made"},
      {.path = "device", .type = AE_IFCHR},
      {.path = "disk", .type = AE_IFBLK},
      {.path = "fifo", .type = AE_IFIFO},
      {.path = ".", .content = "x"},
  };
  for (const TarBuilder::Entry& entry : hostile) {
    auto stored = upload(TarBuilder().add({.path = "good", .content = "1"}).add(entry));
    ASSERT_FALSE(stored.has_value()) << entry.path << " -> " << entry.link << entry.hard_link;
    EXPECT_EQ(stored.error().id(), ErrorId::GR0504) << stored.error().reason();
    EXPECT_EQ(entries("revisions"), 0u) << entry.path;
    EXPECT_EQ(entries("uploads"), 0u) << entry.path;
  }
  EXPECT_EQ(read(data_ / "outside"), "secret");
}

TEST_F(WorkdirsTest, NeverWritesThroughALinkOfTheArchiveItself) {
  make();
  auto through = upload(TarBuilder()
                            .add({.path = "real", .type = AE_IFDIR})
                            .add({.path = "link", .type = AE_IFLNK, .link = "real"})
                            .add({.path = "link/file", .content = "x"}));
  ASSERT_FALSE(through.has_value());
  EXPECT_EQ(through.error().id(), ErrorId::GR0504);
  // `q/a -> ..` and `q/b -> a/..`: each text stays inside, both together would not.
  auto chained = upload(TarBuilder()
                            .add({.path = "q/a", .type = AE_IFLNK, .link = ".."})
                            .add({.path = "q/b", .type = AE_IFLNK, .link = "a/.."}));
  ASSERT_FALSE(chained.has_value());
  // A file that replaces a link replaces the link and not what it leads to.
  auto replaced = upload(TarBuilder()
                             .add({.path = "kept", .content = "kept"})
                             .add({.path = "name", .type = AE_IFLNK, .link = "kept"})
                             .add({.path = "name", .content = "new"}));
  ASSERT_TRUE(replaced.has_value()) << replaced.error().reason();
  EXPECT_EQ(read(workdirs_->path_of(replaced->digest) / "kept"), "kept");
  EXPECT_EQ(read(workdirs_->path_of(replaced->digest) / "name"), "new");
}

TEST_F(WorkdirsTest, DropsSetUserIdAndWriteBits) {
  make();
  auto stored = upload(TarBuilder().add({.path = "su", .content = "x", .mode = 06777}));
  ASSERT_TRUE(stored.has_value());
  struct stat status{};
  ASSERT_EQ(::stat((workdirs_->path_of(stored->digest) / "su").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0555u);
}

TEST_F(WorkdirsTest, HoldsEveryBound) {
  const std::string two = TarBuilder().add({.path = "a", .content = std::string(3000, 'x')}).add({.path = "b"}).bytes();
  struct Row {
    const char* what;
    WorkdirLimits limits;
    std::string tar;
  };
  std::string deep;
  for (int i = 0; i < 20; ++i) deep += "d/";
  const Row rows[] = {
      {"upload", {.upload = Bytes{two.size() - 1}}, two},
      {"unpacked", {.unpacked = Bytes{2999}}, two},
      {"files", {.files = 1}, two},
      {"path", {.path_length = 10}, TarBuilder().add({.path = "a-long-path"}).bytes()},
      {"depth", {.depth = 19}, TarBuilder().add({.path = deep, .type = AE_IFDIR}).bytes()},
      {"directories",
       {.files = 1},
       TarBuilder().add({.path = "a", .type = AE_IFDIR}).add({.path = "b", .type = AE_IFDIR}).bytes()},
  };
  for (const Row& row : rows) {
    limit(row.limits);
    auto stored = upload(row.tar);
    ASSERT_FALSE(stored.has_value()) << row.what;
    EXPECT_EQ(stored.error().id(), ErrorId::GR0503) << row.what << ": " << stored.error().reason();
    EXPECT_EQ(entries("revisions"), 0u) << row.what;
    EXPECT_EQ(entries("uploads"), 0u) << row.what;
  }
  limit({.upload = Bytes{two.size()}, .unpacked = Bytes{3000}, .files = 2});
  EXPECT_TRUE(upload(two).has_value()) << "exactly at the bounds";
}

TEST_F(WorkdirsTest, RefusesWhatIsNoTarArchiveAndTakesAnEmptyOne) {
  make();
  auto garbage = upload(std::string(5000, 'x'));
  ASSERT_FALSE(garbage.has_value());
  EXPECT_EQ(garbage.error().id(), ErrorId::GR0504);
  auto cut = TarBuilder().add({.path = "a", .content = std::string(100'000, 'x')}).bytes();
  auto torn = upload(cut.substr(0, 50'000));
  ASSERT_FALSE(torn.has_value());
  EXPECT_EQ(torn.error().id(), ErrorId::GR0504);
  TarBuilder empty;
  EXPECT_TRUE(upload(empty).has_value());
}

TEST_F(WorkdirsTest, CollectsOnlyWhatIsOldAndUnused) {
  make();
  const auto a = upload(TarBuilder().add({.path = "a"})).value();
  const auto b = upload(TarBuilder().add({.path = "b"})).value();
  ASSERT_TRUE(workdirs_->collect({a.digest}, std::chrono::hours(1), clock_).has_value());
  EXPECT_TRUE(run(workdirs_->find(b.digest)).value().has_value()) << "young";
  ASSERT_TRUE(workdirs_->collect({a.digest}, Duration(0), clock_).has_value());
  EXPECT_FALSE(run(workdirs_->find(b.digest)).value().has_value());
  EXPECT_TRUE(run(workdirs_->find(a.digest)).value().has_value());
  EXPECT_EQ(entries("revisions"), 2u);
}

TEST_F(WorkdirsTest, LeavesNothingOfAnUploadThatWasGivenUp) {
  make();
  {
    auto sink = run(workdirs_->begin());
    ASSERT_TRUE(sink.has_value());
    ASSERT_TRUE(run((*sink)->write("half")).has_value());
    EXPECT_EQ(entries("uploads"), 1u);
  }
  EXPECT_EQ(entries("uploads"), 0u);
}

}  // namespace
}  // namespace gantry::agents
