// The conformance suite of sandbox drivers: what every driver promises, whatever it is made of. A driver's
// test includes this and says, once:
//
//   INSTANTIATE_TEST_SUITE_P(Bubblewrap, DriverSuite, testing::Values(DriverCase{"bubblewrap", &make}));
//
// The programs inside are /bin/sh and /usr/bin/python3 of the host.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>

#include "sandbox/exec_suite.h"
#include "sandbox/suite_host.h"

namespace gantry::sandbox {

class DriverSuite : public testing::TestWithParam<DriverCase> {
 protected:
  SuiteHost host{GetParam()};
};

inline constexpr std::string_view echo_server = R"(
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ('hello from ' + os.uname().nodename + self.path).encode()
        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 8000), Handler)
print('ready', flush=True)
server.serve_forever()
)";

TEST_P(DriverSuite, ReportsTheExitCodeOfTheProgram) {
  for (int code : {0, 7, 255}) {
    ExitInfo exit;
    host.run(host.shell("code", fmt::format("exit {}", code)), &exit);
    EXPECT_EQ(exit.reason, ExitReason::exited);
    EXPECT_EQ(exit.code, code);
    EXPECT_EQ(exit.describe(), fmt::format("exit {}", code));
    EXPECT_EQ(exit.success(), code == 0);
  }
}

TEST_P(DriverSuite, ReportsTheSignalThatEndedTheProgram) {
  ExitInfo exit;
  host.run(host.python("signal", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"), &exit);
  EXPECT_EQ(exit.signal, SIGSEGV);
  EXPECT_EQ(exit.code, 128 + SIGSEGV);
  EXPECT_EQ(exit.describe(), "signal 11 (SIGSEGV)");
}

TEST_P(DriverSuite, RefusesAProgramThatDoesNotExist) {
  Spec spec = host.shell("nothing", "");
  spec.command = {"no-such-program"};
  auto started = host.try_start(spec);
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().id(), ErrorId::GR0302) << started.error().reason();
  EXPECT_NE(started.error().reason().find("no-such-program"), std::string::npos) << started.error().reason();
  // Nothing is left behind: the same instance can be started after the command was corrected.
  spec.command = {"true"};
  ExitInfo exit;
  host.run(spec, &exit);
  EXPECT_TRUE(exit.success()) << exit.describe();
}

TEST_P(DriverSuite, RefusesTheSameInstanceTwice) {
  Spec spec = host.shell("twice", "sleep 100");
  auto box = host.start(spec);
  auto again = host.try_start(spec);
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code(), Code::conflict);
  host.wait(box->stop(Duration{}));
  ExitInfo exit;
  spec.command = {"true"};
  host.run(spec, &exit);
  EXPECT_TRUE(exit.success());
}

TEST_P(DriverSuite, ConnectsIntoTheProgramAndNowhereElse) {
  Spec one = host.python("one", echo_server);
  Spec two = host.python("two", echo_server);
  auto first = host.start(one);
  auto second = host.start(two);
  auto from_first = host.get(*first, 8000, "/a?b=c");
  auto from_second = host.get(*second, 8000);
  ASSERT_TRUE(from_first.has_value()) << from_first.error().reason();
  ASSERT_TRUE(from_second.has_value()) << from_second.error().reason();
  EXPECT_NE(from_first->find("hello from one/a?b=c"), std::string::npos) << *from_first;
  EXPECT_NE(from_second->find("hello from two/"), std::string::npos) << *from_second;
  auto nothing = host.wait(first->dial(8001));
  ASSERT_FALSE(nothing.has_value());
  EXPECT_EQ(nothing.error().id(), ErrorId::GR0306);
  EXPECT_NE(nothing.error().reason().find("8001"), std::string::npos) << nothing.error().reason();
}

