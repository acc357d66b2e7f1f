// Rows of the group "Agents" that look at agents and change their state.
#include "cli/command.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

constexpr std::string_view group = "Agents";

Argument one_agent() { return {.name = "NAME", .value = Value::agent, .about = "name of the agent"}; }

Command list() {
  return {
      .name = "list",
      .aliases = {"ps"},
      .group = group,
      .summary = "List agents",
      .description = "One line for each agent: its state, how many instances are ready, and its waiting requests.",
      .flags = {{"--status",
                 's',
                 Value::choice,
                 "STATUS",
                 "only agents in this state",
                 "",
                 {"running", "starting", "degraded", "crash_loop", "paused", "stopped"}},
                watch_flag(),
                interval_flag(),
                output_flag()},
      .examples = {{"gantry list", "all agents"},
                   {"gantry list --status crash_loop -o name", "names of those that keep crashing"},
                   {"gantry list --watch", "stay and refresh"}},
      .advice = {{"The list is empty", "gantry deploy --name bot --command \"python3 app.py\" --workdir ."},
                 {"An agent is degraded or in a crash loop", "gantry inspect NAME"},
                 {"The reason is 'workspace above …'", "raise resources.workspace and deploy again"}},
      .exits = {4, 11, 130},
      .run = run_list,
  };
}

Command inspect() {
  return {
      .name = "inspect",
      .group = group,
      .summary = "Show everything about an agent",
      .description =
          "Prints its spec, revision, instances with process ids and reasons, the isolation that was achieved and each "
          "limit with how well it is enforced.",
      .arguments = {one_agent()},
      .flags = {output_flag()},
      .examples = {{"gantry inspect bot", "for a person"}, {"gantry inspect bot -o json", "as the API tells it"}},
      .advice = {{"An instance keeps restarting", "gantry logs NAME --tail 50"},
                 {"The reason is 'workspace above …'", "raise resources.workspace and deploy again"}},
      .exits = {3, 4, 11},
      .run = run_inspect,
  };
}

Command health() {
  return {
      .name = "health",
      .group = group,
      .summary = "Show the health of an agent's instances",
      .description = "Prints the last probe of each instance. Exits with 1 if one of them is not healthy.",
      .arguments = {one_agent()},
      .flags = {output_flag()},
      .examples = {{"gantry health bot", "one look"}, {"gantry health bot && echo fine", "in a script"}},
      .advice = {{"An instance is not healthy", "gantry logs NAME --tail 50"}},
      .exits = {3, 4, 11},
      .run = run_health,
  };
}

Command stats() {
  return {
      .name = "stats",
      .group = group,
      .summary = "Show CPU, memory, disk and requests of instances",
      .description =
          "One line for each instance of the named agents, or of all agents when no name is given: CPU since the look "
          "before, memory, processes, what /workspace holds, bytes over the proxy to the program and from it, requests "
          "a "
          "second (of the last ten seconds) and the times that 50, 95 and 99 of a hundred requests of the last minute "
          "took at most.\n\n"
          "With --watch on a terminal it stays and draws the latest looks as a trend. Columns that do not fit the "
          "terminal are left out; -o wide shows all.",
      .arguments = {{.name = "NAME",
                     .value = Value::agent,
                     .about = "names of agents",
                     .presence = Presence::optional,
                     .repeat = Repeat::many}},
      .flags = {{"--all", 'a', Value::none, "", "instances of all agents (the default without a name)", ""},
                watch_flag(),
                interval_flag(),
                output_flag()},
      .examples = {{"gantry stats bot notes", "two agents"}, {"gantry stats --all --watch", "all, refreshed"}},
      .advice = {{"Memory is near its limit", "gantry deploy --name NAME … --memory 1Gi"},
                 {"You want the greediest first", "gantry top"}},
      .exits = {3, 4, 11, 130},
      .run = run_stats,
  };
}

Command top() {
  return {
      .name = "top",
      .group = group,
      .summary = "Watch what agents use, the greediest first",
      .description =
          "A screen that stays, one line for each agent with the sum of its instances. Keys change the order: c for "
          "CPU, "
          "m for memory, r for requests a second, n for the name; q leaves.\n\n"
          "Where there is no terminal it prints one table and ends.",
      .arguments = {{.name = "NAME",
                     .value = Value::agent,
                     .about = "names of agents, all without one",
                     .presence = Presence::optional,
                     .repeat = Repeat::many}},
      .flags =
          {{"--sort", 's', Value::choice, "BY", "the order at first", "cpu", {"cpu", "memory", "requests", "name"}},
           {"--interval", 0, Value::duration, "TIME", "how often it looks", "1s"},
           output_flag()},
      .examples = {{"gantry top", "all agents"}, {"gantry top --sort memory -o json", "once, for a script"}},
      .advice = {{"You want the instances one by one", "gantry stats --all --watch"}},
      .exits = {3, 4, 11, 130},
      .run = run_top,
  };
}

