// Rows of the group "Requests" for requests that have ended: edit, requeue, purge, export; and the audit trail.
#include "cli/command.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

constexpr std::string_view group = "Requests";
constexpr std::string_view id_example = "gantry requests requeue req_01JD0000000000000000000000";

Argument ids() {
  return {.name = "ID",
          .value = Value::request,
          .about = "ids of requests",
          .presence = Presence::optional,
          .repeat = Repeat::many};
}

Command requests_edit() {
  return {
      .name = "requests edit",
      .group = group,
      .summary = "Change a dead letter, then send it out again",
      .description =
          "Changes method, path, headers or body of a failed or cancelled request and requeues it under its id. "
          "Without "
          "a flag for what to change it opens $VISUAL or $EDITOR with the request as text: request line, headers, an "
          "empty line, body. A text that was not changed changes nothing. Bodies that are binary or longer than 64 KiB "
          "are not part of the text and stay as they are.\n\n"
          "There is no edit without a requeue: until then nobody would see the change. The original stays visible in "
          "`requests show`, and the audit trail says which parts were changed.",
      .arguments = {{.name = "ID", .value = Value::request, .about = "id of the request"}},
      .flags =
          {{"--method", 'X', Value::text, "METHOD", "the new method", ""},
           {"--path", 'p', Value::text, "PATH", "the new path and query", ""},
           {"--header", 'H', Value::text, "'K: V'", "header in the place of those of its name", "", {}, Repeat::many},
           {"--remove-header", 0, Value::text, "NAME", "header to take away", "", {}, Repeat::many},
           {"--body", 'd', Value::text, "DATA", "the new body: text, @file, or - for stdin", ""},
           {"--delay", 0, Value::duration, "TIME", "send it out after this time", ""},
           output_flag()},
      .examples = {{"gantry requests edit req_01JD0000000000000000000000", "in an editor"},
                   {"gantry requests edit req_01JD0000000000000000000000 --path /v2/ask -H 'X-Tries: 1'", "with flags"},
                   {"gantry requests edit req_01JD0000000000000000000000 --body @fixed.json", "another body"}},
      .advice = {{"Nothing has to be changed", "gantry requests requeue ID"},
                 {"You want to see what comes of it", "gantry requests show ID"}},
      .exits = {3, 4, 5, 11, 130},
      .run = run_requests_edit,
  };
}

Command requests_requeue() {
  return {
      .name = "requests requeue",
      .group = group,
      .summary = "Send dead letters out again, under their ids",
      .description =
          "A failed or cancelled request waits for delivery again, with a new set of attempts; attempt numbers go on. "
          "With --all or a condition it takes all dead letters that fit, the oldest first, spaced by --rate. All of "
          "them "
          "are durable when it returns: the server sends them out at that pace, also over restarts.",
      .arguments = {ids()},
      .flags = with_request_filters(
          {status_flag({"failed", "cancelled"}, "failed"),
           {"--all", 0, Value::none, "", "all that fit the conditions", ""},
           {"--rate", 'r', Value::text, "RATE", "such as 5/s, 30/m, 100/h; none for all at once", "10/s"},
           {"--delay", 0, Value::duration, "TIME", "the first one after this time", ""},
           {"--limit", 'n', Value::number, "N", "at most this many", "10000"},
           yes_flag(),
           output_flag()}),
      .examples = {{id_example, "one"},
                   {"gantry requests requeue --all --agent bot --rate 5/s", "all of an agent, five a second"},
                   {"gantry requests requeue --reason 'exit 137' --newer-than 1d --yes", "by their reason"}},
      .advice = {{"Something is wrong with the request itself", "gantry requests edit ID"},
                 {"You want to keep the dead letter and send a copy", "gantry requests replay ID"}},
      .exits = {3, 4, 5, 6, 11, 130},
      .run = run_requests_requeue,
  };
}

Command requests_purge() {
  return {
      .name = "requests purge",
      .group = group,
      .summary = "Remove finished requests before their retention ends",
      .description =
          "Forgets requests that have ended, with bodies, answers and idempotency keys; dead letters, unless --status "
          "says "
          "otherwise. Each one leaves an entry in the audit trail. There is no way back: export them first if in "
          "doubt.",
      .arguments = {ids()},
      .flags = with_request_filters({status_flag({"completed", "failed", "cancelled"}, "failed"),
                                     {"--all", 0, Value::none, "", "all that fit the conditions", ""},
                                     {"--limit", 'n', Value::number, "N", "at most this many", "10000"},
                                     yes_flag(),
                                     output_flag()}),
      .examples = {{"gantry requests purge req_01JD0000000000000000000000 --yes", "one, without a question"},
                   {"gantry requests purge --all --agent bot", "all dead letters of an agent"},
                   {"gantry requests purge --status completed --older-than 7d", "answered ones"}},
      .advice = {{"You want a copy first", "gantry requests export --status failed -f dead.jsonl"},
                 {"You want to know who removed what", "gantry audit list --action request.purge"}},
      .exits = {3, 4, 5, 11, 130},
      .run = run_requests_purge,
  };
}

