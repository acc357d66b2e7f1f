#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <functional>
#include <map>
#include <thread>

#include "sandbox/driver_suite.h"
#include "sandbox/drivers/bubblewrap/socket_pool.h"
#include "shim/protocol.h"

namespace gantry::sandbox {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<Driver> make(DriverParts parts, DriverOptions options) {
  return make_bubblewrap_driver(parts, std::move(options));
}

const DriverCase bubblewrap_case{"bubblewrap", &make};

INSTANTIATE_TEST_SUITE_P(Bubblewrap, DriverSuite, testing::Values(bubblewrap_case),
                         [](const auto& info) { return info.param.name; });
INSTANTIATE_TEST_SUITE_P(Bubblewrap, ExecSuite, testing::Values(bubblewrap_case),
                         [](const auto& info) { return info.param.name; });

class Bubblewrap : public testing::Test {
 protected:
  Grade grade(const Sandbox& box, std::string_view limit) {
    for (const AchievedLimit& achieved : box.achieved().limits)
      if (achieved.name == limit) return achieved.grade;
    return Grade::none;
  }
  /// What each open descriptor refers to, by number; without the one that reads the list.
  std::map<std::string, std::string> open_descriptors() {
    std::map<std::string, std::string> open;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
      std::error_code closed_since;
      fs::path target = fs::read_symlink(entry.path(), closed_since);
      if (!closed_since && !target.native().ends_with("/fd")) open[entry.path().filename()] = target;
    }
    return open;
  }
  SuiteHost host{bubblewrap_case};
};

TEST_F(Bubblewrap, SaysThatTheProgramWasKilledAtItsMemoryLimit) {
  Spec spec = host.python("greedy", "kept = []\nwhile True: kept.append(bytearray(1 << 20))\n");
  spec.limits.memory = mebibytes(64);
  auto box = host.start(spec);
  ExitInfo exit = host.wait(box->wait_exit());
  if (grade(*box, "memory") == Grade::enforced) {
    EXPECT_EQ(exit.reason, ExitReason::out_of_memory);
    EXPECT_EQ(exit.describe(), "exit 137, out of memory at 64Mi");
  } else {
    // The allocation fails inside and Python ends with an exception.
    EXPECT_EQ(exit.describe(), "exit 1");
    EXPECT_NE(host.output(spec).find("MemoryError"), std::string::npos);
  }
}

TEST_F(Bubblewrap, CountsTmpfsFilesAsMemory) {
  Spec spec = host.shell("tmpfs", "head -c 100M /dev/zero > /tmp/a; head -c 100M /dev/zero > /dev/shm/b");
  spec.limits.memory = mebibytes(64);
  spec.limits.tmp = mebibytes(512);
  auto box = host.start(spec);
  ExitInfo exit = host.wait(box->wait_exit());
  if (grade(*box, "memory") != Grade::enforced) GTEST_SKIP() << "no memory controller here";
  EXPECT_FALSE(exit.success()) << exit.describe();
}

TEST_F(Bubblewrap, BoundsTheSizeOfTmp) {
  Spec spec = host.shell("tmp", "for d in /tmp /dev/shm; do head -c 20M /dev/zero > $d/a; stat -c %s $d/a; done");
  spec.limits.tmp = mebibytes(4);
  std::string output = host.run(spec);
  EXPECT_NE(output.find("No space left"), std::string::npos) << output;
  EXPECT_NE(output.find("\n4194304\n"), std::string::npos) << output;
}

TEST_F(Bubblewrap, BoundsTheNumberOfProcesses) {
  Spec spec = host.python("bomb", R"(
import os, time
n = 0
try:
    while True:
        if os.fork() == 0: time.sleep(1000)
        n += 1
except BlockingIOError: print('stopped at', n)
)");
  spec.limits.pids = 20;
  std::string output = host.run(spec);
  EXPECT_TRUE(output.starts_with("stopped at 1")) << output;
}

TEST_F(Bubblewrap, SurvivesAForkBombAndAnswersBesideIt) {
  Spec neighbour = host.python("neighbour", echo_server);
  auto quiet = host.start(neighbour);
  Spec spec = host.shell("forkbomb", "b() { b | b & }; b; sleep 1000");
  auto box = host.start(spec);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(host.get(*quiet, 8000).has_value());
  // By a signal or, if the shell could not start its last program, by itself.
  EXPECT_NE(host.wait(box->stop(std::chrono::milliseconds(100))).reason, ExitReason::lost);
  EXPECT_FALSE(os::identify_process(box->pid()).has_value());
}

