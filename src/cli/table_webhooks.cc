// Rows of the group "Webhooks".
#include "cli/command.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

constexpr std::string_view group = "Webhooks";

Argument name_argument() { return {.name = "NAME", .value = Value::webhook, .about = "name of the webhook"}; }

Flag event_flag(std::string_view fallback) {
  return {"--event",
          'e',
          Value::choice,
          "EVENT",
          "what it is told of",
          fallback,
          {"request.accepted", "request.processing", "request.retrying", "request.completed", "request.failed",
           "request.cancelled", "request.requeued"},
          Repeat::many};
}

Command webhooks() {
  return {
      .name = "webhooks",
      .group = group,
      .summary = "Tell an outside address when requests change",
      .description =
          "A webhook is called with a signed message (Standard Webhooks) when a request is completed, fails, or "
          "changes "
          "its status otherwise. Each call is a durable request itself: tried again until it is taken, listed, "
          "replayed.",
      .advice = {{"You want to see what was delivered", "gantry webhooks deliveries NAME"}},
  };
}

Command webhooks_list() {
  return {
      .name = "webhooks list",
      .aliases = {"webhooks ls"},
      .group = group,
      .summary = "List webhooks",
      .description = "One line for each webhook: where it goes, what it is told of, and how much waits.",
      .flags = {watch_flag(), interval_flag(), output_flag()},
      .examples = {{"gantry webhooks list", "all of them"}},
      .advice = {{"One is disabled", "gantry webhooks show NAME"}},
      .exits = {4, 11, 130},
      .run = run_webhooks_list,
  };
}

Command webhooks_add() {
  return {
      .name = "webhooks add",
      .group = group,
      .summary = "Make a webhook and print its secret",
      .description =
          "Makes the webhook and prints the secret that its messages are signed with. The secret is shown now and "
          "never "
          "again: keep it where the receiver finds it.\n\n"
          "By default webhooks go to public addresses only; the setting webhook_allowed_hosts of the server says more.",
      .arguments = {{.name = "NAME", .about = "name of the webhook"},
                    {.name = "URL", .about = "where to call, http or https"}},
      .flags = {event_flag("request.completed, request.failed"),
                {"--agent", 'a', Value::agent, "NAME", "only requests of this agent", "all agents"},
                output_flag()},
      .examples = {{"gantry webhooks add ops https://hooks.example.com/gantry", "completed and failed requests"},
                   {"gantry webhooks add pager https://hooks.example.com/page -e request.failed -a bot",
                    "dead letters of one agent"}},
      .advice = {{"You want to see that it arrives", "gantry webhooks test NAME --wait 30s"}},
      .exits = {4, 5, 7, 11, 12},
      .run = run_webhooks_add,
  };
}

Command webhooks_show() {
  return {
      .name = "webhooks show",
      .group = group,
      .summary = "Show one webhook",
      .description =
          "Prints where it goes, what it is told of, and why it is disabled if it is. The secret is not shown.",
      .arguments = {name_argument()},
      .flags = {output_flag()},
      .examples = {{"gantry webhooks show ops", "for a person"}},
      .advice = {{"You have lost the secret", "gantry webhooks rotate NAME"}},
      .exits = {3, 4, 11},
      .run = run_webhooks_show,
  };
}

Command webhooks_edit() {
  return {
      .name = "webhooks edit",
      .group = group,
      .summary = "Change, enable or disable a webhook",
      .description =
          "Changes what is given and leaves the rest. Deliveries that wait go to the new address. What happens while a "
          "webhook is disabled is not told afterwards.",
      .arguments = {name_argument()},
      .flags = {{"--to", 0, Value::text, "URL", "where to call", ""},
                event_flag(""),
                {"--agent", 'a', Value::agent, "NAME", "only requests of this agent", ""},
                {"--all-agents", 0, Value::none, "", "requests of all agents", ""},
                {"--enable", 0, Value::none, "", "deliver again", ""},
                {"--disable", 0, Value::none, "", "deliver nothing until it is enabled", ""},
                output_flag()},
      .examples = {{"gantry webhooks edit ops --to https://hooks.example.com/v2", "another address"},
                   {"gantry webhooks edit ops --enable", "after its receiver was repaired"}},
      .advice = {{"It was disabled by the server", "gantry webhooks show NAME"}},
      .exits = {3, 4, 7, 11},
      .run = run_webhooks_edit,
  };
}