Command requests_export() {
  return {
      .name = "requests export",
      .group = group,
      .summary = "Write requests with bodies and answers as JSON lines",
      .description =
          "One line for each request that fits, the oldest first: what `requests show -o json` has, and a cursor. "
          "Bodies "
          "are text, or base64 where they are none. When the server goes away in the middle, only whole lines were "
          "written, and the error says how to continue. Exports are in the audit trail.",
      .flags = with_request_filters(
          {status_flag({"pending", "processing", "completed", "failed", "cancelled"}, ""),
           {"--file", 'f', Value::file, "FILE", "write there; with --after at its end", "stdout"},
           {"--after", 0, Value::text, "CURSOR", "continue behind the request with this cursor", ""},
           {"--body-limit", 0, Value::size, "SIZE", "at most this much of each body, up to 16Mi", "1Mi"},
           {"--output",
            'o',
            Value::choice,
            "FORMAT",
            "an object a line, or one list of them",
            "jsonl",
            {"jsonl", "json"}}}),
      .examples = {{"gantry requests export --agent bot -f bot.jsonl", "everything of an agent"},
                   {"gantry requests export --status failed", "dead letters, to stdout"}},
      .advice = {{"It broke off", "gantry requests export --after CURSOR -f FILE"}},
      .exits = {3, 4, 11, 130},
      .run = run_requests_export,
  };
}

Command requests_watch() {
  return {
      .name = "requests watch",
      .group = group,
      .summary = "Follow requests: a line for each change of state",
      .description =
          "Looks at the newest 1,000 requests that fit, again and again, and prints a line for each one that is new or "
          "has another state, until Ctrl-C. What comes and goes between two looks is seen in its last state only.",
      .flags = with_request_filters({status_flag({"pending", "processing", "completed", "failed", "cancelled"}, ""),
                                     interval_flag(),
                                     {"--output",
                                      'o',
                                      Value::choice,
                                      "FORMAT",
                                      "text for people, json or jsonl for one object a line",
                                      "text",
                                      {"text", "json", "jsonl"}}}),
      .examples = {{"gantry requests watch --agent bot", "of one agent"},
                   {"gantry requests watch --status failed -o jsonl", "dead letters as they come"}},
      .advice = {{"You want to be called instead", "gantry webhooks add NAME URL"}},
      .exits = {3, 4, 11, 130},
      .run = run_requests_watch,
  };
}

Command audit() {
  return {
      .name = "audit",
      .group = group,
      .summary = "Who did what to stored requests",
      .description = "Entries outlive the requests that they are about; `audit_retention` says how long.",
      .advice = {{"You want the latest", "gantry audit list"}},
  };
}

Command audit_list() {
  return {
      .name = "audit list",
      .aliases = {"audit ls"},
      .group = group,
      .summary = "List entries of the audit trail, the newest first",
      .description =
          "Actions are request.read, response.read, requests.export, request.requeue, request.purge, request.cancel, "
          "request.replay and requests.expire (retention). The same reader of the same request has one entry a minute. "
          "Contents and credentials are never in it.",
      .flags = {{"--action", 0, Value::text, "ACTION", "only this action", ""},
                {"--subject", 0, Value::text, "ID", "only about this request or agent", ""},
                {"--principal", 0, Value::text, "NAME", "only what this principal did", ""},
                {"--since", 0, Value::duration, "TIME", "only entries younger than this", ""},
                {"--limit", 'n', Value::number, "N", "at most this many", "50"},
                output_flag()},
      .examples = {{"gantry audit list --subject req_01JD0000000000000000000000", "what happened to a request"},
                   {"gantry audit list --action request.purge --since 1d", "what was removed today"}},
      .advice = {{"You want to see the request itself", "gantry requests show ID"}},
      .exits = {3, 4, 11},
      .run = run_audit_list,
  };
}

}  // namespace

Flag status_flag(std::vector<std::string_view> states, std::string_view fallback) {
  return {"--status", 's', Value::choice, "STATUS", "only requests in this state", fallback, std::move(states)};
}

std::vector<Flag> with_request_filters(std::vector<Flag> more) {
  std::vector<Flag> flags = {
      {"--agent", 'a', Value::agent, "NAME", "only requests of this agent", ""},
      {"--older-than", 0, Value::duration, "TIME", "only those accepted longer ago than this", ""},
      {"--newer-than", 0, Value::duration, "TIME", "only those accepted since then", ""},
      {"--path", 'p', Value::text, "PATH", "only with this beginning of the path, or pattern with * and ?", ""},
      {"--idempotency-key", 0, Value::text, "KEY", "only the one with this Idempotency-Key", ""},
      {"--reason", 0, Value::text, "TEXT", "only with this text in the reason", ""},
      {"--text", 't', Value::text, "TEXT", "only with this text in path, reason, key or id", ""}};
  for (Flag& flag : more) flags.push_back(std::move(flag));
  return flags;
}

std::vector<Command> dead_letter_commands() {
  return {requests_edit(), requests_requeue(), requests_purge(), requests_export(), requests_watch(),
          audit(),         audit_list()};
}

}  // namespace gantry::cli
