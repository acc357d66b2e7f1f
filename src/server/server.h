// The server: composition root of all roles and the HTTP surface.
//
//   serve     builds everything in order, runs until it is told to stop, takes it down in the opposite order
//   Ready     what is known once the server answers
//
// This folder is the only one that names drivers. Files: composition.h builds and owns the parts, api.h routes and
// authenticates requests, api_*.cc serve one group of routes each, doctor.cc tells the truth about this machine. What
// an operation does is in the features below; here it is only read from the request and written to the answer.
//
// One server uses a data directory at a time (a lock). SIGTERM, SIGINT and `POST /v1/server/shutdown` drain and stop:
// no new connections, requests in flight may end within the drain time, the rest is given back to the journal.
//
// Example (main.cc):
//
//   return server::serve({.config = options.config, .version = "0.1.0", .announce = print_ready});
#pragma once

#include <functional>
#include <string>

#include "base/base.h"
#include "config/config.h"

namespace gantry::server {

/// What is known once the server answers.
struct Ready {
  std::string url;       ///< `http://127.0.0.1:8081`, with the real port
  std::string key_file;  ///< the root key, mode 0600
  int pid = 0;
};

/// Whether the log goes to stderr beside its file.
enum class StderrLog {
  on,
  off,  ///< stderr is a file that nobody rotates: it gets what is written before the log is open, and last words
};

/// What a server is made of.
struct ServeOptions {
  config::Config config;
  std::string version;
  std::string commit;
  std::string build;
  StderrLog stderr_log = StderrLog::on;
  /// Called once, on the main thread, when the server answers.
  std::function<void(const Ready&)> announce;
};

/// The format of the journal that this build writes, and the newest that it reads.
uint32_t journal_format();

/// Runs until told to stop. GR0001 if another server uses the data directory. Blocks; for the main thread, before any
/// other thread was started.
Result<void> serve(ServeOptions options);

}  // namespace gantry::server
