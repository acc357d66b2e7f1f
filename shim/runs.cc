#include "shim/runs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shim/program.h"

namespace gantry::shim {
namespace {

// asm-generic/ioctls.h; spelled out because musl's headers do not have it.
constexpr int get_peer = 0x5441;  // TIOCGPTPEER

struct Running {
  pid_t pid;  // 0: a free place
  uint32_t id;
};
Running running[max_runs];
Config config;

struct Terminal {
  int master;
  int program;  // the program's end
};

// A new terminal of the sandbox's own devpts, so that the program finds it by its name.
bool open_terminal(const Run& run, Terminal& terminal) {
  terminal.master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal.master < 0) return false;
  int unlocked = 0;
  winsize size{run.rows, run.columns, 0, 0};
  if (ioctl(terminal.master, TIOCSPTLCK, &unlocked) == 0 && ioctl(terminal.master, TIOCSWINSZ, &size) == 0)
    terminal.program = ioctl(terminal.master, get_peer, O_RDWR | O_NOCTTY | O_CLOEXEC);
  return terminal.program >= 0;
}

Running* find_place() {
  for (Running& place : running)
    if (place.pid == 0) return &place;
  return nullptr;
}

// Takes the first descriptor, which is the configuration.
int configure(const Run& run, Descriptors& descriptors, const Config& main) {
  int file = descriptors.fds[0];
  descriptors.fds[0] = descriptors.fds[--descriptors.count];
  if (int error = read_config(file, run.bytes, config); error != 0) return error;
  return inherit_config(config, main);
}

StartedProgram start(const Run& run, Descriptors& descriptors, const Config& main, Terminal& terminal) {
  const uint32_t expected = run.terminal != 0 ? 1 : max_received_fds;
  if (descriptors.count != expected) return {-1, Stage::pipe, EINVAL};
  // In their places before the configuration is taken out: stdin, stdout, stderr.
  const int* fds = descriptors.fds;
  Stdio stdio{fds[1], fds[2], fds[3], false};
  if (int error = configure(run, descriptors, main); error != 0) return {-1, Stage::configuration, error};
  if (run.terminal != 0) {
    if (!open_terminal(run, terminal)) return {-1, Stage::terminal, errno};
    stdio = {terminal.program, terminal.program, terminal.program, true};
  }
  return start_program(config, stdio);
}

}  // namespace

void start_run(int control, const Run& run, Descriptors& descriptors, const Config& main) {
  Terminal terminal{-1, -1};
  StartedProgram program{-1, Stage::fork, EAGAIN};
  Running* place = find_place();
  if (place != nullptr) program = start(run, descriptors, main, terminal);
  release_config(config);
  close_all(descriptors);
  if (terminal.program >= 0) close(terminal.program);
  bool started = program.pid > 0 && program.stage == Stage::none;
  if (started) *place = {program.pid, run.id};
  Message answer{};
  answer.ran = {run.id, program.stage, program.error, program.pid};
  send_message(control, MessageType::ran, answer, &terminal.master, started && terminal.master >= 0 ? 1 : 0);
  if (terminal.master >= 0) close(terminal.master);
}

void note_run(int control, pid_t pid, int wait_status) {
  for (Running& place : running) {
    if (place.pid != pid) continue;
    Message message{};
    message.run_ended = {place.id, wait_status};
    place.pid = 0;
    if (control >= 0) send_message(control, MessageType::run_ended, message, nullptr, 0);
    return;
  }
}

void signal_run(const RunSignal& signal) {
  for (const Running& place : running)
    if (place.pid != 0 && place.id == signal.id) kill(-place.pid, signal.number);
}

void kill_runs() {
  for (Running& place : running) {
    if (place.pid != 0) kill(-place.pid, SIGKILL);
    place.pid = 0;  // the next daemon counts its runs anew
  }
}

}  // namespace gantry::shim
