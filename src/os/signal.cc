#include "os/signal.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

namespace gantry::os {

std::string_view signal_name(int number) {
  switch (number) {
#define GANTRY_SIGNAL(name) \
  case name:                \
    return #name;
    GANTRY_SIGNAL(SIGHUP)
    GANTRY_SIGNAL(SIGINT)
    GANTRY_SIGNAL(SIGQUIT)
    GANTRY_SIGNAL(SIGILL)
    GANTRY_SIGNAL(SIGTRAP)
    GANTRY_SIGNAL(SIGABRT)
    GANTRY_SIGNAL(SIGBUS)
    GANTRY_SIGNAL(SIGFPE)
    GANTRY_SIGNAL(SIGKILL)
    GANTRY_SIGNAL(SIGUSR1)
    GANTRY_SIGNAL(SIGSEGV)
    GANTRY_SIGNAL(SIGUSR2)
    GANTRY_SIGNAL(SIGPIPE)
    GANTRY_SIGNAL(SIGALRM)
    GANTRY_SIGNAL(SIGTERM)
    GANTRY_SIGNAL(SIGSTKFLT)
    GANTRY_SIGNAL(SIGCHLD)
    GANTRY_SIGNAL(SIGCONT)
    GANTRY_SIGNAL(SIGSTOP)
    GANTRY_SIGNAL(SIGTSTP)
    GANTRY_SIGNAL(SIGTTIN)
    GANTRY_SIGNAL(SIGTTOU)
    GANTRY_SIGNAL(SIGURG)
    GANTRY_SIGNAL(SIGXCPU)
    GANTRY_SIGNAL(SIGXFSZ)
    GANTRY_SIGNAL(SIGVTALRM)
    GANTRY_SIGNAL(SIGPROF)
    GANTRY_SIGNAL(SIGWINCH)
    GANTRY_SIGNAL(SIGIO)
    GANTRY_SIGNAL(SIGPWR)
    GANTRY_SIGNAL(SIGSYS)
#undef GANTRY_SIGNAL
    default:
      return "unknown signal";
  }
}

void ignore_broken_pipes() {
  // SAFETY: SIG_IGN is no handler, so nothing of ours runs in signal context.
  ::signal(SIGPIPE, SIG_IGN);
}

Result<Fd> open_signal_fd(std::initializer_list<int> numbers) {
  sigset_t set;
  sigemptyset(&set);
  for (int number : numbers) sigaddset(&set, number);
  if (int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0)
    return std::unexpected(errno_error(error, "block signals"));
  Fd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno("open a signal descriptor");
  return fd;
}

Result<int> read_signal(const Fd& signal_fd) {
  signalfd_siginfo info{};
  for (;;) {
    ssize_t got = ::read(signal_fd.get(), &info, sizeof info);
    if (got == sizeof info) return static_cast<int>(info.ssi_signo);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return 0;
    return fail_errno("read a signal");
  }
}

}  // namespace gantry::os
