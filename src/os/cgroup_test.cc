#include "os/cgroup.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace gantry::os {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view hybrid_mounts =
    "31 24 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "32 24 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "33 24 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
    "34 24 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    "35 24 0:31 / /proc rw - proc proc rw\n";
constexpr std::string_view hybrid_self = "5:memory:/a/b\n4:cpu,cpuacct:/\n3:pids:/x\n1:name=systemd:/\n0::/u\n";

TEST(CgroupPlaces, FindsEveryHierarchyOfAHybridMachine) {
  CgroupPlaces places = parse_cgroup_places(hybrid_mounts, hybrid_self);
  ASSERT_TRUE(places.v2.has_value());
  EXPECT_EQ(places.v2->own, "/sys/fs/cgroup/unified/u");
  EXPECT_EQ(places.v1.at("memory").own, "/sys/fs/cgroup/memory/a/b");
  EXPECT_EQ(places.v1.at("cpu").own, "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(places.v1.at("cpuacct").own, places.v1.at("cpu").own);
  EXPECT_EQ(places.v1.at("pids").own, "/sys/fs/cgroup/pids/x");
  EXPECT_FALSE(places.v1.contains("freezer"));
}

TEST(CgroupPlaces, KnowsThatAContainerSeesOnlyItsPart) {
  struct Row {
    std::string_view root, path, own;
  };
  for (const Row& row : {Row{"/docker/1", "/docker/1", "/cg"}, Row{"/docker/1", "/docker/1/sub", "/cg/sub"},
                         Row{"/", "/user.slice/s", "/cg/user.slice/s"}, Row{"/", "/../other", "/cg"}}) {
    std::string mounts = "1 2 0:1 " + std::string(row.root) + " /cg rw - cgroup2 c rw\n";
    auto places = parse_cgroup_places(mounts, "0::" + std::string(row.path) + "\n");
    ASSERT_TRUE(places.v2.has_value());
    EXPECT_EQ(places.v2->own, row.own);
  }
  EXPECT_FALSE(parse_cgroup_places("garbage\n", "garbage").v2.has_value());
}

// A directory that looks like a version 2 hierarchy: the kernel's refusals are missing, its files are there.
class FakeHierarchy : public testing::Test {
 protected:
  FakeHierarchy() {
    std::string pattern = "/tmp/gantry-cgroup-XXXXXX";
    GANTRY_CHECK(mkdtemp(pattern.data()) != nullptr);
    root = pattern;
  }
  ~FakeHierarchy() override { fs::remove_all(root); }
  void write(const fs::path& file, std::string_view text) {
    fs::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text;
  }
  std::string read(const fs::path& file) {
    std::stringstream text;
    text << std::ifstream(root / file).rdbuf();
    return text.str();
  }
  fs::path root;
};

TEST_F(FakeHierarchy, PreparesAVersion2TreeAndSetsItsLimits) {
  write("cgroup.controllers", "cpuset cpu io memory pids");
  write("cgroup.subtree_control", "cpu memory pids");
  for (const char* file : {"cgroup.controllers", "cgroup.subtree_control"})
    write(fs::path("gantry") / file, "cpu memory pids\n");
  for (const char* file : {"cgroup.freeze", "cgroup.kill"}) write(fs::path("gantry") / file, "0");
  CgroupPlaces places;
  places.v2 = {root, root};
  CgroupTree tree = CgroupTree::prepare(places, {.name = "gantry"});
  EXPECT_EQ(tree.abilities().memory, "memory.max");
  EXPECT_EQ(tree.abilities().cpu, "cpu.max");
  EXPECT_EQ(tree.abilities().pids, "pids.max");
  EXPECT_EQ(tree.abilities().freeze, "cgroup.freeze");
  EXPECT_EQ(tree.abilities().kill, "cgroup.kill");
  EXPECT_EQ(tree.reason(), "");

  Cgroup group = *tree.make("one");
  EXPECT_EQ(tree.list(), std::vector<std::string>{"one"});
  for (const char* file : {"memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "pids.max", "cgroup.freeze",
                           "cgroup.kill", "cgroup.procs"})
    write(fs::path("gantry/one") / file, "");
  ASSERT_TRUE(group.limit_memory(mebibytes(64)).has_value());
  ASSERT_TRUE(group.limit_pids(7).has_value());
  ASSERT_TRUE(group.freeze().has_value());
  ASSERT_TRUE(group.kill().has_value());
  ASSERT_TRUE(group.join().has_value());
  EXPECT_EQ(read("gantry/one/memory.max"), "67108864");
  EXPECT_EQ(read("gantry/one/memory.swap.max"), "0");
  EXPECT_EQ(read("gantry/one/memory.oom.group"), "1");
  EXPECT_EQ(read("gantry/one/pids.max"), "7");
  EXPECT_EQ(read("gantry/one/cgroup.freeze"), "1");
  EXPECT_EQ(read("gantry/one/cgroup.kill"), "1");
  EXPECT_EQ(read("gantry/one/cgroup.procs"), "0");
}

TEST_F(FakeHierarchy, WritesCpuSharesThatTheKernelAccepts) {
  write("one/cpu.max", "");
  Cgroup group;
  group.v2 = root / "one";
  struct Row {
    uint32_t milli;
    std::string_view text;
  };
  // At least 1 ms of quota and at most 1 s of period.
  for (const Row& row : {Row{500, "50000 100000"}, Row{2000, "200000 100000"}, Row{10, "1000 100000"},
                         Row{5, "1000 200000"}, Row{1, "1000 1000000"}}) {
    write("one/cpu.max", "");
    ASSERT_TRUE(group.limit_cpu({row.milli}).has_value());
    EXPECT_EQ(read("one/cpu.max"), row.text) << row.milli;
  }
}

TEST_F(FakeHierarchy, ReadsWhatAGroupUses) {
  write("one/memory.current", "4096\n");
  write("one/cpu.stat", "usage_usec 1500\nuser_usec 1000\n");
  write("one/pids.current", "3\n");
  write("one/memory.events", "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 1\n");
  write("one/cgroup.events", "populated 1\nfrozen 1\n");
  Cgroup group;
  group.v2 = root / "one";
  group.abilities.freeze = "cgroup.freeze";
  EXPECT_EQ(group.memory_used(), Bytes{4096});
  EXPECT_EQ(group.cpu_used(), std::chrono::microseconds(1500));
  EXPECT_EQ(group.pids_used(), 3u);
  EXPECT_EQ(group.oom_kills(), 1u);
  EXPECT_TRUE(*group.frozen());
  EXPECT_EQ(Cgroup{}.memory_used(), Bytes{});
  EXPECT_FALSE(Cgroup{}.freeze().has_value());
}

TEST_F(FakeHierarchy, MovesTheDaemonToALeafWhenAllMembersAreOurs) {
  write("own/cgroup.controllers", "memory");
  write("own/cgroup.procs", std::to_string(getpid()) + "\n");
  // The kernel refuses to enable controllers while there are members; a directory in its place does as well.
  fs::create_directories(root / "own/cgroup.subtree_control");
  write("own/gantry-daemon/cgroup.procs", "");
  CgroupPlaces places;
  places.v2 = {root, root / "own"};
  CgroupTree::prepare(places, {.name = "gantry", .ours = {getpid()}});
  EXPECT_EQ(read("own/gantry-daemon/cgroup.procs"), std::to_string(getpid()));
  write("own/gantry-daemon/cgroup.procs", "");
  write("own/cgroup.procs", "1\n" + std::to_string(getpid()) + "\n");
  CgroupTree::prepare(places, {.name = "gantry", .ours = {getpid()}});
  EXPECT_EQ(read("own/gantry-daemon/cgroup.procs"), "") << "a stranger was moved";
}

TEST_F(FakeHierarchy, SaysWhyThereIsNothing) {
  CgroupTree tree = CgroupTree::prepare({}, {.name = "gantry"});
  EXPECT_NE(tree.reason().find("Delegate=yes"), std::string::npos);
  EXPECT_TRUE(tree.abilities().memory.empty());
  EXPECT_TRUE(tree.make("one").has_value());
}

}  // namespace
}  // namespace gantry::os
