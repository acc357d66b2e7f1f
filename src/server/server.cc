#include "server/server.h"

#include <signal.h>

#include "server/composition.h"

namespace gantry::server {
namespace {

// Blocks the signals that mean "stop" in this thread and, inherited, in every thread that is started later, so that
// only sigwait below takes them. SIGPIPE is an errno for us.
sigset_t block_stop_signals() {
  sigset_t signals;
  // SAFETY: plain POSIX calls on a local set, before any other thread exists.
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return signals;
}

}  // namespace

uint32_t journal_format() { return journal::segments_format(); }

Result<void> serve(ServeOptions options) {
  sigset_t signals = block_stop_signals();
  auto announce = options.announce;
  Composition composition(std::move(options));
  auto started = composition.start();
  if (!started) {
    composition.stop();
    return std::unexpected(std::move(started).error().wrap("start the server"));
  }
  announce(composition.ready());
  int signal = 0;
  do {
    // SAFETY: the set is blocked in all threads.
    if (::sigwait(&signals, &signal) != 0) break;
  } while (signal == SIGHUP);
  composition.log().info("stopping", telemetry::field("signal", signal));
  composition.stop();
  return {};
}

}  // namespace gantry::server
