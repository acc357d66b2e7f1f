#include "sandbox/drivers/bubblewrap/arguments.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gantry::sandbox::bubblewrap {
namespace {

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    words.emplace_back(text.substr(0, text.find('\0')));
    text.remove_prefix(words.back().size() + 1);
  }
  return words;
}

bool has(const std::vector<std::string>& words, std::initializer_list<std::string> sequence) {
  return !std::ranges::search(words, sequence).empty();
}

Spec spec() {
  Spec spec;
  spec.name = "bot";
  spec.limits.tmp = mebibytes(1);
  return spec;
}

const HostView host{.programs = {{Mount::Kind::read_only, "/usr", "/usr"}, {Mount::Kind::symlink, "usr/bin", "/bin"}},
                    .proc_files = {"/proc/kcore"},
                    .proc_directories = {"/proc/acpi"}};
const SandboxPlaces places{.run_dir = "/run",
                           .app = {{AppPart::Kind::files, "/data/app", "/app"}},
                           .workspace = "/data/work",
                           .hosts = "/data/hosts",
                           .volumes = {}};

TEST(BwrapArguments, IsolateAlwaysWithAUserNamespaceAndNoCapability) {
  auto words = split(bwrap_arguments(host, places, spec()));
  for (const char* flag : {"--unshare-all", "--unshare-user", "--unshare-cgroup", "--disable-userns", "--as-pid-1",
                           "--new-session", "--clearenv"})
    EXPECT_TRUE(has(words, {flag})) << flag;
  EXPECT_TRUE(has(words, {"--cap-drop", "ALL"}));
  EXPECT_TRUE(has(words, {"--uid", "1000", "--gid", "1000", "--hostname", "bot"}));
  for (const char* flag : {"--share-net", "--cap-add", "--dev-bind", "--bind-try"}) EXPECT_FALSE(has(words, {flag}));
}

TEST(BwrapArguments, MountOneThingWritableAndTheRootReadOnlyAtTheEnd) {
  auto words = split(bwrap_arguments(host, places, spec()));
  EXPECT_EQ(std::ranges::count(words, "--bind"), 1);
  EXPECT_TRUE(has(words, {"--bind", "/data/work", "/workspace"}));
  EXPECT_TRUE(has(words, {"--ro-bind", "/data/app", "/app"}));
  EXPECT_TRUE(has(words, {"--symlink", "usr/bin", "/bin"}));
  EXPECT_TRUE(has(words, {"--ro-bind", "/dev/null", "/proc/kcore"}));
  EXPECT_TRUE(has(words, {"--ro-bind", "/run/empty", "/proc/acpi"}));
  EXPECT_TRUE(has(words, {"--size", "1048576", "--tmpfs", "/tmp"}));
  EXPECT_TRUE(has(words, {"--size", "1048576", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"}));
  EXPECT_EQ(std::vector<std::string>(words.end() - 4, words.end()),
            (std::vector<std::string>{"--remount-ro", "/", "--chdir", "/"}));
}

TEST(BwrapArguments, GiveAnEmptyAppWhenThereIsNone) {
  SandboxPlaces without = places;
  without.app.clear();
  EXPECT_TRUE(has(split(bwrap_arguments(host, without, spec())), {"--ro-bind", "/run/empty", "/app"}));
}

TEST(BwrapArguments, MountVolumesUponWhatIsThereAndCloseWhatWasMadeForThem) {
  SandboxPlaces with = places;
  with.volumes = {{"/srv/models", "/app/models", Volume::Access::read_only},
                  {"/srv/out", "/out", Volume::Access::read_write}};
  with.app = {{AppPart::Kind::empty, "", "/app"},
              {AppPart::Kind::files, "/data/app/app.py", "/app/app.py"},
              {AppPart::Kind::link, "app.py", "/app/main.py"}};
  auto words = split(bwrap_arguments(host, with, spec()));
  EXPECT_TRUE(has(words, {"--perms", "0755", "--size", "1048576", "--tmpfs", "/app", "--ro-bind", "/data/app/app.py",
                          "/app/app.py", "--symlink", "app.py", "/app/main.py"}));
  EXPECT_TRUE(has(words, {"--bind", "/data/work", "/workspace", "--ro-bind", "/srv/models", "/app/models", "--bind",
                          "/srv/out", "/out", "--remount-ro", "/app"}));
}

TEST(HostView, ShowsProgramsOfThisMachine) {
  HostView found = find_host_view({"/no/such/path"});
  auto usr = std::ranges::find(found.programs, "/usr", &Mount::place);
  ASSERT_NE(usr, found.programs.end());
  EXPECT_EQ(std::ranges::find(found.programs, "/no/such/path", &Mount::place), found.programs.end());
  for (const Mount& mount : found.programs)
    EXPECT_TRUE(mount.kind == Mount::Kind::symlink || mount.source.starts_with('/')) << mount.place;
}

}  // namespace
}  // namespace gantry::sandbox::bubblewrap
