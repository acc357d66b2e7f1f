// Rows of the group "Requests".
#include "cli/command.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

constexpr std::string_view group = "Requests";

Command invoke() {
  return {
      .name = "invoke",
      .group = group,
      .summary = "Send one request to an agent and print the answer",
      .description =
          "Sends the request through the durable proxy, as any HTTP client could, and streams the answer to stdout. "
          "The id of the request goes to stderr. The method is POST when there is data and GET otherwise.\n\n"
          "If no instance is ready the server keeps the request and delivers it later: the command prints its id to "
          "stdout, says how to follow it, and exits with 0. With --wait it waits for the answer instead.",
      .arguments = {{.name = "NAME", .value = Value::agent, .about = "name of the agent"},
                    {.name = "PATH", .about = "path and query, such as /notes?all=1", .presence = Presence::optional}},
      .flags = {{"--method", 'X', Value::text, "METHOD", "HTTP method", "GET, POST with data"},
                {"--body", 'd', Value::text, "DATA", "body: text, @file, or - for stdin", ""},
                {"--header", 'H', Value::text, "'K: V'", "header to send", "", {}, Repeat::many},
                {"--wait", 'w', Value::duration, "TIME", "wait this long for the answer of a waiting request", ""},
                {"--include", 'i', Value::none, "", "print status and headers before the body", ""},
                timeout_flag("give up after this time (--wait comes on top)", "10m"),
                output_flag()},
      .examples = {{"gantry invoke bot /", "GET"},
                   {"gantry invoke bot /ask -d '{\"question\": \"why?\"}' -H 'Content-Type: application/json'",
                    "POST, journaled before it is forwarded"},
                   {"gantry invoke bot /ask -d @question.json --wait 30s", "wait for an agent that is not ready yet"}},
      .advice = {{"It was kept for later", "gantry requests show ID"},
                 {"The answer broke off", "gantry requests show ID"},
                 {"The agent answers 5xx", "gantry logs NAME --tail 50"}},
      .exits = {3, 4, 5, 6, 11, 12, 13, 130},
      .run = run_invoke,
  };
}

Command requests() {
  return {
      .name = "requests",
      .group = group,
      .summary = "Durable requests: find, repair, repeat, remove, export",
      .description =
          "Every request whose method is persistent is in the journal before the agent sees it, and findable by its id "
          "ever after.",
      .advice = {{"You want the latest", "gantry requests list"}},
  };
}

Command requests_list() {
  return {
      .name = "requests list",
      .aliases = {"requests ls"},
      .group = group,
      .summary = "List requests, the newest first",
      .description =
          "One line for each request: its agent, state, attempts and answer. Deliveries of webhooks are left out, "
          "unless "
          "--all-queues or --agent webhook:NAME asks for them. Bodies are not searched.",
      .flags = with_request_filters({status_flag({"pending", "processing", "completed", "failed", "cancelled"}, ""),
                                     {"--all-queues", 0, Value::none, "", "deliveries of webhooks, too", ""},
                                     {"--limit", 'n', Value::number, "N", "at most this many", "50"},
                                     watch_flag(),
                                     interval_flag(),
                                     output_flag()}),
      .examples = {{"gantry requests list --agent bot", "of one agent"},
                   {"gantry requests list --status failed -o name", "ids of dead letters"},
                   {"gantry requests list --path '/orders/*' --older-than 1h", "by path and age"},
                   {"gantry requests list --watch", "stay and refresh"}},
      .advice = {{"A request failed", "gantry requests show ID"}},
      .exits = {3, 4, 11, 130},
      .run = run_requests_list,
  };
}

Command requests_show() {
  return {
      .name = "requests show",
      .group = group,
      .summary = "Show one request: attempts, headers, bodies",
      .description =
          "Prints its state, the timeline of its attempts with what differs from one to the next, and request and "
          "answer. "
          "JSON bodies are indented. Of a request that was edited it shows the original, too. Who looks is in the "
          "audit "
          "trail.",
      .arguments = {{.name = "ID", .value = Value::request, .about = "id of the request, such as req_01J…"}},
      .flags = {output_flag()},
      .examples = {{"gantry requests show req_01JD0000000000000000000000", "for a person"}},
      .advice = {{"It is a dead letter and the cause is gone", "gantry requests requeue ID"},
                 {"It is a dead letter because something is wrong with it", "gantry requests edit ID"}},
      .exits = {3, 4, 11},
      .run = run_requests_show,
  };
}

Command requests_replay() {
  return {
      .name = "requests replay",
      .group = group,
      .summary = "Send a request again as a new one",
      .description =
          "Makes a new request with the same method, target, headers and body. The old one stays as it is; the new one "
          "names it.",
      .arguments = {{.name = "ID", .value = Value::request, .about = "id of the request"}},
      .flags = {{"--wait", 'w', Value::duration, "TIME", "wait this long until the new request is finished", ""},
                output_flag()},
      .examples = {{"gantry requests replay req_01JD0000000000000000000000 --wait 30s", "and wait for its answer"}},
      .advice = {{"You want to see the answer", "gantry requests show ID"}},
      .exits = {3, 4, 5, 6, 11, 130},
      .run = run_requests_replay,
  };
}

Command requests_cancel() {
  return {
      .name = "requests cancel",
      .group = group,
      .summary = "Take a request back",
      .description =
          "One that waits never runs. One that runs has its connection to the agent closed, and its caller is told "
          "409; "
          "what the agent had done by then is done. Cancelling twice is no error.",
      .arguments = {{.name = "ID", .value = Value::request, .about = "id of the request"}},
      .flags = {output_flag()},
      .examples = {{"gantry requests cancel req_01JD0000000000000000000000", "before it runs, or while it does"}},
      .advice = {{"You want it after all", "gantry requests replay ID"}},
      .exits = {3, 4, 5, 11},
      .run = run_requests_cancel,
  };
}

}  // namespace

std::vector<Command> request_commands() {
  return {invoke(), requests(), requests_list(), requests_show(), requests_replay(), requests_cancel()};
}

}  // namespace gantry::cli
