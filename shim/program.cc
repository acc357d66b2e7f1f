#include "shim/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace gantry::shim {
namespace {

// linux/filter.h; spelled out because musl's headers do not have it.
struct FilterProgram {
  unsigned short count;
  const void* instructions;
};
constexpr int seccomp_mode_filter = 2;
constexpr unsigned close_range_cloexec = 1U << 2;  // linux/close_range.h

// How the child tells what failed; the pipe closes by itself at execve.
struct Failure {
  Stage stage;
  int32_t error;
};

[[noreturn]] void give_up(int report, Stage stage) {
  Failure failure{stage, errno};
  // Nobody can be told if this fails; the exit code says it as well.
  ssize_t ignored = write(report, &failure, sizeof failure);
  static_cast<void>(ignored);
  _exit(127);
}

const char* find_path(const Config& config) {
  for (size_t i = 0; i < config.environment_count; ++i)
    if (strncmp(config.environment[i], "PATH=", 5) == 0) return config.environment[i] + 5;
  return "/usr/local/bin:/usr/bin:/bin";
}

// execvp(3) with the PATH of the program, not ours. Returns with errno.
void execute(Config& config) {
  const char* name = config.arguments[0];
  if (strchr(name, '/') != nullptr) {
    execve(name, config.arguments, config.environment);
    return;
  }
  static char candidate[4096];
  size_t name_size = strlen(name) + 1;
  int error = ENOENT;
  for (const char* path = find_path(config);;) {
    const char* end = strchrnul(path, ':');
    auto size = static_cast<size_t>(end - path);
    if (size > 0 && size + 1 + name_size <= sizeof candidate) {
      memcpy(candidate, path, size);
      candidate[size] = '/';
      memcpy(candidate + size + 1, name, name_size);
      execve(candidate, config.arguments, config.environment);
      // A file that is there but may not be executed is the better answer than "not found".
      if (errno != ENOENT && errno != ENOTDIR) error = errno;
    }
    if (*end == '\0') break;
    path = end + 1;
  }
  errno = error;
}

void reset_signals() {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void become_program(Config& config, int report, const Stdio& stdio) {
  setsid();
  reset_signals();
  umask(022);
  int input = stdio.input >= 0 ? stdio.input : open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (input < 0 || dup2(input, 0) < 0 || dup2(stdio.output, 1) < 0 || dup2(stdio.errors, 2) < 0)
    give_up(report, Stage::pipe);
  if (stdio.is_terminal && ioctl(0, TIOCSCTTY, 0) != 0) give_up(report, Stage::terminal);
  // SAFETY: plain system call; marks everything but stdio, the report pipe included.
  if (syscall(SYS_close_range, 3U, ~0U, close_range_cloexec) != 0) give_up(report, Stage::pipe);
  if (chdir(config.directory) != 0) give_up(report, Stage::directory);
  for (size_t i = 0; i < config.limit_count; ++i) {
    const ResourceLimit& limit = config.limits[i];
    rlimit value{limit.soft, limit.hard};
    if (setrlimit(static_cast<int>(limit.resource), &value) != 0) give_up(report, Stage::limits);
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) give_up(report, Stage::seccomp);
  for (size_t i = 0; i < config.filter_count; ++i) {
    FilterProgram filter{config.filters[i].count, config.filters[i].instructions};
    if (prctl(PR_SET_SECCOMP, seccomp_mode_filter, &filter) != 0) give_up(report, Stage::seccomp);
  }
  execute(config);
  give_up(report, Stage::exec);
}

// Reads what the child reports; nothing and the end of the pipe mean that execve succeeded.
Failure wait_for_exec(int report) {
  Failure failure{Stage::none, 0};
  ssize_t got;
  do {
    got = read(report, &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got != sizeof failure) failure = {Stage::none, 0};
  return failure;
}

}  // namespace

StartedProgram start_program(Config& config, const Stdio& stdio) {
  StartedProgram program{-1, Stage::pipe, 0};
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) {
    program.error = errno;
    return program;
  }
  program.pid = fork();
  if (program.pid == 0) become_program(config, report[1], stdio);
  program.stage = program.pid < 0 ? Stage::fork : Stage::none;
  program.error = program.pid < 0 ? errno : 0;
  close(report[1]);
  if (program.pid > 0) {
    Failure failure = wait_for_exec(report[0]);
    program.stage = failure.stage;
    program.error = failure.error;
  }
  close(report[0]);
  return program;
}

StartedProgram start_with_pipes(Config& config, Outputs& outputs) {
  outputs = {-1, -1};
  int output[2];
  int errors[2];
  if (pipe2(output, O_CLOEXEC) != 0 || pipe2(errors, O_CLOEXEC) != 0) return {-1, Stage::pipe, errno};
  StartedProgram program = start_program(config, {-1, output[1], errors[1], false});
  close(output[1]);
  close(errors[1]);
  outputs = {output[0], errors[0]};
  fcntl(outputs.output, F_SETFL, O_NONBLOCK);
  fcntl(outputs.errors, F_SETFL, O_NONBLOCK);
  return program;
}

}  // namespace gantry::shim
