#include "sandbox/drivers/bubblewrap/volumes.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

namespace gantry::sandbox::bubblewrap {
namespace {

namespace fs = std::filesystem;

class Volumes : public testing::Test {
 protected:
  Volumes() {
    std::string path = (fs::temp_directory_path() / "gantry-volumes-XXXXXX").string();
    // SAFETY: mkdtemp(3) writes into the string, which has its length already.
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    root = path;
    ::chmod(root.c_str(), 0755);
    fs::create_directories(root / "app/lib/data");
    fs::create_directories(root / "models");
    std::ofstream(root / "app/main.py") << "x";
    std::ofstream(root / "app/lib/code.py") << "x";
    fs::create_symlink("main.py", root / "app/link.py");
  }
  ~Volumes() override { fs::remove_all(root); }

  std::string layout(const std::vector<std::string>& places) {
    std::vector<Volume> volumes;
    for (const std::string& place : places) volumes.push_back({root / "models", place, Volume::Access::read_only});
    auto parts = lay_out_app(root / "app", volumes);
    if (!parts) return std::string(parts.error().reason());
    std::string words;
    for (const AppPart& part : *parts)
      words += (part.kind == AppPart::Kind::empty  ? "empty "
                : part.kind == AppPart::Kind::link ? "link "
                                                   : "files ") +
               part.place + "\n";
    return words;
  }

  fs::path root;
};

TEST_F(Volumes, NeedNothingNewWhereTheProgramHasTheDirectory) {
  EXPECT_EQ(layout({}), "files /app\n");
  EXPECT_EQ(layout({"/models"}), "files /app\n");
  EXPECT_EQ(layout({"/app/lib/data", "/application"}), "files /app\n");
}

TEST_F(Volumes, MakeTheDirectoriesOnTheirWayAnewWithWhatWasInThem) {
  EXPECT_EQ(layout({"/app/models"}), "empty /app\nfiles /app/lib\nlink /app/link.py\nfiles /app/main.py\n");
  EXPECT_EQ(layout({"/app/lib/models/small"}),
            "empty /app\nempty /app/lib\nfiles /app/lib/code.py\nfiles /app/lib/data\nlink /app/link.py\n"
            "files /app/main.py\n");
}

TEST_F(Volumes, DoNotLieUponAFileOrALinkOfTheProgram) {
  EXPECT_EQ(layout({"/app/main.py"}), "a volume cannot lie upon 'main.py' of the program: it is of another kind");
  EXPECT_EQ(layout({"/app/link.py/x"}), "a volume cannot lie upon 'link.py' of the program: it is of another kind");
}

TEST_F(Volumes, AreRefusedWhenTheProgramsUserMayNotUseThem) {
  const bool is_root = ::geteuid() == 0;
  const uid_t uid = is_root ? 200001 : ::geteuid();
  const auto check = [&](Volume::Access access) {
    auto checked = check_access({{root / "models", "/models", access}}, uid);
    return checked ? std::string() : std::string(checked.error().reason());
  };
  ::chmod((root / "models").c_str(), 0555);
  EXPECT_EQ(check(Volume::Access::read_only), "");
  EXPECT_TRUE(check(Volume::Access::read_write).contains("may not be written by the program's user")) << uid;
  ::chmod((root / "models").c_str(), 0777);
  EXPECT_EQ(check(Volume::Access::read_write), "");
  ::chmod((root / "models").c_str(), 0000);
  EXPECT_TRUE(check(Volume::Access::read_only).contains("may not be read by the program's user")) << uid;
  // The look as another user is over: whoever could write before can again.
  if (is_root) EXPECT_TRUE(std::ofstream(root / "models/file").good());
  ::chmod((root / "models").c_str(), 0755);
  fs::remove_all(root / "models");
  EXPECT_TRUE(check(Volume::Access::read_only).contains("does not exist"));
}

}  // namespace
}  // namespace gantry::sandbox::bubblewrap
