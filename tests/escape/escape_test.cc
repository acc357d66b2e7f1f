// Runs every attempt of attempts.py in a sandbox of its own, beside a neighbour that serves HTTP and with
// bait on the host, and judges by what happened outside: whatever an attempt prints, the bait must be
// untouched and the neighbour must answer, before, during and after. `escape_test NAME…` runs some of them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>

#include "sandbox/suite_host.h"
#include "shim/protocol.h"

namespace gantry::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr auto attempt_patience = std::chrono::seconds(8);
// Only the daemon stands between these and a full disk: they end when it ends them, however slow the machine is.
const std::set<std::string> fillers{"fill_workspace", "fill_unlinked", "inode_bomb"};
constexpr auto filler_patience = std::chrono::minutes(2);
constexpr auto answer_patience = std::chrono::seconds(5);
constexpr Bytes disk_bound = mebibytes(400);  // of everything that the attempts may leave at any time
constexpr std::string_view secret = "the-host-s-secret-7c1f";

std::set<std::string> chosen;  // names from the command line; empty means all

struct Attempt {
  std::string name, kind, how;
};

std::vector<Attempt> list_attempts() {
  std::vector<Attempt> attempts;
  FILE* listing = ::popen("/usr/bin/python3 " ESCAPE_ATTEMPTS " --list", "r");
  std::array<char, 512> line;
  while (std::fgets(line.data(), line.size(), listing) != nullptr) {
    std::string text = line.data();
    size_t first = text.find('\t');
    size_t second = text.find('\t', first + 1);
    attempts.push_back({text.substr(0, first), text.substr(first + 1, second - first - 1),
                        text.substr(second + 1, text.size() - second - 2)});
  }
  ::pclose(listing);
  return attempts;
}

// A socket of the host that nothing inside may ever reach.
class Bait {
 public:
  Bait(int family, const void* address, socklen_t size) : fd_(::socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    // SAFETY: the caller passes the address type of the family.
    GANTRY_CHECK(::bind(fd_.get(), static_cast<const sockaddr*>(address), size) == 0);
    GANTRY_CHECK(::listen(fd_.get(), 16) == 0);
  }
  static Bait on_any_port() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    return {AF_INET, &address, sizeof address};
  }
  static Bait on_path(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    Bait bait(AF_UNIX, &address, sizeof address);
    ::chmod(path.c_str(), 0666);
    return bait;
  }
  static Bait abstract(const std::string& name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path + 1, sizeof address.sun_path - 2);
    return {AF_UNIX, &address, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())};
  }
  uint16_t port() const {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size);  // SAFETY: an AF_INET socket
    return ntohs(address.sin_port);
  }
  bool taken() const { return static_cast<bool>(os::Fd(::accept(fd_.get(), nullptr, nullptr))); }

 private:
  os::Fd fd_;
};

// An address of the machine that is not loopback, if it has one.
std::string host_address() {
  ifaddrs* list = nullptr;
  std::string found = "127.0.0.1";
  if (::getifaddrs(&list) != 0) return found;
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    const auto* address = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);  // SAFETY: the family says so
    uint32_t bits = ntohl(address->sin_addr.s_addr);
    if (bits >> 24 != 127)
      found = fmt::format("{}.{}.{}.{}", bits >> 24, bits >> 16 & 255, bits >> 8 & 255, bits & 255);
  }
  ::freeifaddrs(list);
  return found;
}

constexpr std::string_view neighbour_program = R"(
import http.server, os
open('/workspace/secret', 'w').write('neighbour')
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open('/workspace/secret').read().encode()
        self.send_response(200); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 8000), Handler)
print('ready', flush=True)
server.serve_forever()
)";

std::unique_ptr<Driver> make(DriverParts parts, DriverOptions options) {
  return make_bubblewrap_driver(parts, std::move(options));
}

class Escape : public testing::Test {
 protected:
  Escape()
      : tcp(Bait::on_any_port()),
        path(Bait::on_path((bait_directory() / "host.sock").string())),
        abstract(Bait::abstract("gantry-escape-" + std::to_string(::getpid()))) {
    write(bait_directory() / "secret", secret);
    remember_machine();
    neighbour_spec = host.python("neighbour", neighbour_program);
    neighbour = host.start(neighbour_spec);
    attempts_text = *os::read_file(ESCAPE_ATTEMPTS, mebibytes(1));
  }
  ~Escape() override { static_cast<void>(os::remove_tree(bait_directory())); }

