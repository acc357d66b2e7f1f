// Rows of the group "Server".
#include "cli/command.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

constexpr std::string_view group = "Server";

Command demo() {
  return {
      .name = "demo",
      .group = group,
      .summary = "Watch two real programs survive SIGKILL, in under 30 s",
      .description =
          "Starts a server of its own on a free port with a temporary data directory, deploys a Python and a Node "
          "program that know nothing of Gantry, and sends them durable requests. While they work it kills first an "
          "agent and then the server itself with SIGKILL, starts the server again and waits for every answer.\n\n"
          "The figures at the end are counted by the agents themselves. The command fails if any figure does not fit. "
          "Everything that it started is gone afterwards, also after Ctrl-C.\n\n"
          "Needs python3, and node for the second agent; without node it says so and goes on with one.",
      .flags = {{"--requests", 'n', Value::number, "N", "durable requests to send to each agent", "24"}, output_flag()},
      .examples = {{"gantry demo", "show it"}, {"gantry demo -o json", "only the figures, for a script"}},
      .advice = {{"It says that sandboxes cannot be started", "gantry doctor"},
                 {"You want the same with your own program", "gantry up --detach"}},
      .exits = {11, 130},
      .run = run_demo,
  };
}

Command up() {
  return {
      .name = "up",
      .group = group,
      .summary = "Start the server",
      .description =
          "Runs the server in this terminal until Ctrl-C or SIGTERM, which drain and stop it. With --detach it runs "
          "in the background and the command returns once the server is ready.\n\n"
          "When the server is ready it prints one line on stdout; with -o json that line is "
          "{\"url\": …, \"key_file\": …, \"pid\": …}. The server listens on this machine only and wants its key on "
          "every call; other commands find both in the data directory.",
      .flags = {{"--listen", 0, Value::text, "HOST:PORT", "address to listen on; port 0 lets the kernel pick",
                 "127.0.0.1:8081"},
                {"--detach", 'd', Value::none, "", "run in the background and return when ready", ""},
                {"--log-level",
                 0,
                 Value::choice,
                 "LEVEL",
                 "how much the server logs to stderr",
                 "info",
                 {"debug", "info", "warn", "error", "off"}},
                {"--log-format", 0, Value::choice, "FORMAT", "form of the log lines", "json", {"json", "text"}},
                {"--encryption-key-file", 0, Value::file, "FILE", "master key for encryption at rest", "none"},
                {"--io-threads", 0, Value::number, "N", "threads that serve connections", "one for each core"},
                {"--journal-segment-size", 0, Value::size, "SIZE", "size of one file of the journal", "64Mi"},
                {"--request-body-limit", 0, Value::size, "SIZE", "largest body of a request", "1Gi"},
                {"--retention", 0, Value::duration, "TIME",
                 "how long finished requests are kept where the agent does not say otherwise", "30d"},
                timeout_flag("how long --detach waits for the server to be ready", "30s"),
                {"--output",
                 'o',
                 Value::choice,
                 "FORMAT",
                 "form of the line that is printed when ready",
                 "text",
                 {"text", "json"}}},
      .examples = {{"gantry up", "run in this terminal"},
                   {"gantry up --detach", "run in the background"},
                   {"gantry up --data /tmp/try --listen 127.0.0.1:0 -o json", "a second server for a test"}},
      .advice = {{"Another server already uses the data directory", "gantry status"},
                 {"The address is in use", "gantry up --listen 127.0.0.1:0"},
                 {"It does not become ready", "gantry doctor"}},
      .exits = {4, 5, 6, 7, 11, 12, 130},
      .run = run_up,
  };
}

Command down() {
  return {
      .name = "down",
      .group = group,
      .summary = "Stop the server",
      .description =
          "Asks the server to drain and stop and waits until its process is gone. Requests that are not finished stay "
          "in the journal and go on after the next start. Nothing is killed by force unless --kill is given and the "
          "time is up.",
      .flags = {timeout_flag("how long to wait for the server to stop", "60s"),
                {"--kill", 0, Value::none, "", "send SIGKILL to a local server that has not stopped in time", ""},
                output_flag()},
      .examples = {{"gantry down", "stop the server of ~/.gantry"},
                   {"gantry down --timeout 5s --kill", "stop it, by force after 5 s"}},
      .advice = {{"It is still draining when the time is up", "gantry requests list --status processing"}},
      .exits = {4, 6, 11, 130},
      .run = run_down,
  };
}