TEST_P(DriverSuite, ServesMoreConnectionsThanThePoolHolds) {
  Spec spec = host.python("burst", R"(
import socket, threading
server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(('127.0.0.1', 8000)); server.listen(1000)
kept = []
while True: kept.append(server.accept()[0])
)");
  spec.limits.open_files = 2048;
  auto box = host.start(spec);
  ASSERT_TRUE(host.dial_when_ready(*box, 8000).has_value());
  std::vector<os::Fd> sockets;
  for (int i = 0; i < 500; ++i) {
    auto socket = host.wait(box->dial(8000));
    ASSERT_TRUE(socket.has_value()) << i << ": " << socket.error().reason();
    sockets.push_back(*std::move(socket));
  }
}

TEST_P(DriverSuite, RefusesToDialOnceItHasEnded) {
  auto box = host.start(host.shell("short", "exit 0"));
  host.wait(box->wait_exit());
  auto socket = host.wait(box->dial(8000));
  ASSERT_FALSE(socket.has_value());
  EXPECT_EQ(socket.error().id(), ErrorId::GR0306);
}

TEST_P(DriverSuite, AcceptsOnAListenerThatTheProgramCannotTake) {
  if (!host.driver->capabilities().listeners) GTEST_SKIP();
  Spec spec = host.python("dock", R"(
import socket
try:
    squat = socket.socket(); squat.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    squat.bind(('127.0.0.1', 7070)); squat.listen(1); print('squatted')
except OSError as e: print('taken', e.errno)
s = socket.create_connection(('127.0.0.1', 7070)); s.sendall(b'ping'); print('got', s.recv(10).decode())
)");
  spec.listeners = {7070};
  auto box = host.start(spec);
  EXPECT_FALSE(box->listener(7071).has_value());
  auto listener = box->listener(7070);
  ASSERT_TRUE(listener.has_value());
  pollfd entry{listener->get(), POLLIN, 0};
  ASSERT_EQ(::poll(&entry, 1, 10'000), 1);
  os::Fd socket(::accept(listener->get(), nullptr, nullptr));
  ASSERT_TRUE(static_cast<bool>(socket));
  char buffer[4];
  EXPECT_EQ(::recv(socket.get(), buffer, 4, MSG_WAITALL), 4);
  EXPECT_EQ(::send(socket.get(), "pong", 4, 0), 4);
  EXPECT_EQ(host.wait(box->wait_exit()).describe(), "exit 0");
  EXPECT_EQ(host.output(spec), "taken 98\ngot pong\n");
}

TEST_P(DriverSuite, GivesACleanEnvironmentAndNoDescriptors) {
  ::setenv("GANTRY_SECRET_OF_THE_HOST", "1", 1);
  Spec spec = host.python("clean", R"(
import os
print(sorted(os.environ))
print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:-1])
print(os.getcwd(), os.getuid(), os.uname().nodename, os.getpid() > 1)
)");
  spec.env = {{"PORT", "8000"}, {"PATH", "/usr/bin"}};
  std::string output = host.run(spec);
  // LC_CTYPE is Python's own.
  EXPECT_NE(output.find("'HOME', 'LANG'"), std::string::npos) << output;
  EXPECT_EQ(output.find("GANTRY"), std::string::npos) << output;
  EXPECT_NE(output.find("'PORT'"), std::string::npos) << output;
  EXPECT_NE(output.find("\n[0, 1, 2]\n"), std::string::npos) << output;
  EXPECT_NE(output.find("/app 1000 clean True"), std::string::npos) << output;
}

TEST_P(DriverSuite, MountsTheAppReadOnlyAndKeepsTheWorkspace) {
  Spec spec = host.python("files", R"(
import os, errno
for path in ['/app/x', '/x', '/usr/x', '/etc/x', '/dev/x', '/run/x', '/var/x']:
    try: open(path, 'w'); print('wrote', path)
    except OSError as e: assert e.errno in (errno.EROFS, errno.EACCES), (path, e)
for path in ['/workspace/kept', '/tmp/gone', '/dev/shm/gone']: open(path, 'w').write('x')
print('done')
)");
  EXPECT_EQ(host.run(spec), "done\n");
  Spec next = host.shell("files", "ls /workspace /tmp");
  next.workspace_dir = spec.workspace_dir;
  EXPECT_EQ(host.run(next), "/tmp:\n\n/workspace:\nkept\n");
}