TEST_F(Bubblewrap, HoldsTheCpuShare) {
  Spec spec = host.shell("spin", "while :; do :; done & while :; do :; done");
  spec.limits.cpu = {200};
  auto box = host.start(spec);
  if (grade(*box, "cpu") != Grade::enforced) GTEST_SKIP() << "no cpu controller here";
  // CPU time over wall time, from both ends of a span that the CPU time decides.
  auto used = [&] { return host.wait(box->stats())->cpu_time; };
  ASSERT_TRUE(SuiteHost::eventually([&] { return used() > std::chrono::milliseconds(100); }));
  Duration before = used();
  SteadyTime begin = host.clock.steady();
  ASSERT_TRUE(SuiteHost::eventually([&] { return used() > before + std::chrono::milliseconds(200); }));
  EXPECT_GT(host.clock.steady() - begin, std::chrono::milliseconds(600));
}

TEST_F(Bubblewrap, StopsAProgramWhoseWorkspaceIsTooLarge) {
  Spec spec = host.shell("filler", "i=0; while :; do head -c 1M /dev/zero > /workspace/$i; i=$((i+1)); done");
  spec.limits.workspace = mebibytes(32);
  auto box = host.start(spec);
  ExitInfo exit = host.wait(box->wait_exit());
  EXPECT_EQ(exit.reason, ExitReason::workspace);
  EXPECT_EQ(exit.describe(), "workspace above 32Mi");
}

TEST_F(Bubblewrap, CountsFilesInDirectoriesThatTheProgramHides) {
  Spec spec = host.shell("hidden",
                         "mkdir /workspace/h; head -c 8M /dev/zero > /workspace/h/a; chmod 0 /workspace/h; sleep 1000");
  spec.limits.workspace = mebibytes(9);
  auto box = host.start(spec);
  EXPECT_TRUE(SuiteHost::eventually([&] { return host.wait(box->stats())->workspace >= mebibytes(8); }));
}

TEST_F(Bubblewrap, LetsTwoSandboxesShareAWorkspace) {
  Spec first = host.shell("first",
                          "touch /workspace/mine; until [ -e /workspace/go ]; do sleep 0.01; done; "
                          "echo more > /workspace/mine && echo written");
  auto box = host.start(first);
  ASSERT_TRUE(SuiteHost::eventually([&] { return fs::exists(first.workspace_dir / "mine"); }));
  Spec second = host.shell("second", "echo x > /workspace/mine && touch /workspace/go");
  second.workspace_dir = first.workspace_dir;
  EXPECT_TRUE(host.wait(host.start(second)->wait_exit()).success());
  EXPECT_TRUE(host.wait(box->wait_exit()).success());
  EXPECT_EQ(host.output(first), "written\n");
}

TEST_F(Bubblewrap, LeavesNothingBehind) {
  host.wait(host.start(host.shell("first", "exit 0"))->wait_exit());
  // The I/O thread opens what it waits with at its first wait: `wait_exit` makes one only if it comes before the end.
  host.wait(sleep_for(std::chrono::milliseconds(1)));
  size_t before = open_descriptors().size();
  for (int i = 0; i < 20; ++i) {
    Spec spec = host.shell("leak", "exit 0");
    if (i % 2 == 1) spec.command = {"no-such-program"};
    auto started = host.try_start(spec);
    if (started) host.wait((*started)->wait_exit());
  }
  EXPECT_TRUE(SuiteHost::eventually([&] { return open_descriptors().size() <= before; }))
      << before << " before, now " << testing::PrintToString(open_descriptors());
}

