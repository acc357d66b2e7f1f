// What a person types: the `gantry` command line.
//
//   run(argc, argv, environment)   parses, runs one command, returns the exit code of SPEC section 10
//   Environment                    everything the command line may touch of the process around it
//   UpOptions                      what `gantry up` hands to the server
//
// Why a door with so few words: the command line reaches the product only through the HTTP API, so
// every ability of it is an ability of the API. The one exception is `gantry up`, which turns this
// process into the server; `main.cc` lends that as a function, so that this folder does not include
// the server. One table (command.h) holds every command; help, "did you mean", shell completion, the
// man page and docs/reference/cli.md are made from it.
//
// Owner: main.cc builds the Environment and outlives the call. Threads: everything runs on the
// calling thread; an API call runs the HTTP client on an io_context of its own there.
// stdout gets data and nothing else; every other word goes to stderr.
//
// Example (main.cc):
//
//   gantry::SystemClock clock;
//   gantry::SystemRandom random;
//   auto environment = gantry::cli::process_environment(clock, random);
//   environment.build = {.version = "0.1.0", .commit = "68cf76f", .build = "release"};
//   environment.run_server = [&](const gantry::cli::UpOptions& options) { return serve(options); };
//   return gantry::cli::run(argc, argv, environment);
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

#include "base/base.h"
#include "config/config.h"

namespace gantry::cli {

/// What this binary is; `gantry version` prints it.
struct BuildInfo {
  std::string version;
  std::string commit;
  std::string build;            ///< `release`, `dev`, `asan` …
  uint32_t journal_format = 0;  ///< of the files that it writes, and the newest that it reads
};

/// How the server announces that it is ready: one line on stdout.
enum class Announce {
  text,  ///< `ready at http://127.0.0.1:8081 …`
  json,  ///< `{"url": …, "key_file": …, "pid": …}`
};

/// Who started this process as the server.
enum class StartedBy {
  person,   ///< a terminal or a service manager: the log goes to stderr, too
  command,  ///< `up --detach` or the demo: why it could not start is told on stdout, the log goes to its file only
};

/// What `gantry up` hands to the server when this process becomes it.
struct UpOptions {
  /// Every setting, from flags, environment and files: data directory, listen address, log level …
  config::Config config;
  /// What the one line on stdout looks like.
  Announce announce = Announce::text;
  StartedBy started_by = StartedBy::person;
};

class Keys;  // keys.h

/// What a stream is connected to.
enum class Device {
  terminal,
  other,  ///< a pipe, a file or nothing
};

/// Whether Ctrl-C came while waiting.
enum class Interrupted { no, yes };

/// Whose SIGINT and SIGTERM are.
enum class Signals {
  ours,     ///< `run` makes them end the process with 130
  callers,  ///< `run` leaves them alone: tests
};

/// The process around the command line. Streams, clock and random outlive the Environment.
struct Environment {
  std::istream* in = nullptr;
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  Device in_device = Device::other;
  Device out_device = Device::other;
  Device err_device = Device::other;
  /// Columns and lines of the terminal; 0 when stdout is none, which turns shortening off.
  uint32_t width = 0;
  uint32_t height = 0;
  Clock* clock = nullptr;
  Random* random = nullptr;
  /// The value of an environment variable; nullopt if it is not set.
  std::function<std::optional<std::string>(std::string_view)> variable;
  /// Waits that long: between two looks of `--watch` and of a wait for readiness.
  std::function<Interrupted(Duration)> pause;
  /// Takes the keyboard for a command that stays on the screen; empty if there is none.
  std::function<Result<std::unique_ptr<Keys>>()> open_keys;
  Signals signals = Signals::ours;
  std::filesystem::path working_directory;
  /// Runs the server in this process until it is told to stop; returns the exit code, or why it could not start.
  std::function<Result<int>(const UpOptions&)> run_server;
  BuildInfo build;
  /// This program, for `up --detach` and `demo`, which start it again.
  std::filesystem::path self;
};

/// The real one: std streams, isatty(3), TIOCGWINSZ, getenv(3), /proc/self/exe. The caller fills
/// `run_server` and `build`.
Environment process_environment(Clock& clock, Random& random);

/// Runs one command line and returns its exit code (SPEC section 10). Never throws; every error has
/// been printed to `environment.err` with its reason, a hint and its id.
int run(int argc, const char* const* argv, Environment& environment);

/// Prints an error as `run` does (reason, id, hint) and returns its exit code: for what fails in main.cc.
int report(const Error& error, Environment& environment);

}  // namespace gantry::cli