TEST_P(DriverSuite, ShowsVolumesAndKeepsTheReadOnlyOnesAsTheyAre) {
  // Beside the data directory, where every user may come.
  std::string shared = (std::filesystem::temp_directory_path() / "gantry-shared-XXXXXX").string();
  // SAFETY: mkdtemp(3) writes into the string, which has its length already.
  ASSERT_NE(::mkdtemp(shared.data()), nullptr);
  ASSERT_EQ(::chmod(shared.c_str(), 0777), 0);
  ASSERT_TRUE(os::open_file(shared + "/there", O_WRONLY | O_CREAT).has_value());
  Spec spec = host.python("volumes", R"(
import os
print(sorted(os.listdir('/app')), os.listdir('/app/models'), os.listdir('/out'))
for path in ['/app/models/x', '/app/x', '/x']:
    try: open(path, 'w')
    except OSError as error: print(path, error.strerror)
open('/out/made', 'w').write('x')
)");
  spec.volumes = {{shared, "/app/models", Volume::Access::read_only}, {shared, "/out", Volume::Access::read_write}};
  EXPECT_EQ(host.run(spec),
            "['main.py', 'models'] ['there'] ['there']\n/app/models/x Read-only file system\n"
            "/app/x Read-only file system\n/x Read-only file system\n");
  EXPECT_TRUE(std::filesystem::exists(shared + "/made"));
  ASSERT_EQ(::chmod(shared.c_str(), 0555), 0);
  auto refused = host.try_start(spec);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().id(), ErrorId::GR0301);
  EXPECT_TRUE(refused.error().reason().contains("volume /out")) << refused.error().reason();
  ASSERT_TRUE(os::remove_tree(shared).has_value());
}

TEST_P(DriverSuite, LetsTheProgramEndInItsGrace) {
  Spec spec = host.python("graceful", R"(
import signal, sys, time
def end(*_): print('ending'); sys.exit(3)
signal.signal(signal.SIGTERM, end)
print('ready')
while True: time.sleep(0.05)  # python looks at signals between two calls: one long sleep could begin behind the look
)");
  auto box = host.start(spec);
  ASSERT_TRUE(host.wait_for_output(spec, "ready"));
  ExitInfo exit = host.wait(box->stop(std::chrono::seconds(10)));
  EXPECT_EQ(exit.describe(), "exit 3");
  EXPECT_EQ(host.output(spec), "ready\nending\n");
  // Idempotent.
  EXPECT_EQ(host.wait(box->stop(std::chrono::seconds(10))).describe(), "exit 3");
}

TEST_P(DriverSuite, KillsTheWholeTreeAfterTheGrace) {
  Spec spec = host.python("stubborn", R"(
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: break
print('ready')
while True: time.sleep(60)
)");
  auto box = host.start(spec);
  ASSERT_TRUE(host.wait_for_output(spec, "ready"));
  SteadyTime begin = host.clock.steady();
  ExitInfo exit = host.wait(box->stop(std::chrono::milliseconds(200)));
  EXPECT_EQ(exit.describe(), "signal 9 (SIGKILL)");
  EXPECT_GE(host.clock.steady() - begin, std::chrono::milliseconds(200));
  // The process of the shim is gone, and with it its whole pid namespace.
  EXPECT_FALSE(os::identify_process(box->pid()).has_value());
}

TEST_P(DriverSuite, EndsWithTheProgramAlsoWhenChildrenLiveOn) {
  Spec spec = host.shell("daemonized", "setsid sleep 1000 & exec sh -c 'exit 4'");
  ExitInfo exit;
  host.run(spec, &exit);
  EXPECT_EQ(exit.describe(), "exit 4");
}

