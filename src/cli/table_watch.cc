// Rows of the group "Agents" that tell what happened, and what a scope may ask for.
#include "cli/command.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

constexpr std::string_view group = "Agents";

}  // namespace

Command events() {
  return {
      .name = "events",
      .group = group,
      .summary = "Show what happened to agents and instances",
      .description =
          "The latest events, the newest last: agent.deploy, agent.rollout, agent.rolled_out, agent.scale, "
          "agent.start, "
          "agent.stop, agent.restart, agent.pause, agent.resume, agent.crash_loop, agent.remove, instance.start, "
          "instance.start_failed, instance.ready, instance.unhealthy, instance.exit (with the reason) and "
          "instance.restart. The server keeps the last 100,000 of a scope, also of agents that are gone.\n\n"
          "With --follow it prints the latest and then new ones as they happen, and goes on after a restart of the "
          "server without a gap.",
      .arguments = {{.name = "NAME",
                     .value = Value::agent,
                     .about = "only of these agents",
                     .presence = Presence::optional,
                     .repeat = Repeat::many}},
      .flags = {{"--follow", 'f', Value::none, "", "stay and print new events", ""},
                {"--agent", 0, Value::agent, "NAME", "only of this agent", "", {}, Repeat::many},
                {"--type",
                 0,
                 Value::text,
                 "TYPE",
                 "only of this type; 'instance' or 'exit' name several",
                 "",
                 {},
                 Repeat::many},
                since_flag("only events since TIME: a duration back such as 10m, or 2026-11-20T18:12:00Z"),
                until_flag("only events until TIME"),
                {"--limit", 'n', Value::number, "N", "how many of the latest", "100"},
                output_flag()},
      .examples = {{"gantry events", "the latest"},
                   {"gantry events bot --type exit --since 1h", "why it ended in the last hour"},
                   {"gantry events -f -o jsonl", "as they happen, for a script"}},
      .advice = {{"You want what a program wrote when it ended", "gantry logs NAME --since 10m"}},
      .exits = {4, 7, 11, 130},
      .run = run_events,
  };
}

Command quota() {
  return {
      .name = "quota",
      .group = group,
      .summary = "Show what agents may ask for together",
      .description =
          "One line for each resource of the scope: agents, instances (replicas), memory, cpu and storage "
          "(workspaces). "
          "What is declared counts, also of agents that are stopped. A deploy or scale that would go above a limit is "
          "refused. Limits come from the configuration of the server (quota_memory and so on) or from gantry quota "
          "set.",
      .flags = {output_flag()},
      .examples = {{"gantry quota", "used, limit and what is left"}},
      .advice = {{"You want another limit", "gantry quota set memory=16Gi"}},
      .exits = {4, 11},
      .run = run_quota,
  };
}

Command quota_set() {
  return {
      .name = "quota set",
      .group = group,
      .summary = "Change what agents may ask for together",
      .description =
          "Sets limits of agents, instances, memory, cpu or storage; others stay. 'none' means no limit, 'default' "
          "what "
          "the configuration of the server says. Needs a root key. What runs already goes on, also above a limit; only "
          "changes that ask for more are refused. Changes are in the audit trail.",
      .arguments = {{.name = "LIMIT",
                     .value = Value::text,
                     .about = "RESOURCE=AMOUNT, such as memory=8Gi",
                     .presence = Presence::required,
                     .repeat = Repeat::many}},
      .flags = {output_flag()},
      .examples = {{"gantry quota set memory=8Gi cpu=4 instances=20", "three limits"},
                   {"gantry quota set memory=none", "no limit, whatever the configuration says"},
                   {"gantry quota set memory=default", "what the configuration says"}},
      .advice = {{"You want to know who changed it", "gantry audit list --action quota.set"}},
      .exits = {4, 7, 11},
      .run = run_quota_set,
  };
}

}  // namespace gantry::cli