Command webhooks_remove() {
  return {
      .name = "webhooks remove",
      .aliases = {"webhooks rm"},
      .group = group,
      .summary = "Remove a webhook",
      .description = "Deliveries that wait become dead letters. Asks first; --yes answers for a script.",
      .arguments = {name_argument()},
      .flags = {yes_flag(), output_flag()},
      .examples = {{"gantry webhooks remove ops --yes", "in a script"}},
      .advice = {{"You only want it to rest", "gantry webhooks edit NAME --disable"}},
      .exits = {3, 4, 11, 130},
      .run = run_webhooks_remove,
  };
}

Command webhooks_rotate() {
  return {
      .name = "webhooks rotate",
      .group = group,
      .summary = "Give a webhook a new secret and print it",
      .description =
          "Messages carry two signatures, of the new and of the old secret, until the grace is over, so that the "
          "receiver can change over without a gap. The new secret is shown now and never again.",
      .arguments = {name_argument()},
      .flags = {{"--grace", 0, Value::duration, "TIME", "how long the old secret signs too; 0 ends it now", "24h"},
                output_flag()},
      .examples = {{"gantry webhooks rotate ops", "with a day to change over"},
                   {"gantry webhooks rotate ops --grace 0", "the old secret has leaked"}},
      .advice = {{"You want to see that it arrives", "gantry webhooks test NAME --wait 30s"}},
      .exits = {3, 4, 7, 11},
      .run = run_webhooks_rotate,
  };
}

Command webhooks_test() {
  return {
      .name = "webhooks test",
      .group = group,
      .summary = "Send a test message",
      .description = "Sends a signed message of type webhook.test through the same queue as every other.",
      .arguments = {name_argument()},
      .flags = {{"--wait", 'w', Value::duration, "TIME", "wait this long until it is delivered", ""}, output_flag()},
      .examples = {{"gantry webhooks test ops --wait 30s", "and wait for the receiver's answer"}},
      .advice = {{"It does not arrive", "gantry webhooks deliveries NAME"}},
      .exits = {3, 4, 5, 6, 11, 130},
      .run = run_webhooks_test,
  };
}

Command webhooks_deliveries() {
  return {
      .name = "webhooks deliveries",
      .group = group,
      .summary = "List what was delivered, the newest first",
      .description =
          "One line for each message: what it told, of which request, and what the receiver answered. Each is a "
          "durable "
          "request of its own id.",
      .arguments = {name_argument()},
      .flags = {{"--status",
                 's',
                 Value::choice,
                 "STATUS",
                 "only deliveries in this state",
                 "",
                 {"pending", "processing", "completed", "failed"}},
                {"--limit", 'n', Value::number, "N", "at most this many", "50"},
                watch_flag(),
                interval_flag(),
                output_flag()},
      .examples = {{"gantry webhooks deliveries ops --status failed", "dead letters"}},
      .advice = {{"You want attempts and the answer of one", "gantry requests show ID"}},
      .exits = {3, 4, 11, 130},
      .run = run_webhooks_deliveries,
  };
}

Command webhooks_replay() {
  return {
      .name = "webhooks replay",
      .group = group,
      .summary = "Send a message again",
      .description =
          "Makes a new delivery with the same body and the same webhook-id, so that a receiver that knows it already "
          "can "
          "tell. It is signed anew.",
      .arguments = {name_argument(), {.name = "ID", .value = Value::request, .about = "id of the delivery"}},
      .flags = {{"--wait", 'w', Value::duration, "TIME", "wait this long until it is delivered", ""}, output_flag()},
      .examples = {{"gantry webhooks replay ops req_01JD0000000000000000000000", "one dead letter"}},
      .advice = {{"You do not know the id", "gantry webhooks deliveries NAME --status failed"}},
      .exits = {3, 4, 6, 11, 130},
      .run = run_webhooks_replay,
  };
}

}  // namespace

std::vector<Command> webhook_commands() {
  return {webhooks(),        webhooks_list(),   webhooks_add(),  webhooks_show(),       webhooks_edit(),
          webhooks_remove(), webhooks_rotate(), webhooks_test(), webhooks_deliveries(), webhooks_replay()};
}

}  // namespace gantry::cli