Command status() {
  return {
      .name = "status",
      .group = group,
      .summary = "Show the server and what it holds",
      .description =
          "Prints where the server is, how long it runs, and how many agents, instances and requests it has.",
      .flags = {watch_flag(), interval_flag(), output_flag()},
      .examples = {{"gantry status", "one look"}, {"gantry status -o json", "for a script"}},
      .advice = {{"No server is running", "gantry up --detach"}, {"Something is degraded", "gantry list"}},
      .exits = {4, 11, 130},
      .run = run_status,
  };
}

Command encryption() {
  return {
      .name = "encryption",
      .group = group,
      .summary = "Show and rotate the keys of encryption at rest",
      .description =
          "With a master key configured (gantry up --encryption-key-file), the server seals bodies, headers and "
          "everything else in the journal with a data key for each scope, and keeps the data keys sealed by the master "
          "key.",
      .advice = {{"You want to know whether data is encrypted", "gantry encryption status"}},
  };
}

Command encryption_status() {
  return {
      .name = "encryption status",
      .group = group,
      .summary = "Show the keys that the server encrypts with",
      .description =
          "Prints the fingerprint of the master key, since when it is in use, and the data keys of each scope. No key "
          "is "
          "shown.",
      .flags = {output_flag()},
      .examples = {{"gantry encryption status", "is this server encrypted, and under which key"}},
      .advice = {{"Nothing is encrypted", "gantry up --encryption-key-file FILE"}},
      .exits = {4, 11},
      .run = run_encryption_status,
  };
}

Command encryption_rotate() {
  return {
      .name = "encryption rotate",
      .group = group,
      .summary = "Seal what comes with new keys",
      .description =
          "Makes a new data key for each scope; what is stored already stays readable. With --new-key-file the key in "
          "that file becomes the master key: all data keys are wrapped again in one transaction, and from then on the "
          "server starts with the new file only. Requests go on meanwhile.\n\n"
          "The server reads the file, so it lies on the server's machine and nobody else may read it.",
      .flags = {{"--new-key-file", 0, Value::file, "FILE", "file that holds the new master key", "keep the master key"},
                output_flag()},
      .examples = {{"gantry encryption rotate", "new data keys, same master key"},
                   {"gantry encryption rotate --new-key-file /etc/gantry/next.key", "a new master key"}},
      .advice = {{"Afterwards, for the next start", "gantry config set encryption_key_file FILE"}},
      .exits = {4, 5, 7, 11},
      .run = run_encryption_rotate,
  };
}

Command doctor() {
  return {
      .name = "doctor",
      .group = group,
      .summary = "Check that this machine and the server are fit",
      .description =
          "Tries what Gantry needs and tells what it got. The local checks need no server; when one is running its own "
          "checks follow. With --storage it prints what uses space in the data directory.\n\n"
          "Exits with 1 if a check fails; a warning does not fail it.",
      .flags = {{"--storage", 0, Value::none, "", "show what uses space", ""}, output_flag()},
      .examples = {{"gantry doctor", "all checks"}, {"gantry doctor --storage", "what uses space"}},
      .advice = {{"A check fails", "follow the hint beside it, then run gantry doctor again"}},
      .exits = {4, 11},
      .run = run_doctor,
  };
}

Command version() {
  return {
      .name = "version",
      .group = group,
      .summary = "Print the version of this program and of the server",
      .description =
          "Prints version, commit and build of this binary, and those of the server if one is running; with -o wide or "
          "json "
          "also the format of the journal, which decides whether a data directory can be opened.",
      .flags = {output_flag()},
      .examples = {{"gantry version", "for a bug report"}, {"gantry version -o name", "only the number"}},
      .run = run_version,
  };
}

}  // namespace

std::vector<Command> server_commands() {
  return {demo(), up(), down(), status(), encryption(), encryption_status(), encryption_rotate(), doctor(), version()};
}

}  // namespace gantry::cli
