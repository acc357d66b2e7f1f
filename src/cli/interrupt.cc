#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace gantry::cli {
namespace {

std::atomic<bool> only_flag{false};
std::atomic<bool> flag{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

// SAFETY: only async-signal-safe calls (signal-safety(7)): lock-free atomics, write, _exit.
extern "C" void on_signal(int number) {
  if (only_flag.load()) {
    flag.store(true);
    return;
  }
  if (::isatty(STDERR_FILENO) == 1) {
    // Ends the line of a spinner.
    [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, "\n", 1);
  }
  ::_exit(128 + number);
}

}  // namespace

void exit_on_interrupt() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  // No SA_RESTART: a sleep ends when the flag is set.
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

InterruptFlag::InterruptFlag() {
  flag.store(false);
  only_flag.store(true);
}

InterruptFlag::~InterruptFlag() { only_flag.store(false); }

bool InterruptFlag::raised() const { return flag.load(); }

}  // namespace gantry::cli