TEST_P(DriverSuite, SendsSignals) {
  Spec spec = host.python("signals", R"(
import signal, time
signal.signal(signal.SIGUSR1, lambda *_: print('usr1'))
print('ready')
while True: time.sleep(60)
)");
  auto box = host.start(spec);
  ASSERT_TRUE(host.wait_for_output(spec, "ready"));
  ASSERT_TRUE(host.wait(box->signal(SIGUSR1, SignalTarget::main)).has_value());
  EXPECT_TRUE(host.wait_for_output(spec, "usr1"));
  ASSERT_TRUE(host.wait(box->signal(SIGKILL, SignalTarget::everything)).has_value());
  EXPECT_EQ(host.wait(box->wait_exit()).describe(), "signal 9 (SIGKILL)");
}

TEST_P(DriverSuite, PausesAndResumesWhileConnectionsWait) {
  if (!host.driver->capabilities().pause) GTEST_SKIP();
  Spec spec = host.python("paused", echo_server);
  auto box = host.start(spec);
  ASSERT_TRUE(host.get(*box, 8000).has_value());
  auto paused = host.wait(box->pause());
  ASSERT_TRUE(paused.has_value()) << paused.error().reason();
  auto socket = host.wait(box->dial(8000));
  ASSERT_TRUE(socket.has_value()) << socket.error().reason();
  ASSERT_TRUE(os::write_all(*socket, "GET / HTTP/1.0\r\n\r\n").has_value());
  pollfd entry{socket->get(), POLLIN, 0};
  EXPECT_EQ(::poll(&entry, 1, 200), 0) << "a paused program answered";
  ASSERT_TRUE(host.wait(box->resume()).has_value());
  EXPECT_EQ(::poll(&entry, 1, 10'000), 1);
  // A paused sandbox can be stopped.
  ASSERT_TRUE(host.wait(box->pause()).has_value());
  EXPECT_EQ(host.wait(box->stop(std::chrono::seconds(5))).describe(), "signal 15 (SIGTERM)");
}

TEST_P(DriverSuite, TellsWhatItUses) {
  Spec spec = host.python("busy", "x = bytearray(40 << 20)\nprint('ready')\nwhile True: pass\n");
  auto box = host.start(spec);
  ASSERT_TRUE(host.wait_for_output(spec, "ready"));
  EXPECT_TRUE(SuiteHost::eventually([&] {
    auto stats = host.wait(box->stats());
    return stats && stats->memory > mebibytes(40) && stats->cpu_time > std::chrono::milliseconds(50) && stats->pids > 0;
  }));
}

TEST_P(DriverSuite, ReadsWhatThePogramPrintsFromAPlaceOn) {
  Spec spec = host.shell("prints", "for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf tail");
  host.run(spec);
  auto all = read_logs(spec.instance_dir, {});
  ASSERT_TRUE(all.has_value());
  ASSERT_EQ(all->lines.size(), 7u);
  EXPECT_EQ(std::ranges::count(all->lines, Stream::err, &LogLine::stream), 3);
  EXPECT_EQ(read_logs_before(spec.instance_dir, {}, 1 << 20)->lines.size(), 7u);
  auto part = read_logs(spec.instance_dir, {.max_lines = 4});
  EXPECT_TRUE(part->more);
  auto rest = read_logs(spec.instance_dir, {.after = part->next});
  EXPECT_EQ(part->lines.size() + rest->lines.size(), 7u);
  EXPECT_EQ(read_logs(spec.instance_dir, {.after = rest->next})->lines.size(), 0u);
}

TEST_P(DriverSuite, KeepsLogsBoundedAndTheLatestLines) {
  Spec spec = host.python("loud", "for i in range(60000): print('line', i, 'x' * 100)\n");
  spec.logs = {.file_bytes = mebibytes(1), .files = 3};
  ExitInfo exit;
  host.run(spec, &exit);
  EXPECT_TRUE(exit.success());
  auto used = os::disk_usage(spec.instance_dir / "logs");
  EXPECT_LT(*used, mebibytes(4));
  auto tail = read_logs_before(spec.instance_dir, {}, 1 << 16);
  ASSERT_FALSE(tail->lines.empty());
  EXPECT_TRUE(tail->lines[0].text.starts_with("line 59999 "));
}

TEST_P(DriverSuite, FindsRunningSandboxesAgain) {
  if (!host.driver->capabilities().recover) GTEST_SKIP();
  Spec spec = host.python("survivor", echo_server);
  spec.listeners = {7070};
  auto box = host.start(spec);
  ASSERT_TRUE(host.get(*box, 8000).has_value());
  pid_t pid = box->pid();
  box.reset();
  host.reopen();
  auto recovered = host.wait(host.driver->recover({{spec.id, spec.instance_dir}}, std::chrono::seconds(10)));
  ASSERT_EQ(recovered.attached.size(), 1u);
  auto again = recovered.attached[0];
  EXPECT_EQ(again->pid(), pid);
  EXPECT_EQ(again->id(), spec.id);
  EXPECT_TRUE(again->listener(7070).has_value());
  EXPECT_FALSE(again->achieved().limits.empty());
  EXPECT_TRUE(host.get(*again, 8000).has_value());
  EXPECT_EQ(host.wait(again->stop(std::chrono::seconds(5))).describe(), "signal 15 (SIGTERM)");
}

TEST_P(DriverSuite, ReportsWhatEndedWhileNobodyLooked) {
  if (!host.driver->capabilities().recover) GTEST_SKIP();
  Spec spec = host.shell("ended", "while [ ! -e /workspace/go ]; do sleep 0.05; done; exit 5");
  auto box = host.start(spec);
  pid_t pid = box->pid();
  box.reset();
  host.driver->close();
  ASSERT_TRUE(os::open_file(spec.workspace_dir / "go", O_WRONLY | O_CREAT).has_value());
  EXPECT_TRUE(SuiteHost::eventually([&] { return !os::identify_process(pid).has_value(); }));
  host.open();
  auto recovered = host.wait(host.driver->recover({{spec.id, spec.instance_dir}}, std::chrono::seconds(10)));
  ASSERT_EQ(recovered.dead.size(), 1u);
  EXPECT_EQ(recovered.dead[0].exit.describe(), "exit 5");
}

TEST_P(DriverSuite, EndsByItselfWhenNoDaemonComesBack) {
  if (!host.driver->capabilities().recover) GTEST_SKIP();
  Spec spec = host.shell("orphan", "sleep 1000");
  spec.reattach_window = std::chrono::milliseconds(300);
  auto box = host.start(spec);
  pid_t pid = box->pid();
  box.reset();
  host.driver->close();
  EXPECT_TRUE(SuiteHost::eventually([&] { return !os::identify_process(pid).has_value(); }));
  host.open();
  auto recovered = host.wait(host.driver->recover({{spec.id, spec.instance_dir}}, std::chrono::seconds(10)));
  ASSERT_EQ(recovered.dead.size(), 1u);
  EXPECT_EQ(recovered.dead[0].exit.reason, ExitReason::abandoned);
}

TEST_P(DriverSuite, RemovesWhatNobodyClaims) {
  Spec spec = host.shell("leftover", "sleep 1000");
  pid_t pid = host.start(spec)->pid();
  host.reopen();
  host.wait(host.driver->remove_leftovers({}));
  EXPECT_TRUE(SuiteHost::eventually([&] { return !os::identify_process(pid).has_value(); }));
}

TEST_P(DriverSuite, ProbesWithARealSandbox) {
  auto probe = host.wait(host.driver->probe());
  ASSERT_TRUE(probe.has_value()) << probe.error().reason();
  EXPECT_GT(probe->start_time, Duration{});
  EXPECT_NE(probe->achieved.uid, 0u);
  std::vector<std::string> all{"user", "pid", "mount", "ipc", "uts", "cgroup", "net"};
  EXPECT_EQ(probe->achieved.namespaces, all);
  EXPECT_EQ(probe->achieved.seccomp, Grade::enforced);
}

}  // namespace gantry::sandbox
