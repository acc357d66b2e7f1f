#include "os/process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>

#include "os/file.h"

extern char** environ;

namespace gantry::os {
namespace {

// posix_spawn's C structs, freed on every path.
struct SpawnActions {
  SpawnActions() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnActions() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

void reset_signals(posix_spawnattr_t& attributes, Session session) {
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (session == Session::own) flags |= POSIX_SPAWN_SETSID;
  posix_spawnattr_setflags(&attributes, flags);
}

Result<std::optional<int>> wait_for(const Fd& pidfd, int flags) {
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | flags) != 0)
    if (errno != EINTR) return fail_errno("wait for a process");
  if (info.si_pid == 0) return std::nullopt;
  // The encoding of wait(2): exit code in the second byte, signal in the low seven bits.
  return info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f;
}

}  // namespace

Result<Process> spawn_process(const SpawnOptions& options) {
  SpawnActions actions;
  reset_signals(actions.attributes, options.session);
  // First out of the way of every target number, so that no mapping overwrites the source of another.
  std::vector<Fd> lifted;
  int free_number = 3;
  for (const FdMapping& mapping : options.fds) free_number = std::max(free_number, mapping.to + 1);
  for (const FdMapping& mapping : options.fds) {
    Fd& high = lifted.emplace_back(::fcntl(mapping.from, F_DUPFD_CLOEXEC, free_number));
    if (!high) return fail_errno("duplicate a descriptor for a child");
    posix_spawn_file_actions_adddup2(&actions.files, high.get(), mapping.to);
  }
  auto arguments = options.arguments;
  auto environment = options.environment.value_or(std::vector<std::string>{});
  auto argv = pointers_to(arguments);
  auto envp = pointers_to(environment);
  Process child;
  int error = posix_spawn(&child.pid, options.program.c_str(), &actions.files, &actions.attributes, argv.data(),
                          options.environment ? envp.data() : environ);
  if (error != 0) return std::unexpected(errno_error(error, "start " + options.program.string()));
  auto pidfd = open_pidfd(child.pid);
  if (!pidfd) {
    // Nobody could wait for it: do not leave it behind.
    ::kill(child.pid, SIGKILL);
    ::waitpid(child.pid, nullptr, 0);
    return std::unexpected(std::move(pidfd).error());
  }
  child.pidfd = *std::move(pidfd);
  return child;
}

Result<Fd> open_pidfd(pid_t pid) {
  // SAFETY: a plain system call; glibc 2.36 has no wrapper that Debian's headers declare for C++.
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) return fail_errno(fmt::format("open process {}", pid));
  return fd;
}

Result<> signal_process(const Fd& pidfd, int number) {
  // SAFETY: a plain system call with no siginfo.
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0) != 0) return fail_errno("signal a process");
  return {};
}

Result<bool> process_ended(const Fd& pidfd) {
  pollfd entry{pidfd.get(), POLLIN, 0};
  for (;;) {
    int ready = ::poll(&entry, 1, 0);
    if (ready >= 0) return ready == 1;
    if (errno != EINTR) return fail_errno("poll a process");
  }
}

Result<std::optional<int>> reap_process(const Fd& pidfd) { return wait_for(pidfd, WNOHANG); }

Result<int> wait_process(const Fd& pidfd) {
  GANTRY_TRY(auto status, wait_for(pidfd, 0));
  return status.value_or(0);
}

Result<uint64_t> raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("read the limit on descriptors");
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("raise the limit on descriptors");
  return limit.rlim_max;
}

std::optional<uint64_t> start_ticks_of_stat(std::string_view stat) {
  // The second field is the program's name in parentheses and may hold spaces and parentheses itself.
  size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  stat.remove_prefix(name_end + 1);
  std::string_view field;
  for (int number = 3; number <= 22; ++number) {
    if (stat.empty()) return std::nullopt;
    stat.remove_prefix(1);  // the space before it
    size_t end = std::min(stat.find(' '), stat.size());
    field = stat.substr(0, end);
    stat.remove_prefix(end);
  }
  uint64_t ticks = 0;
  auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), ticks);
  if (error != std::errc{} || end != field.data() + field.size()) return std::nullopt;
  return ticks;
}

Result<ProcessIdentity> identify_process(pid_t pid) {
  std::filesystem::path directory = "/proc/" + std::to_string(pid);
  GANTRY_TRY(Fd root, open_directory(directory));
  GANTRY_TRY(Fd file, open_file_at(root, "stat", O_RDONLY));
  GANTRY_TRY(std::string stat, read_fd(file, kibibytes(4)));
  auto ticks = start_ticks_of_stat(stat);
  if (!ticks) return fail(Code::internal, "malformed /proc/{}/stat", pid);
  // The owner of /proc/PID is root for a process that is not dumpable, so the uid comes from `status`.
  GANTRY_TRY(Fd status_file, open_file_at(root, "status", O_RDONLY));
  GANTRY_TRY(std::string status, read_fd(status_file, kibibytes(16)));
  size_t line = status.find("\nUid:\t");
  size_t tab = line == std::string::npos ? line : status.find('\t', line + 6);
  if (tab == std::string::npos) return fail(Code::internal, "malformed /proc/{}/status", pid);
  uid_t uid = 0;
  auto [end, error] = std::from_chars(status.data() + tab + 1, status.data() + status.size(), uid);
  if (error != std::errc{}) return fail(Code::internal, "malformed /proc/{}/status", pid);
  return ProcessIdentity{pid, *ticks, uid};
}

std::vector<pid_t> process_tree(pid_t root, size_t most) {
  std::vector<pid_t> tree{root};
  for (size_t next = 0; next < tree.size() && tree.size() < most; ++next) {
    std::error_code failed;
    std::filesystem::path tasks = fmt::format("/proc/{}/task", tree[next]);
    // Each thread lists its own children.
    for (const auto& task : std::filesystem::directory_iterator(tasks, failed)) {
      auto text = read_file(task.path() / "children", kibibytes(256));
      if (!text) continue;
      for (const char *at = text->data(), *end = at + text->size(); at < end && tree.size() < most;) {
        pid_t pid = 0;
        auto [rest, error] = std::from_chars(at, end, pid);
        if (error != std::errc{}) break;
        tree.push_back(pid);
        at = rest + 1;
      }
    }
  }
  return tree;
}

}  // namespace gantry::os
