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
      {"--depends-on",
       0,
       Value::agent,
       "NAME",
       "agent that must be ready before this one is started",
       "",
       {},
       Repeat::many},
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

Flag prune_flag(std::string_view about) { return {"--prune", 0, Value::none, "", about, ""}; }
Flag dry_run_flag() { return {"--dry-run", 0, Value::none, "", "print the plan and change nothing", ""}; }

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
  flags.push_back(dry_run_flag());
  flags.push_back(prune_flag("at the end remove agents of the same stack that the files describe no more; asks first"));
  flags.push_back(yes_flag());
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
          "its digest. The command waits until every agent is ready and prints the address to call.\n\n"
          "Agents are deployed one after the other, each behind those it depends on. If one fails, those before it are "
          "as "
          "the file says and the others as they were; the same command again goes on. What is as the file says already "
          "is not touched. An AgentDeployment is a stack: its name stays with its agents as the label gantry/stack, "
          "and "
          "--prune removes agents of no other stack.",
      .flags = std::move(flags),
      .examples = {{"gantry deploy --name bot --command \"python3 app.py\" --workdir ./bot", "one agent by flags"},
                   {"gantry deploy --name bot --command \"node app.js\" --workdir ./bot --memory 512Mi --replicas 2",
                    "with limits and two instances"},
                   {"gantry deploy --config agents.yaml", "all agents of a file"},
                   {"gantry deploy --config agents.yaml --dry-run", "what it would do"},
                   {"gantry deploy --config agents.yaml --prune --yes", "and remove what the file has no more"},
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
                {"--output",
                 'o',
                 Value::choice,
                 "FORMAT",
                 "form of the output; sarif is for code hosts and editors",
                 "table",
                 {"table", "wide", "json", "jsonl", "yaml", "name", "sarif"}}},
      .examples = {{"gantry validate -f agents.yaml", "check one file"},
                   {"gantry validate *.yaml -o json", "machine-readable diagnostics"},
                   {"gantry validate *.yaml -o sarif > agents.sarif", "for a code host"}},
      .advice = {{"The files are valid", "gantry deploy --config agents.yaml"}},
      .exits = {3, 7},
      .run = run_validate,
  };
}

Command diff() {
  return {
      .name = "diff",
      .group = group,
      .summary = "Show what a deploy of YAML files would change",
      .description =
          "Compares the files with what is deployed and prints what differs, field by field; changes nothing. A value "
          "that comes from the environment is shown as its reference, ${NAME}. Exits with 1 if something differs.",
      .arguments = {{"FILE", Value::file, "file to compare, - for stdin", Presence::optional, Repeat::many}},
      .flags = {{"--file", 'f', Value::file, "FILE", "file to compare, - for stdin", "", {}, Repeat::many},
                prune_flag("also show agents of the same stack that the files describe no more"),
                output_flag()},
      .examples = {{"gantry diff agents.yaml", "what differs"},
                   {"gantry diff agents.yaml --prune && echo up to date", "in a script"}},
      .advice = {{"It is what you want", "gantry deploy --config agents.yaml"}},
      .exits = {3, 4, 7, 11},
      .run = run_diff,
  };
}

Command export_agents() {
  return {
      .name = "export",
      .group = group,
      .summary = "Print deployed agents as YAML",
      .description =
          "Prints what is deployed as a file that import and deploy read: every field, in one fixed form, so that "
          "equal "
          "agents give equal bytes. A variable that came from the environment is written as its reference, ${NAME}, "
          "and "
          "not as its value. The work directory is the digest of the files that the server has.",
      .arguments = {{.name = "NAME",
                     .value = Value::agent,
                     .about = "names of agents",
                     .presence = Presence::optional,
                     .repeat = Repeat::many}},
      .flags = {{"--all", 'a', Value::none, "", "all agents", ""},
                {"--stack", 0, Value::text, "NAME", "all agents of this stack", ""},
                {"--output", 'o', Value::choice, "FORMAT", "form of the output", "yaml", {"yaml", "json"}}},
      .examples = {{"gantry export bot", "one agent"}, {"gantry export --all > agents.yaml", "all, to a file"}},
      .advice = {{"You want it back", "gantry import agents.yaml"}},
      .exits = {3, 4, 11},
      .run = run_export,
  };
}

Command import_agents() {
  return {
      .name = "import",
      .group = group,
      .summary = "Deploy agents from the output of export",
      .description =
          "Makes the agents what the files say, as deploy does; without FILE it reads stdin. References ${NAME} are "
          "replaced from the environment here. An export right afterwards gives the same bytes.",
      .arguments = {{"FILE", Value::file, "output of gantry export, - for stdin", Presence::optional, Repeat::many}},
      .flags = {dry_run_flag(),
                {"--no-wait", 0, Value::none, "", "return before the agents are ready", ""},
                timeout_flag("how long to wait until the agents are ready", "2m"),
                output_flag()},
      .examples = {{"gantry import agents.yaml", "from a file"},
                   {"gantry import --url URL < agents.yaml", "to another server that has the files"}},
      .advice = {{"The server has not the files of a work directory", "gantry deploy --config agents.yaml"}},
      .exits = {3, 4, 5, 6, 7, 11, 130},
      .run = run_import,
  };
}

}  // namespace

std::vector<Command> deploy_commands() { return {deploy(), diff(), validate(), export_agents(), import_agents()}; }

}  // namespace gantry::cli
