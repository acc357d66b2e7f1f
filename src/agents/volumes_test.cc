#include "agents/volumes.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

namespace gantry::agents {
namespace {

namespace fs = std::filesystem;

class Volumes : public testing::Test {
 protected:
  Volumes() {
    std::string path = (fs::temp_directory_path() / "gantry-volumes-XXXXXX").string();
    // SAFETY: mkdtemp(3) writes into the string, which has its length already.
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    root = fs::canonical(path);
    fs::create_directories(root / "home/data/inside");
    fs::create_directories(root / "models");
    std::ofstream(root / "models/weights") << "x";
  }
  ~Volumes() override { fs::remove_all(root); }

  /// What is wrong with one volume; empty if nothing is.
  std::string refusal(const fs::path& host) {
    auto resolved = resolve_volumes({{host.string(), "/v"}}, root / "home/data");
    if (resolved.has_value()) return "";
    EXPECT_EQ(resolved.error().id(), ErrorId::GR0510);
    return std::string(resolved.error().reason());
  }

  fs::path root;
};

TEST_F(Volumes, AreDirectoriesAndFilesWithTheirLinksFollowed) {
  fs::create_directory_symlink(root / "models", root / "link");
  auto resolved = resolve_volumes({{(root / "link").string(), "/a", core::Volume::Access::read_only},
                                   {(root / "models/../models/weights").string(), "/b"}},
                                  root / "home/data");
  ASSERT_TRUE(resolved.has_value()) << resolved.error().reason();
  EXPECT_EQ(resolved->at(0).host, root / "models");
  EXPECT_EQ(resolved->at(0).place, "/a");
  EXPECT_EQ(resolved->at(0).access, sandbox::Volume::Access::read_only);
  EXPECT_EQ(resolved->at(1).host, root / "models/weights");
  EXPECT_EQ(resolved->at(1).access, sandbox::Volume::Access::read_write);
}

TEST_F(Volumes, AreNeverTheDataDirectoryWhateverLeadsThere) {
  fs::create_directory_symlink(root / "home/data/inside", root / "link");
  for (const char* inside : {"home/data", "home/data/inside", "link", "models/../home/data"})
    EXPECT_TRUE(refusal(root / inside).contains("is in the data directory")) << inside;
  for (const fs::path& above : {root, root / "home"})
    EXPECT_TRUE(refusal(above).contains("holds the data directory")) << above;
  fs::create_directories(root / "home/database");
  EXPECT_EQ(refusal(root / "home/database"), "") << "a name that begins alike is another directory";
}

TEST_F(Volumes, AreNothingOfTheSystem) {
  EXPECT_TRUE(refusal("/").contains("the whole file system"));
  EXPECT_TRUE(refusal("/usr/..").contains("the whole file system"));
  for (const char* closed : {"/etc", "/etc/passwd", "/proc", "/proc/self", "/sys", "/dev", "/run"})
    EXPECT_TRUE(refusal(closed).contains("belongs to the system")) << closed;
}

TEST_F(Volumes, MustExistAndBeNamedFromTheTop) {
  EXPECT_TRUE(refusal(root / "nowhere").contains("nowhere': No such file or directory"));
  EXPECT_TRUE(refusal("models").contains("is not an absolute path"));
  EXPECT_TRUE(refusal("/dev/null").contains("belongs to the system"));
}

}  // namespace
}  // namespace gantry::agents