  // Outside of the data directory and open to everybody: only the sandbox is in the way.
  static fs::path bait_directory() {
    static const fs::path directory = [] {
      std::string pattern = "/var/tmp/gantry-bait-XXXXXX";
      GANTRY_CHECK(mkdtemp(pattern.data()) != nullptr);
      ::chmod(pattern.c_str(), 0755);
      return fs::path(pattern);
    }();
    return directory;
  }
  static void write(const fs::path& file, std::string_view text) {
    auto out = os::open_file(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    GANTRY_CHECK(out.has_value() && os::write_all(*out, text).has_value());
    ::chmod(file.c_str(), 0644);
  }

  // Files that no attempt may change, with their content.
  void remember_machine() {
    for (const char* file :
         {"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname",
          "/proc/sys/kernel/domainname", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/vm/overcommit_memory",
          "/etc/passwd", "/usr/bin/env", "/proc/swaps", ESCAPE_ATTEMPTS})
      if (auto content = os::read_file(file, mebibytes(8))) machine[file] = *content;
    machine[bait_directory() / "secret"] = secret;
    fs::path shim = host.options.run_dir / "gantry-shim";
    machine[shim] = *os::read_file(shim, mebibytes(1));
  }

  void expect_machine_unchanged() {
    for (const auto& [file, content] : machine) EXPECT_TRUE(os::read_file(file, mebibytes(8)) == content) << file;
    EXPECT_FALSE(tcp.taken()) << "a sandbox connected to the host's loopback";
    EXPECT_FALSE(path.taken()) << "a sandbox connected to a Unix socket of the host";
    EXPECT_FALSE(abstract.taken()) << "a sandbox connected to an abstract socket of the host";
    for (const char* file : {"/usr/bin/escaped", "/usr/lib/escaped", "/escaped", "/etc/ld.so.preload.escaped"})
      EXPECT_FALSE(fs::exists(file)) << file;
  }

  void expect_neighbour_answers() {
    SteadyTime begin = host.clock.steady();
    auto answer = host.get(*neighbour, 8000);
    ASSERT_TRUE(answer.has_value()) << answer.error().reason();
    EXPECT_TRUE(answer->ends_with("neighbour")) << *answer;
    slowest_answer = std::max(slowest_answer, host.clock.steady() - begin);
    EXPECT_LT(host.clock.steady() - begin, answer_patience);
  }

  Spec spec_for(const Attempt& attempt) {
    Spec spec = host.python("attempt", "");
    write(spec.app_dir / "attempts.py", attempts_text);
    spec.command = {"/usr/bin/python3", "-u", "attempts.py", attempt.name};
    spec.limits = {.memory = mebibytes(96),
                   .cpu = {700},
                   .pids = 32,
                   .tmp = mebibytes(8),
                   .workspace = mebibytes(32),
                   .open_files = 256};
    spec.logs = {.file_bytes = mebibytes(1), .files = 2};
    spec.listeners = {7070};
    spec.env = {{"SECRET_PATH", (bait_directory() / "secret").string()},
                {"NEIGHBOUR_PID", std::to_string(neighbour->pid())},
                {"NEIGHBOUR_WORKSPACE", neighbour_spec.workspace_dir.string()},
                {"DAEMON_PID", std::to_string(::getpid())},
                {"HOST_PORT", std::to_string(tcp.port())},
                {"HOST_ADDRESS", host_address()},
                {"HOST_SOCKET", (bait_directory() / "host.sock").string()},
                {"ABSTRACT_SOCKET", "gantry-escape-" + std::to_string(::getpid())},
                {"CONTROL_SOCKET", (host.options.run_dir / shim::control_name).string()}};
    return spec;
  }

  // The daemon's own look into the workspace, as it would answer a request for a file there.
  void expect_no_way_through_links(const Spec& spec) {
    auto root = os::open_directory(spec.workspace_dir);
    ASSERT_TRUE(root.has_value());
    auto file = os::open_beneath(*root, "link", O_RDONLY, os::Beneath::regular_file);
    if (file) EXPECT_EQ(os::read_fd(*file, kibibytes(64)).value_or("").find(secret), std::string::npos);
  }

  // One word about the attempt, for the table.
  std::string judge(const Attempt& attempt, const Spec& spec, const ExitInfo& exit) {
    std::string output = host.output(spec);
    EXPECT_EQ(output.find(secret), std::string::npos) << output;
    EXPECT_EQ(output.find("ESCAPED"), std::string::npos) << output;
    EXPECT_EQ(output.find("Traceback"), std::string::npos) << output;
    if (fillers.contains(attempt.name)) EXPECT_EQ(exit.reason, ExitReason::workspace) << exit.describe();
    size_t at = output.rfind("blocked");
    if (at == std::string::npos) at = output.rfind("contained");
    if (at != std::string::npos) return output.substr(at, output.find('\n', at) - at);
    // Those that use everything up may be ended before they can say anything.
    bool expected = attempt.kind == "resources" || attempt.name.starts_with("kill_");
    EXPECT_TRUE(expected) << "it said nothing and ended with " << exit.describe() << "\n" << output;
    return "ended: " + exit.describe();
  }

  void run(const Attempt& attempt) {
    Spec spec = spec_for(attempt);
    auto box = host.start(spec);
    ASSERT_NE(box, nullptr);
    SteadyTime deadline =
        host.clock.steady() + (fillers.contains(attempt.name) ? Duration(filler_patience) : Duration(attempt_patience));
    while (!box->exited() && host.clock.steady() < deadline) expect_neighbour_answers();
    ExitInfo exit = host.wait(box->stop(std::chrono::milliseconds(100)));
    std::string word = judge(attempt, spec, exit);
    expect_neighbour_answers();
    expect_machine_unchanged();
    expect_no_way_through_links(spec);
    EXPECT_FALSE(os::identify_process(box->pid()).has_value()) << "the sandbox is still there";
    auto used = os::disk_usage(host.root);
    EXPECT_TRUE(used && *used < disk_bound) << format_bytes(used.value_or(Bytes{}));
    fmt::print("{:18} {:18} {:64} {}\n", attempt.kind, attempt.name, attempt.how, word);
    for (const fs::path& directory : {spec.workspace_dir, spec.instance_dir, spec.app_dir}) remove_all(directory);
  }

  // Workspaces may be nested deeper than the daemon goes; `rm` has no such bound.
  static void remove_all(const fs::path& directory) {
    os::SpawnOptions how{.program = "/bin/rm", .arguments = {"rm", "-rf", "--", directory.string()}};
    auto child = os::spawn_process(how);
    if (child) static_cast<void>(os::wait_process(child->pidfd));
  }

  SuiteHost host{DriverCase{"bubblewrap", &make}};
  Bait tcp, path, abstract;
  Spec neighbour_spec;
  std::shared_ptr<Sandbox> neighbour;
  std::string attempts_text;
  std::map<fs::path, std::string> machine;
  Duration slowest_answer{};
};

TEST_F(Escape, IsImpossibleByEveryKnownWay) {
  ::setenv("GANTRY_HOST_SECRET", secret.data(), 1);
  std::vector<Attempt> attempts = list_attempts();
  ASSERT_GE(attempts.size(), 60u);
  ASSERT_TRUE(neighbour != nullptr && host.wait_for_output(neighbour_spec, "ready"));
  for (const Attempt& attempt : attempts) {
    if (!chosen.empty() && !chosen.contains(attempt.name)) continue;
    SCOPED_TRACE(attempt.name);
    run(attempt);
    if (HasFatalFailure()) return;
  }
  fmt::print("{} attempts; the neighbour's slowest answer took {}\n", attempts.size(),
             format_duration_short(slowest_answer));
}

}  // namespace
}  // namespace gantry::sandbox

int main(int count, char** arguments) {
  if (count == 2 && std::string_view(arguments[1]) == "__spawn") return gantry::sandbox::spawn_process_main(3);
  testing::InitGoogleTest(&count, arguments);
  for (int i = 1; i < count; ++i) gantry::sandbox::chosen.insert(arguments[i]);
  return RUN_ALL_TESTS();
}