TEST_F(Bubblewrap, StartsAgainAfterTheSpawnProcessWasKilled) {
  Spec survivor = host.python("survivor", echo_server);
  auto box = host.start(survivor);
  ASSERT_TRUE(host.get(*box, 8000).has_value());
  // Our only child that is called so.
  pid_t spawner = 0;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    auto stat = os::read_file(entry.path() / "stat", kibibytes(4));
    if (stat && stat->find("(gantry-spawn)") != std::string::npos &&
        stat->find(fmt::format(") S {} ", getpid())) != std::string::npos)
      spawner = static_cast<pid_t>(std::stol(entry.path().filename()));
  }
  ASSERT_GT(spawner, 0);
  ::kill(spawner, SIGKILL);
  EXPECT_TRUE(host.get(*box, 8000).has_value());
  EXPECT_TRUE(SuiteHost::eventually([&] {
    auto started = host.try_start(host.shell("again", "exit 0"));
    return started && host.wait((*started)->wait_exit()).success();
  }));
  EXPECT_EQ(host.wait(box->stop(std::chrono::seconds(5))).describe(), "signal 15 (SIGTERM)");
}

TEST_F(Bubblewrap, FindsSandboxesOfADaemonThatWasKilled) {
  host.driver->close();
  Spec spec = host.python("orphan", echo_server);
  os::SpawnOptions how;
  how.program = "/proc/self/exe";
  how.arguments = {"sandbox_test", "__daemon", host.root.string(), spec.id.to_string()};
  auto daemon = os::spawn_process(how);
  ASSERT_TRUE(daemon.has_value()) << daemon.error().reason();
  ASSERT_TRUE(host.wait_for_output(spec, "ready"));
  ASSERT_TRUE(os::signal_process(daemon->pidfd, SIGKILL).has_value());
  ASSERT_TRUE(os::wait_process(daemon->pidfd).has_value());
  host.open();
  auto recovered = host.wait(host.driver->recover({{spec.id, spec.instance_dir}}, std::chrono::seconds(10)));
  ASSERT_EQ(recovered.attached.size(), 1u);
  auto answer = host.get(*recovered.attached[0], 8000);
  ASSERT_TRUE(answer.has_value()) << answer.error().reason();
  EXPECT_NE(answer->find("hello from orphan"), std::string::npos);
  EXPECT_EQ(host.wait(recovered.attached[0]->stop(std::chrono::seconds(5))).describe(), "signal 15 (SIGTERM)");
}

