// gantry: one binary, its role decided by the first word.
//
//   gantry __spawn     the single-threaded process that starts sandboxes for a server
//   gantry up          this process becomes the server
//   anything else      the command line, a client of the server's API
#include <cstdio>
#include <string_view>

#include "base/base.h"
#include "cli/cli.h"
#include "sandbox/sandbox.h"
#include "server/server.h"

#ifndef GANTRY_VERSION
#define GANTRY_VERSION "0.0.0"
#endif
#ifndef GANTRY_COMMIT
#define GANTRY_COMMIT "unknown"
#endif
#ifndef GANTRY_BUILD
#define GANTRY_BUILD "dev"
#endif

namespace {

using namespace gantry;

// The file descriptor that the sandbox driver gives its spawn process (sandbox/sandbox.h).
constexpr int spawn_socket = 3;

void announce(const server::Ready& ready, cli::Announce how) {
  if (how == cli::Announce::json)
    std::printf("{\"url\":\"%s\",\"key_file\":\"%s\",\"pid\":%d}\n", ready.url.c_str(), ready.key_file.c_str(),
                ready.pid);
  else
    std::printf("gantry is ready at %s (pid %d, key in %s)\n", ready.url.c_str(), ready.pid, ready.key_file.c_str());
  std::fflush(stdout);
}

Result<int> serve(const cli::UpOptions& options) {
  const bool has_terminal_or_service = options.started_by == cli::StartedBy::person;
  GANTRY_TRY_VOID(server::serve({.config = options.config,
                                 .version = GANTRY_VERSION,
                                 .commit = GANTRY_COMMIT,
                                 .build = GANTRY_BUILD,
                                 .stderr_log = has_terminal_or_service ? server::StderrLog::on : server::StderrLog::off,
                                 .announce = [&](const server::Ready& ready) { announce(ready, options.announce); }}));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "__spawn") return sandbox::spawn_process_main(spawn_socket);
  SystemClock clock;
  SystemRandom random;
  cli::Environment environment = cli::process_environment(clock, random);
  environment.build = {.version = GANTRY_VERSION,
                       .commit = GANTRY_COMMIT,
                       .build = GANTRY_BUILD,
                       .journal_format = server::journal_format()};
  environment.run_server = serve;
  return cli::run(argc, argv, environment);
}
