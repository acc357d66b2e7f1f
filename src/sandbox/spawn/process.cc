// The hidden role `__spawn`: one thread, a poll loop, and the privileges. It makes control groups, drops to
// the sandbox's uid and executes bubblewrap. Nothing from a network or from a program ever reaches it.
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <set>

#include "sandbox/spawn/protocol.h"

namespace gantry::sandbox {
namespace {

namespace fs = std::filesystem;
using spawn::start_fds;

// Everything in a sandbox is a better victim than the daemon when the machine runs out of memory.
constexpr std::string_view sandbox_oom_score = "300";
// Where unprivileged processes see the shared directories. In a mount namespace of our own, so that
// /tmp of the host stays as it is.
constexpr const char* stage = spawn::covered_directory;

class SpawnProcess {
 public:
  explicit SpawnProcess(os::Fd control) : control_(std::move(control)) {}
  Result<> run();

 private:
  Result<spawn::Ready> prepare(const spawn::Setup& setup);
  Result<std::vector<fs::path>> show_shared(const std::vector<fs::path>& shared);
  Result<> serve();
  void obey(const json::Value& message, std::vector<os::Fd> fds);
  Result<json::Object> perform(std::string_view op, const json::Value& message, std::vector<os::Fd>& fds);
  Result<json::Object> start(const json::Value& message, std::vector<os::Fd>& fds);
  [[noreturn]] void become_bwrap(const spawn::Start& start, const os::Cgroup& group, std::vector<os::Fd>& fds);
  void release(const json::Value& message);
  void reap();
  Result<> send(json::Object message) { return os::send_packet(control_, json::serialize(std::move(message))); }