Command logs() {
  return {
      .name = "logs",
      .group = group,
      .summary = "Print what agents write to stdout and stderr",
      .description =
          "Prints the last lines of all instances of the named agents, or of all agents with --all, merged in order of "
          "time. With --follow it stays and prints new ones, also of instances that start later.\n\n"
          "On a terminal, and for several agents, each line begins with the agent and the replica, one colour for each "
          "instance, and the bar before lines of stderr is yellow; otherwise lines are printed bare. Lines are looked "
          "for on the server: conditions cost no transfer of what they leave out.",
      .arguments = {{.name = "NAME",
                     .value = Value::agent,
                     .about = "names of agents",
                     .presence = Presence::optional,
                     .repeat = Repeat::many}},
      .flags = {{"--all", 'a', Value::none, "", "all agents, with --follow also later ones", ""},
                {"--tail", 0, Value::number, "N", "how many of the last lines that match", "100"},
                since_flag("only lines since TIME: a duration back such as 10m, or 2026-11-20T18:12:00Z"),
                until_flag("only lines until TIME"),
                {"--filter",
                 0,
                 Value::text,
                 "WHAT",
                 "only lines that contain WHAT; or stream=stderr, agent=NAME, instance=ID or AGENT/REPLICA",
                 "",
                 {},
                 Repeat::many},
                {"--grep", 0, Value::text, "REGEX", "only lines in which REGEX (RE2 syntax) is found", ""},
                {"--instance", 0, Value::text, "ID", "only lines of this instance", "", {}, Repeat::many},
                {"--stream", 0, Value::choice, "STREAM", "only this stream", "", {"stdout", "stderr"}},
                {"--follow", 'f', Value::none, "", "stay and print new lines", ""},
                {"--timestamps", 't', Value::none, "", "begin each line with its time, as -o wide does", ""},
                {"--no-prefix", 0, Value::none, "", "print lines bare, whatever they are of", ""},
                {"--json", 0, Value::none, "", "one JSON object a line, as -o jsonl", ""},
                output_flag()},
      .examples = {{"gantry logs bot --tail 20", "the last lines"},
                   {"gantry logs bot notes -f", "two agents, and what comes"},
                   {"gantry logs --all --since 10m --grep '(?i)error|timeout'", "what went wrong lately, anywhere"},
                   {"gantry logs bot --filter stream=stderr --filter instance=bot/0", "one stream of one replica"},
                   {"gantry logs bot --since 2026-11-20T18:00:00Z --until 2026-11-20T18:05:00Z --json",
                    "five minutes, for a script"}},
      .advice = {{"Nothing is printed", "gantry inspect NAME"},
                 {"You want what happened to the agent itself", "gantry events NAME"}},
      .exits = {3, 4, 7, 11, 130},
      .run = run_logs,
  };
}

Command exec() {
  return {
      .name = "exec",
      .group = group,
      .summary = "Run a command inside an instance",
      .description =
          "Runs a program beside the agent's own, with its files, limits, environment and isolation, and exits with "
          "its "
          "exit code. Standard input, output and error are connected; between two terminals the program gets a "
          "terminal, "
          "too. It ends when this command does. The command and its flags follow `--`. With -o json its exit code and "
          "what "
          "it says are one document.",
      .arguments = {one_agent(), {.name = "COMMAND", .about = "the program and its arguments", .repeat = Repeat::many}},
      .flags = {{"--instance", 0, Value::text, "ID", "in this instance", "one that is ready"},
                {"--replica", 0, Value::number, "N", "in the instance of this replica", ""},
                {"--env", 'e', Value::text, "K=V", "set a variable, beside those of the agent", "", {}, Repeat::many},
                {"--workdir", 'w', Value::text, "DIR", "where it runs, inside", "/app"},
                {"--tty", 't', Value::none, "", "insist on a terminal", ""},
                {"--no-tty", 'T', Value::none, "", "pipes, though there is a terminal", ""},
                {"--no-stdin", 'n', Value::none, "", "leave standard input alone", ""},
                output_flag()},
      .examples = {{"gantry exec bot -- sh", "a shell"},
                   {"gantry exec bot -- python3 -c 'import sys; print(sys.version)'", "one command"},
                   {"gantry exec bot -w /workspace -- tar -x < data.tar", "files in"}},
      .advice = {{"No instance runs", "gantry start NAME"}, {"It is paused", "gantry resume NAME"}},
      .exits = {3, 4, 5, 7, 11},
      .run = run_exec,
  };
}