// Says hello as the instance, from this process, until `done`.
void impersonate(const fs::path& socket_path, InstanceId id, int socket, const std::atomic<bool>& done) {
  shim::Message hello{};
  hello.version = shim::protocol_version;
  hello.type = shim::MessageType::hello;
  std::memcpy(hello.hello.instance, id.bytes().data(), id.bytes().size());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path.native().copy(address.sun_path, sizeof address.sun_path - 1);
  const int fds[] = {socket};
  while (!done) {
    os::Fd stranger(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    // SAFETY: sockaddr_un is the address type of AF_UNIX; Message is trivially copyable.
    if (::connect(stranger.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) continue;
    static_cast<void>(os::send_packet(stranger, {reinterpret_cast<const char*>(&hello), sizeof hello}, fds));
    pollfd entry{stranger.get(), POLLIN, 0};
    ::poll(&entry, 1, 20);
  }
}

TEST_F(Bubblewrap, IsNotDeceivedByAStrangerOnItsControlSocket) {
  Spec spec = host.python("victim", echo_server);
  auto box = host.start(spec);
  // A socket of the sandbox's own network, so that only the pid tells the stranger from the shim; and the
  // shim does not come back by itself.
  auto socket = host.dial_when_ready(*box, 8000);
  ASSERT_TRUE(socket.has_value());
  ASSERT_EQ(::kill(box->pid(), SIGSTOP), 0);
  box.reset();
  host.reopen();
  std::atomic<bool> done = false;
  std::thread stranger(impersonate, host.options.run_dir / shim::control_name, spec.id, socket->get(), std::cref(done));
  auto recovered = host.wait(host.driver->recover({{spec.id, spec.instance_dir}}, std::chrono::milliseconds(500)));
  done = true;
  stranger.join();
  EXPECT_TRUE(recovered.attached.empty()) << "the stranger was welcomed";
  ASSERT_EQ(recovered.dead.size(), 1u);
  EXPECT_EQ(recovered.dead[0].exit.signal, SIGKILL);
}

TEST_F(Bubblewrap, DoesNotWaitForASandboxThatEndsMeanwhile) {
  Spec spec = host.python("dying", echo_server);
  auto box = host.start(spec);
  pid_t pid = box->pid();
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);  // it does not come back by itself
  box.reset();
  host.reopen();
  auto recovering = host.begin(host.driver->recover({{spec.id, spec.instance_dir}}, std::chrono::hours(1)));
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  ASSERT_EQ(recovering.wait_for(std::chrono::minutes(1)), std::future_status::ready) << "it waits for a dead shim";
  auto recovered = recovering.get();
  ASSERT_EQ(recovered.dead.size(), 1u);
  EXPECT_EQ(recovered.dead[0].exit.signal, SIGKILL);
}

TEST_F(Bubblewrap, IsNotAbandonedAfterADaemonCameBack) {
  constexpr auto window = std::chrono::seconds(3);  // a machine under load takes a part of it to come back
  Spec spec = host.python("kept", echo_server);
  spec.reattach_window = window;
  auto box = host.start(spec);
  ASSERT_TRUE(host.get(*box, 8000).has_value());
  box.reset();
  host.reopen();
  auto recovered = host.wait(host.driver->recover({{spec.id, spec.instance_dir}}, std::chrono::seconds(10)));
  ASSERT_EQ(recovered.attached.size(), 1u);
  SteadyTime past_window = host.clock.steady() + window;
  while (host.clock.steady() < past_window) ASSERT_TRUE(host.get(*recovered.attached[0], 8000).has_value());
}

TEST_F(Bubblewrap, LetsEverybodyGoWhenItCloses) {
  Spec spec = host.shell("stubborn", "trap '' TERM; echo ready; while :; do sleep 1; done");
  spec.reattach_window = std::chrono::milliseconds(300);
  auto box = host.start(spec);
  ASSERT_TRUE(host.wait_for_output(spec, "ready"));
  pid_t pid = box->pid();
  auto waiting = host.begin(box->wait_exit());
  auto stopping = host.begin(box->stop(std::chrono::hours(1)));
  auto starting = host.begin(host.driver->start(host.shell("late", "exit 0")));
  host.driver->close();
  EXPECT_EQ(waiting.get().reason, ExitReason::lost);
  EXPECT_EQ(stopping.get().reason, ExitReason::lost);
  static_cast<void>(starting.get());
  EXPECT_FALSE(host.wait(box->dial(8000)).has_value());
  // A stop does not keep a program alive that nobody comes back for.
  EXPECT_TRUE(SuiteHost::eventually([&] { return !os::identify_process(pid).has_value(); }));
  host.open();
}

TEST_F(Bubblewrap, GivesChildrenOfAShellTheirGrace) {
  Spec spec = host.python("wrapped", R"(
import signal, sys, time
def end(*_): time.sleep(0.1); print('ending'); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print('ready')
while True: time.sleep(60)
)");
  spec.command = {"/bin/sh", "-c", "/usr/bin/python3 -u main.py; exit 9"};
  auto box = host.start(spec);
  ASSERT_TRUE(host.wait_for_output(spec, "ready"));
  host.wait(box->stop(std::chrono::seconds(10)));
  EXPECT_EQ(host.output(spec), "ready\nending\n");
}

TEST(CheckSocket, TakesNothingButTcpSocketsOfTheSandbox) {
  constexpr uint64_t sandbox = 7;
  constexpr uint64_t machine = 1;
  struct Row {
    const char* what;
    os::SocketFacts facts;
    bool listening;
    bool taken;
  };
  const Row rows[] = {
      {"a socket", {AF_INET, SOCK_STREAM, IPPROTO_TCP, false, sandbox}, false, true},
      {"a listener", {AF_INET, SOCK_STREAM, IPPROTO_TCP, true, sandbox}, true, true},
      {"a listener for a socket", {AF_INET, SOCK_STREAM, IPPROTO_TCP, true, sandbox}, false, false},
      {"a socket for a listener", {AF_INET, SOCK_STREAM, IPPROTO_TCP, false, sandbox}, true, false},
      {"of the host", {AF_INET, SOCK_STREAM, IPPROTO_TCP, false, machine}, false, false},
      {"of another sandbox", {AF_INET, SOCK_STREAM, IPPROTO_TCP, false, 8}, false, false},
      {"local", {AF_UNIX, SOCK_STREAM, 0, false, sandbox}, false, false},
      {"UDP", {AF_INET, SOCK_DGRAM, IPPROTO_UDP, false, sandbox}, false, false},
      {"MPTCP", {AF_INET, SOCK_STREAM, 262, false, sandbox}, false, false},
      {"IPv6", {AF_INET6, SOCK_STREAM, IPPROTO_TCP, false, sandbox}, false, false},
  };
  for (const Row& row : rows)
    EXPECT_EQ(bubblewrap::check_socket(row.facts, {sandbox, machine, row.listening}).has_value(), row.taken)
        << row.what;
  os::SocketFacts host_socket{AF_INET, SOCK_STREAM, IPPROTO_TCP, false, machine};
  EXPECT_FALSE(bubblewrap::check_socket(host_socket, {machine, machine, false})) << "the host as a sandbox";
}

TEST_F(Bubblewrap, RunsEachSandboxWithAUidOfItsOwn) {
  auto one = host.start(host.shell("one", "sleep 1000"));
  auto two = host.start(host.shell("two", "sleep 1000"));
  auto uid = [](const Sandbox& box) { return os::identify_process(box.pid())->uid; };
  EXPECT_NE(uid(*one), 0u);
  EXPECT_EQ(uid(*one), one->achieved().uid);
  if (one->achieved().rootless)
    EXPECT_EQ(uid(*one), getuid());
  else
    EXPECT_NE(uid(*one), uid(*two));
}

TEST_F(Bubblewrap, HandsAWorkspaceOverToTheNextUid) {
  Spec spec = host.shell("keeper", "mkdir -p /workspace/d; echo x > /workspace/d/f; cat /workspace/d/f");
  host.run(spec);
  if (getuid() != 0) GTEST_SKIP() << "an ordinary user has one uid";
  fs::path kept = spec.workspace_dir;
  auto taker = host.start(host.shell("taker", "sleep 1000"));
  // Its uid is taken now: the next owner of the workspace is another.
  auto holder = host.start([&] {
    Spec first = host.shell("holder", "sleep 1000");
    first.workspace_dir = kept;
    return first;
  }());
  Spec next = host.shell("next", "echo y >> /workspace/d/f; cat /workspace/d/f");
  next.workspace_dir = kept;
  EXPECT_EQ(host.run(next), "x\ny\n");
}

TEST_F(Bubblewrap, StartsManyAtOnce) {
  constexpr int many = 30;
  std::vector<std::future<Result<std::shared_ptr<Sandbox>>>> starts;
  for (int i = 0; i < many; ++i) starts.push_back(host.begin(host.driver->start(host.shell("crowd", "sleep 1000"))));
  std::vector<std::future<ExitInfo>> stops;
  std::vector<std::shared_ptr<Sandbox>> boxes;
  for (auto& start : starts) {
    auto box = start.get();
    ASSERT_TRUE(box.has_value()) << box.error().reason();
    boxes.push_back(*box);
    stops.push_back(host.begin(boxes.back()->stop(Duration{})));
  }
  for (auto& stop : stops) EXPECT_NE(stop.get().signal, 0);
}

}  // namespace

// A daemon of its own process, for a test that kills it.
int victim_daemon(const std::string& root, const std::string& id) {
  SystemClock clock;
  SystemRandom random;
  DriverOptions options;
  options.run_dir = fs::path(root) / "run";
  for (const char* name : {"instances", "workspaces", "apps"}) options.shared_dirs.push_back(fs::path(root) / name);
  auto driver = make_bubblewrap_driver({clock, random}, options);
  if (!driver->open()) return 1;
  Spec spec;
  spec.id = *InstanceId::parse(id);
  spec.name = "orphan";
  spec.command = {"/usr/bin/python3", "-u", "main.py"};
  spec.app_dir = fs::path(root) / "apps" / id;
  spec.instance_dir = fs::path(root) / "instances" / id;
  spec.workspace_dir = fs::path(root) / "workspaces" / id;
  IoThreads threads(1);
  threads.start();
  auto box = asio::co_spawn(threads.context(0), driver->start(spec), asio::use_future).get();
  if (!box) return 1;
  for (;;) ::pause();
}

}  // namespace gantry::sandbox
