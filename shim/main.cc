// gantry-shim: pid 1 of every sandbox. It starts one program, makes sockets in the sandbox's network and
// hands them out, writes the program's output to bounded logs, and ends with the program. Static, no
// allocation, no C++ runtime: it is the only code of ours inside. The conversation is in protocol.h.
//
// It trusts the daemon and nothing else. The program runs with the same uid, so the shim is not dumpable
// (no ptrace, no /proc/1/fd), every descriptor is close-on-exec, and pid 1 cannot be killed from inside.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shim/channel.h"
#include "shim/config.h"
#include "shim/logs.h"
#include "shim/probe.h"
#include "shim/program.h"
#include "shim/runs.h"
#include "shim/text.h"
#include "shim/usage.h"

namespace gantry::shim {
namespace {

constexpr int64_t never = INT64_MAX;
constexpr int64_t configure_patience_ms = 60'000;
constexpr uint64_t default_reattach_ms = 30'000;

// Everything that changes while the shim runs. One thread, one instance: no need for more than statics.
struct State {
  int control = -1;  // -1 while there is no daemon
  int signals = -1;
  StartedProgram program{-1, Stage::none, 0};
  Outputs outputs{-1, -1};
  bool main_ended = false;
  int wait_status = 0;
  uint64_t cpu_us = 0;
  uint64_t max_rss_kib = 0;
  bool stopping = false;
  int64_t kill_at = never;       // steady ms: when the grace ends
  int64_t reconnect_at = never;  // steady ms: next attempt
  int64_t abandon_at = never;    // steady ms: end of the re-attach window
  int listeners[max_listeners];
};
State state;
Config config;

int64_t steady_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

void prepare() {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  for (int fd = control_fd; fd <= logs_fd; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
  // SAFETY: plain system call; nothing above the inherited descriptors is ours.
  syscall(SYS_close_range, static_cast<unsigned>(logs_fd) + 1, ~0U, 0);
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  state.signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  state.control = control_fd;
}

void say_hello() {
  Message message{};
  memcpy(message.hello.instance, config.instance, sizeof message.hello.instance);
  message.hello.main_pid = state.program.pid > 0 ? state.program.pid : 0;
  message.hello.listeners = static_cast<uint32_t>(config.listener_count);
  int fds[1 + max_listeners];
  fds[0] = make_tcp_socket();
  memcpy(fds + 1, state.listeners, config.listener_count * sizeof(int));
  send_message(state.control, MessageType::hello, message, fds, fds[0] < 0 ? 0 : 1 + config.listener_count);
  if (fds[0] >= 0) close(fds[0]);
}

// Before the program runs, a daemon that goes away leaves nothing worth keeping.
bool wait_for_configuration(Message& message, Descriptors& descriptors) {
  pollfd entry{state.control, POLLIN, 0};
  if (poll(&entry, 1, configure_patience_ms) != 1) return false;
  return receive_message(state.control, message, descriptors) == Received::message &&
         message.type == MessageType::configure && descriptors.count == 1;
}

bool report_start(Stage stage, int error, size_t listeners) {
  Message message{};
  message.started.stage = stage;
  message.started.error = error;
  message.started.main_pid = state.program.pid;
  return send_message(state.control, MessageType::started, message, state.listeners, listeners) && stage == Stage::none;
}

bool configure_and_start() {
  Message message;
  Descriptors descriptors;
  if (!wait_for_configuration(message, descriptors)) return false;
  if (int error = read_config(descriptors.fds[0], message.bytes, config); error != 0)
    return report_start(Stage::configuration, error, 0);
  // Before the program, so that it cannot take the ports.
  for (size_t i = 0; i < config.listener_count; ++i) {
    state.listeners[i] = make_listener(config.listeners[i]);
    if (state.listeners[i] < 0) return report_start(Stage::listener, errno, 0);
  }
  open_logs(config.logs);
  state.program = start_with_pipes(config, state.outputs);
  return report_start(state.program.stage, state.program.error, config.listener_count);
}

void send_sockets(uint32_t wanted) {
  int fds[max_sockets];
  Message message{};
  uint32_t count = 0;
  for (; count < wanted && count < max_sockets; ++count)
    if ((fds[count] = make_tcp_socket()) < 0) break;
  message.count = count;
  send_message(state.control, MessageType::sockets, message, fds, count);
  for (uint32_t i = 0; i < count; ++i) close(fds[i]);
}

void write_exit(const Exited& exited) {
  char line[128];
  Text text(line, sizeof line);
  text.add_number(static_cast<uint64_t>(exited.reason));
  const uint64_t numbers[] = {static_cast<uint64_t>(exited.wait_status), static_cast<uint64_t>(exited.unix_ms),
                              exited.cpu_us, exited.max_rss_kib};
  for (uint64_t number : numbers) {
    text.add(" ");
    text.add_number(number);
  }
  text.add("\n");
  constexpr char temporary[] = "exit.new";
  int file = openat(logs_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return;
  bool complete = write(file, line, text.size()) == static_cast<ssize_t>(text.size());
  close(file);
  if (complete) renameat(logs_fd, temporary, logs_fd, exit_name);
}

void note_main(int status, const rusage& use) {
  state.main_ended = true;
  state.wait_status = status;
  state.max_rss_kib = static_cast<uint64_t>(use.ru_maxrss);
}

enum class Left { some, none };
// Reaps whoever has ended; orphans of the sandbox are children of pid 1.
Left reap(int flags) {
  for (;;) {
    int status = 0;
    rusage use{};
    pid_t pid = wait4(-1, &status, flags, &use);
    if (pid == 0) return Left::some;
    if (pid < 0) return errno == EINTR ? Left::some : Left::none;
    if (pid == state.program.pid)
      note_main(status, use);
    else
      note_run(state.control, pid, status);
  }
}

[[noreturn]] void finish(EndReason reason) {
  kill(-1, SIGKILL);
  while (reap(0) == Left::some) {
  }
  // Every writer is dead: the pipes hold the rest and then end.
  while (log_from(state.outputs.output, Stream::out) == Piped::data) {
  }
  while (log_from(state.outputs.errors, Stream::err) == Piped::data) {
  }
  rusage all{};
  getrusage(RUSAGE_CHILDREN, &all);
  Message message{};
  message.exited.reason = reason;
  message.exited.wait_status = state.wait_status;
  message.exited.unix_ms = unix_ms();
  message.exited.cpu_us = static_cast<uint64_t>(all.ru_utime.tv_sec + all.ru_stime.tv_sec) * 1000000 +
                          static_cast<uint64_t>(all.ru_utime.tv_usec + all.ru_stime.tv_usec);
  message.exited.max_rss_kib = state.max_rss_kib;
  write_exit(message.exited);
  if (state.control >= 0) send_message(state.control, MessageType::exited, message, nullptr, 0);
  _exit(0);
}

void lose_control() {
  close(state.control);
  state.control = -1;
  kill_runs();
  int64_t now = steady_ms();
  // A daemon that hangs up before it said welcome does not extend the window, and is not asked at once again.
  state.reconnect_at = state.abandon_at == never ? now : now + reconnect_ms;
  if (state.abandon_at == never) state.abandon_at = now + static_cast<int64_t>(config.reattach_ms);
}

void reconnect() {
  state.control = connect_control();
  if (state.control < 0) {
    state.reconnect_at = steady_ms() + reconnect_ms;
    return;
  }
  state.reconnect_at = never;
  say_hello();
}

void stop(uint32_t grace_ms) {
  int64_t kill_at = steady_ms() + grace_ms;
  if (kill_at < state.kill_at) state.kill_at = kill_at;
  state.stopping = true;
  kill(-1, SIGTERM);
  kill(-1, SIGCONT);
}

void send_signal(const Signal& signal) {
  if (signal.target == Target::everything)
    kill(-1, signal.number);
  else if (!state.main_ended)
    kill(state.program.pid, signal.number);
}

void obey(const Message& message, Descriptors& descriptors) {
  Message answer{};
  switch (message.type) {
    case MessageType::welcome:
      state.abandon_at = never;
      break;
    case MessageType::want_sockets:
      send_sockets(message.count);
      break;
    case MessageType::signal:
      send_signal(message.signal);
      break;
    case MessageType::stop:
      stop(message.grace_ms);
      break;
    case MessageType::kill:
      finish(EndReason::killed);
    case MessageType::run:
      start_run(state.control, message.run, descriptors, config);
      break;
    case MessageType::run_signal:
      signal_run(message.run_signal);
      break;
    case MessageType::want_usage:
      answer.usage = measure_usage();
      send_message(state.control, MessageType::usage, answer, nullptr, 0);
      break;
    default:
      break;
  }
}

void read_control() {
  for (;;) {
    Message message;
    Descriptors descriptors;
    Received received = receive_message(state.control, message, descriptors);
    if (received == Received::nothing) return;
    if (received == Received::end) {
      lose_control();
      return;
    }
    obey(message, descriptors);
    close_all(descriptors);
  }
}

int poll_timeout() {
  int64_t next = state.kill_at;
  if (state.reconnect_at < next) next = state.reconnect_at;
  if (state.abandon_at < next) next = state.abandon_at;
  if (next == never) return -1;
  int64_t wait = next - steady_ms();
  return wait < 0 ? 0 : static_cast<int>(wait < 60'000 ? wait : 60'000);
}

void check_deadlines() {
  int64_t now = steady_ms();
  if (now >= state.kill_at) {
    kill(-1, SIGKILL);
    state.kill_at = never;
  }
  if (now >= state.abandon_at) finish(state.main_ended ? EndReason::ended : EndReason::abandoned);
  if (now >= state.reconnect_at) reconnect();
}

// With a stop under way the rest of the tree has its grace too; otherwise the sandbox ends with the program.
void check_children() {
  signalfd_siginfo info;
  while (read(state.signals, &info, sizeof info) > 0) {
  }
  Left left = reap(WNOHANG);
  if (state.main_ended && (!state.stopping || left == Left::none)) finish(EndReason::ended);
}

void drain(int& pipe, Stream stream) {
  if (log_from(pipe, stream) != Piped::end) return;
  // The program closed it; poll would report that forever.
  close(pipe);
  pipe = -1;
}

[[noreturn]] void run() {
  for (;;) {
    pollfd entries[] = {{state.signals, POLLIN, 0},
                        {state.control, POLLIN, 0},
                        {state.outputs.output, POLLIN, 0},
                        {state.outputs.errors, POLLIN, 0}};
    int ready = poll(entries, 4, poll_timeout());
    if (ready > 0) {
      if (entries[2].revents != 0) drain(state.outputs.output, Stream::out);
      if (entries[3].revents != 0) drain(state.outputs.errors, Stream::err);
      if (entries[1].revents != 0) read_control();
      if (entries[0].revents != 0) check_children();
    }
    check_deadlines();
  }
}

}  // namespace
}  // namespace gantry::shim

int main(int count, char** arguments) {
  using namespace gantry::shim;
  if (count == 2 && strcmp(arguments[1], "__probe") == 0) return print_probe();
  prepare();
  config.reattach_ms = default_reattach_ms;
  say_hello();
  if (!configure_and_start()) return 1;
  // stdio belonged to bubblewrap; the shim has nothing to say there.
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd <= 2; ++fd) dup2(nothing, fd);
  if (nothing > 2) close(nothing);
  run();
}