  os::Fd control_;
  os::Fd children_;
  os::CgroupTree tree_;
  fs::path bwrap_;
  std::set<pid_t> starting_;  // bubblewrap processes whose end the daemon wants to know
};

Result<> SpawnProcess::run() {
  // Orphaned shims become our children, so that somebody reaps them while we live.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  GANTRY_TRY(children_, os::open_signal_fd({SIGCHLD}));
  // Ends with the daemon, not with its terminal: the daemon decides what happens to sandboxes.
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) std::signal(number, SIG_IGN);
  // The shims inherit it: they hand out sockets by the dozen.
  static_cast<void>(os::raise_descriptor_limit());
  os::Packet packet;
  GANTRY_TRY(os::Arrival arrival, os::receive_packet(control_, spawn::max_message, packet));
  if (arrival != os::Arrival::packet) return {};
  GANTRY_TRY(json::Value message, json::parse(packet.bytes));
  GANTRY_TRY(spawn::Setup setup, spawn::setup_from_json(message));
  auto ready = prepare(setup);
  json::Object answer = ready ? spawn::to_json(*ready) : json::Object{{"error", spawn::to_json(ready.error())}};
  answer["op"] = "ready";
  GANTRY_TRY_VOID(send(std::move(answer)));
  auto served = serve();
  tree_.remove_if_empty();
  return served;
}

Result<spawn::Ready> SpawnProcess::prepare(const spawn::Setup& setup) {
  spawn::Ready ready;
  bwrap_ = setup.bwrap;
  GANTRY_TRY(os::CgroupPlaces places, os::find_cgroup_places());
  tree_ = os::CgroupTree::prepare(
      places, {.name = setup.group_name, .ours = {setup.daemon, getpid()}, .may_leave_own = geteuid() == 0});
  ready.abilities = tree_.abilities();
  ready.group_reason = tree_.reason();
  ready.visible = setup.shared;
  if (geteuid() == 0) {
    GANTRY_TRY(ready.visible, show_shared(setup.shared));
  }
  return ready;
}

// The data directory may be below a directory that only root enters (/root): unprivileged processes get
// it at another place, in a mount namespace that only this process and its children have.
Result<std::vector<fs::path>> SpawnProcess::show_shared(const std::vector<fs::path>& shared) {
  if (unshare(CLONE_NEWNS) != 0) return shared;  // a container's root may not: the paths must do
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return fail_errno("make mounts private");
  // Before the stage covers what may be below it.
  std::vector<os::Fd> roots;
  for (const fs::path& path : shared) {
    os::Fd& root = roots.emplace_back(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) return fail_errno("open " + path.string());
  }
  if (mount("gantry", stage, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=64k") != 0)
    return fail_errno("mount a stage for shared directories");
  std::vector<fs::path> visible;
  for (size_t i = 0; i < roots.size(); ++i) {
    fs::path& place = visible.emplace_back(fs::path(stage) / std::to_string(i));
    std::string source = fmt::format("/proc/self/fd/{}", roots[i].get());
    if (mkdir(place.c_str(), 0755) != 0) return fail_errno("make " + place.string());
    // The stage lies upon what it covers and would come along.
    const unsigned long flags = shared[i] == stage ? MS_BIND : MS_BIND | MS_REC;
    if (mount(source.c_str(), place.c_str(), nullptr, flags, nullptr) != 0)
      return fail_errno("show " + shared[i].string());
  }
  return visible;
}

Result<> SpawnProcess::serve() {
  for (;;) {
    pollfd entries[] = {{control_.get(), POLLIN, 0}, {children_.get(), POLLIN, 0}};
    if (poll(entries, 2, -1) < 0 && errno != EINTR) return fail_errno("poll");
    if (entries[1].revents != 0) reap();
    if (entries[0].revents == 0) continue;
    os::Packet packet;
    auto arrival = os::receive_packet(control_, spawn::max_message, packet);
    if (!arrival) return std::unexpected(std::move(arrival).error());
    if (*arrival == os::Arrival::end) return {};
    if (*arrival == os::Arrival::nothing) continue;
    GANTRY_TRY(json::Value message, json::parse(packet.bytes));
    obey(message, std::move(packet.fds));
  }
}

void SpawnProcess::obey(const json::Value& message, std::vector<os::Fd> fds) {
  std::string op = json::get_string_or(message, "op", "").value_or("");
  if (op == "release") {
    release(message);
    return;
  }
  auto done = perform(op, message, fds);
  json::Object answer = done ? *std::move(done) : json::Object{{"error", spawn::to_json(done.error())}};
  answer["op"] = "answer";
  answer["serial"] = json::get_uint_or(message, "serial", 0).value_or(0);
  // A daemon that does not read is about to be gone; the loop sees its end.
  static_cast<void>(send(std::move(answer)));
}

Result<json::Object> SpawnProcess::perform(std::string_view op, const json::Value& message, std::vector<os::Fd>& fds) {
  if (op == "start") return start(message, fds);
  if (op == "list") {
    json::Array names;
    for (const std::string& name : tree_.list()) names.emplace_back(name);
    return json::Object{{"names", std::move(names)}};
  }
  GANTRY_TRY(std::string name, json::get_string(message, "name"));
  os::Cgroup group = tree_.at(name);
  Result<> done = fail(Code::internal, "the spawn process does not know '{}'", op);
  if (op == "freeze") done = group.freeze();
  if (op == "thaw") done = group.thaw();
  if (op == "kill") done = group.kill();
  if (op == "remove") done = group.remove();
  if (!done) return std::unexpected(std::move(done).error());
  return json::Object{};
}

Result<> apply_limits(const os::Cgroup& group, const Limits& limits) {
  if (limits.memory.count > 0 && !group.abilities.memory.empty()) GANTRY_TRY_VOID(group.limit_memory(limits.memory));
  if (limits.cpu.count > 0 && !group.abilities.cpu.empty()) GANTRY_TRY_VOID(group.limit_cpu(limits.cpu));
  if (limits.pids > 0 && !group.abilities.pids.empty()) GANTRY_TRY_VOID(group.limit_pids(limits.pids));
  return {};
}

Result<json::Object> SpawnProcess::start(const json::Value& message, std::vector<os::Fd>& fds) {
  GANTRY_TRY(spawn::Start wanted, spawn::start_from_json(message));
  if (fds.size() != start_fds) return fail(Code::internal, "a start needs {} descriptors", start_fds);
  if (geteuid() == 0 && wanted.uid == 0) return fail(Code::internal, "a sandbox never runs as root");
  GANTRY_TRY(os::Cgroup group, tree_.make(wanted.name));
  if (auto limited = apply_limits(group, wanted.limits); !limited) {
    static_cast<void>(group.remove());
    return std::unexpected(std::move(limited).error().wrap("set a limit"));
  }
  pid_t pid = fork();
  if (pid == 0) become_bwrap(wanted, group, fds);
  if (pid < 0) {
    auto failure = fail_errno("fork");
    static_cast<void>(group.remove());
    return failure;
  }
  starting_.insert(pid);
  return json::Object{{"pid", pid}, {"group", spawn::to_json(group)}};
}

// Says what failed where the daemon looks for bubblewrap's own messages.
[[noreturn]] void give_up(std::string_view what) {
  std::string text = errno_error(errno, what).reason() + "\n";
  ssize_t ignored = ::write(STDERR_FILENO, text.data(), text.size());
  static_cast<void>(ignored);
  _exit(1);
}

// SAFETY: runs in the child of a single-threaded process, so every call is allowed between fork and exec.
void SpawnProcess::become_bwrap(const spawn::Start& start, const os::Cgroup& group, std::vector<os::Fd>& fds) {
  int errors = fds[static_cast<size_t>(spawn::StartFd::errors)].get();
  if (dup2(errors, STDOUT_FILENO) < 0 || dup2(errors, STDERR_FILENO) < 0) _exit(1);
  if (auto joined = group.join(); !joined) {
    errno = EPERM;
    give_up(joined.error().reason());
  }
  if (auto score = os::open_file("/proc/self/oom_score_adj", O_WRONLY))
    static_cast<void>(os::write_all(*score, sandbox_oom_score));
  // First out of the way, then to their numbers: 3, 4, 5 for the shim and 6 for the arguments.
  for (size_t i = 0; i < start_fds; ++i) {
    int high = fcntl(fds[i].get(), F_DUPFD_CLOEXEC, 64);
    if (high < 0) give_up("duplicate a descriptor");
    fds[i] = os::Fd(high);
  }
  for (size_t i = 0; i + 1 < start_fds; ++i)
    if (dup2(fds[i].get(), 3 + static_cast<int>(i)) < 0) give_up("place a descriptor");
  if (geteuid() == 0) {
    if (setgroups(0, nullptr) != 0) give_up("drop groups");
    if (setresgid(start.uid, start.uid, start.uid) != 0) give_up("change the group");
    if (setresuid(start.uid, start.uid, start.uid) != 0) give_up("change the user");
  }
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) std::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::string numbered = std::to_string(spawn::arguments_fd);
  execl(bwrap_.c_str(), "bwrap", "--args", numbered.c_str(), "--", spawn::shim_place, static_cast<char*>(nullptr));
  give_up("execute " + bwrap_.string());
}

// bubblewrap's outer process only waits. Without it the shim is our child, which saves memory for each
// sandbox and lets the shim live on when we end.
void SpawnProcess::release(const json::Value& message) {
  auto pid = json::get_int(message, "pid");
  if (!pid || !starting_.contains(static_cast<pid_t>(*pid))) return;
  // Not reaped yet, so the number is still its own.
  ::kill(static_cast<pid_t>(*pid), SIGKILL);
  starting_.erase(static_cast<pid_t>(*pid));
}

void SpawnProcess::reap() {
  while (os::read_signal(children_).value_or(0) != 0) {
  }
  for (;;) {
    int status = 0;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    if (starting_.erase(pid) > 0) static_cast<void>(send({{"op", "ended"}, {"pid", pid}, {"status", status}}));
  }
}

}  // namespace

int spawn_process_main(int control_fd) {
  // Named so that `ps` tells what it is.
  prctl(PR_SET_NAME, "gantry-spawn");
  os::ignore_broken_pipes();
  return SpawnProcess(os::Fd(control_fd)).run() ? 0 : 1;
}

}  // namespace gantry::sandbox