/// What the verbs differ in.
struct Verb {
  std::string_view name;
  std::string_view summary;
  std::string_view description;
  Example example;
  Example all_example;
  Advice advice;
  Handler run;
};

Command verb(const Verb& it) {
  return {
      .name = it.name,
      .group = group,
      .summary = it.summary,
      .description = it.description,
      .arguments = {{.name = "NAME",
                     .value = Value::agent,
                     .about = "names of agents",
                     .presence = Presence::optional,
                     .repeat = Repeat::many}},
      .flags = {{"--all", 'a', Value::none, "", "all agents; asks first", ""},
                yes_flag(),
                {"--no-wait", 0, Value::none, "", "return before the state is reached", ""},
                timeout_flag("how long to wait until the state is reached", "2m"),
                output_flag()},
      .examples = {it.example, it.all_example},
      .advice = {it.advice},
      .exits = {3, 4, 5, 6, 11, 130},
      .run = it.run,
  };
}

Command remove() {
  return {
      .name = "remove",
      .aliases = {"rm"},
      .group = group,
      .summary = "Remove agents with their instances",
      .description =
          "Stops the instances and removes the agent. Its unfinished requests become dead letters, which stay findable "
          "by id. Asks first; --yes answers for a script.",
      .arguments = {{.name = "NAME",
                     .value = Value::agent,
                     .about = "names of agents",
                     .presence = Presence::optional,
                     .repeat = Repeat::many}},
      .flags = {{"--all", 'a', Value::none, "", "all agents", ""}, yes_flag(), output_flag()},
      .examples = {{"gantry remove bot", "one agent"}, {"gantry remove --all --yes", "all, in a script"}},
      .advice = {{"You only want it to rest", "gantry stop NAME"}},
      .exits = {3, 4, 5, 11, 130},
      .run = run_remove,
  };
}

Command scale() {
  return {
      .name = "scale",
      .group = group,
      .summary = "Change how many instances an agent has",
      .description = "Sets the number of replicas and waits until that many are ready.",
      .arguments = {one_agent(), {.name = "REPLICAS", .value = Value::number, .about = "instances to keep running"}},
      .flags = {{"--no-wait", 0, Value::none, "", "return before the instances are ready", ""},
                timeout_flag("how long to wait until the instances are ready", "2m"),
                output_flag()},
      .examples = {{"gantry scale bot 3", "three instances"}},
      .advice = {{"It does not become ready", "gantry inspect NAME"}},
      .exits = {3, 4, 5, 6, 7, 11, 130},
      .run = run_scale,
  };
}

}  // namespace

std::vector<Command> agent_commands() {
  return {
      list(),
      inspect(),
      health(),
      stats(),
      top(),
      logs(),
      exec(),
      events(),
      verb({"start",
            "Start stopped agents",
            "Starts the instances and delivers the requests that waited. Waits until they are ready.",
            {"gantry start bot", "one agent"},
            {"gantry start --all --yes", "all, in a script"},
            {"It does not become ready", "gantry logs NAME"},
            run_start}),
      verb({"stop",
            "Stop agents; their requests wait",
            "Sends TERM to the instances and KILL after their grace. Requests that arrive meanwhile are accepted and "
            "wait in the journal.",
            {"gantry stop bot", "one agent"},
            {"gantry stop --all", "all, after a question"},
            {"You want it back", "gantry start NAME"},
            run_stop}),
      verb({"restart",
            "Stop agents and start them again",
            "Stops and starts every instance. Requests that were in the middle of work are delivered again.",
            {"gantry restart bot", "one agent"},
            {"gantry restart --all --yes", "all, in a script"},
            {"It does not become ready", "gantry logs NAME"},
            run_restart}),
      verb({"pause",
            "Freeze agents where they are",
            "Freezes every process of the instances. They keep their memory and use no CPU; requests wait.",
            {"gantry pause bot", "one agent"},
            {"gantry pause --all", "all, after a question"},
            {"You want it to go on", "gantry resume NAME"},
            run_pause}),
      verb({"resume",
            "Let paused agents go on",
            "Thaws the instances; work goes on at the instruction where it was frozen.",
            {"gantry resume bot", "one agent"},
            {"gantry resume --all --yes", "all, in a script"},
            {"It is stopped, not paused", "gantry start NAME"},
            run_resume}),
      remove(),
      scale(),
      quota(),
      quota_set(),
  };
}

}  // namespace gantry::cli
