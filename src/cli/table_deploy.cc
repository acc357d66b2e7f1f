// Rows of the group "Agents" that bring a spec to the server.
#include "cli/command.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

constexpr std::string_view group = "Agents";

std::vector<Flag> spec_flags() {
  return {
      {"--name", 'n', Value::text, "NAME", "name of the agent: a-z, 0-9 and -, at most 63 characters", ""},
      {"--command", 0, Value::text, "COMMAND", "program to run, split like a shell does, without expansion", ""},
      {"--workdir", 0, Value::directory, "DIR", "directory with the program; mounted read-only at /app", ""},
      {"--env", 'e', Value::pair, "K=V", "environment variable of the program", "", {}, Repeat::many},
      {"--label", 'l', Value::pair, "K=V", "label of the agent", "", {}, Repeat::many},
      {"--port", 0, Value::number, "PORT", "port that the program listens on inside its sandbox, given as $PORT",
       "8000"},
      {"--replicas", 0, Value::number, "N", "instances to keep running", "1"},
      {"--concurrency", 0, Value::number, "N", "requests in flight in one instance; more wait", "16"},
      {"--memory", 0, Value::size, "SIZE", "memory limit of one instance, such as 512Mi", "512Mi"},
      {"--cpu", 0, Value::cpu, "CPU", "CPU limit of one instance, such as 500m or 2", "1"},
      {"--pids", 0, Value::number, "N", "limit of processes and threads of one instance", "128"},
      {"--tmp", 0, Value::size, "SIZE", "size of the private /tmp", "64Mi"},
      {"--workspace", 0, Value::size, "SIZE", "size of the read-write /workspace", "1Gi"},
      {"--health", 0, Value::text, "PATH", "HTTP path that answers 2xx when the program is healthy", "TCP connect"},
      {"--request-timeout", 0, Value::duration, "TIME", "how long one attempt of a request may take", "5m"},
      {"--grace", 0, Value::duration, "TIME", "time between TERM and KILL when an instance stops", "10s"},
      {"--retries", 0, Value::number, "N", "attempts after which a request becomes a dead letter", "5"},
      {"--public", 0, Value::none, "", "answer requests without a key", ""},
      {"--no-persistence", 0, Value::none, "", "pass requests through without the journal", ""},
  };
}

Command deploy() {
  std::vector<Flag> flags = {{"--config",
                              'f',
                              Value::file,
                              "FILE",
                              "YAML with one or several agents, - for stdin; instead of the flags below",
                              "",
                              {},
                              Repeat::many}};
  for (auto& flag : spec_flags()) flags.push_back(flag);
  flags.push_back({"--no-wait", 0, Value::none, "", "return before the agents are ready", ""});
  flags.push_back(timeout_flag("how long to wait until the agents are ready", "2m"));
  flags.push_back(output_flag());
  return {
      .name = "deploy",
      .group = group,
      .summary = "Create or update agents",
      .description =
          "Describes one agent by flags, or several by YAML files. The program is any HTTP server that listens on "
          "$PORT; it needs no change and no SDK. ${NAME} and ${NAME:-default} in YAML are replaced from the "
          "environment, once, here.\n\n"
          "The whole input is checked first: every error names file, line, column, cause and fix, and nothing is sent "
          "if there is one. The directory is packed (a .gantryignore file leaves files out), sent once, and kept by "
          "its digest. The command waits until every agent is ready and prints the address to call.",
      .flags = std::move(flags),
      .examples = {{"gantry deploy --name bot --command \"python3 app.py\" --workdir ./bot", "one agent by flags"},
                   {"gantry deploy --name bot --command \"node app.js\" --workdir ./bot --memory 512Mi --replicas 2",
                    "with limits and two instances"},
                   {"gantry deploy --config agents.yaml", "all agents of a file"},
                   {"gantry deploy --config agents.yaml -o json", "the result for a script"}},
      .advice = {{"Validation failed", "fix what the arrow points at, then gantry validate -f agents.yaml"},
                 {"It does not become ready", "gantry logs NAME"},
                 {"It restarts again and again", "gantry inspect NAME"}},
      .exits = {3, 4, 5, 6, 7, 11, 130},
      .run = run_deploy,
  };
}

Command validate() {
  return {
      .name = "validate",
      .group = group,
      .summary = "Check YAML files without a server",
      .description =
          "Reads every file, replaces ${NAME} from the environment and reports all errors in one pass, each with file, "
          "line, column, cause and fix. Needs no server and changes nothing.",
      .arguments = {{"FILE", Value::file, "file to check, - for stdin", Presence::optional, Repeat::many}},
      .flags = {{"--file", 'f', Value::file, "FILE", "file to check, - for stdin", "", {}, Repeat::many},
                output_flag()},
      .examples = {{"gantry validate -f agents.yaml", "check one file"},
                   {"gantry validate *.yaml -o json", "machine-readable diagnostics"}},
      .advice = {{"The files are valid", "gantry deploy --config agents.yaml"}},
      .exits = {3, 7},
      .run = run_validate,
  };
}

}  // namespace

std::vector<Command> deploy_commands() { return {deploy(), validate()}; }

}  // namespace gantry::cli
