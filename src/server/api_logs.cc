// /v1/logs and /v1/agents/{name}/logs: what programs write, filtered here and handed out line by line.
#include "server/api.h"

namespace gantry::server {
namespace {

/// Between two looks at the client of a log.
constexpr Duration follow_patience = std::chrono::seconds(1);
constexpr size_t most_lines = 1'000'000;
/// Names or instances in one question.
constexpr size_t most_names = 1000;

Result<agents::LogOptions> log_options(const Context& context, Time now) {
  agents::LogOptions options;
  if (auto tail = context.find("tail")) {
    auto count = parse_bytes(*tail);
    if (!count || count->count > most_lines)
      return fail(Code::invalid, "tail: '{}' is not a number of lines up to {}", tail->substr(0, 64), most_lines);
    options.tail = count->count;
  }
  GANTRY_TRY(options.since, moment_of(context, "since", now));
  GANTRY_TRY(options.until, moment_of(context, "until", now));
  options.filter = context.find("filter").value_or("");
  options.grep = context.find("grep").value_or("");
  options.stream = context.find("stream").value_or("");
  for (const auto& [name, value] : context.query) {
    if (name == "agent") options.agents.push_back(value);
    if (name == "instance") options.instances.push_back(value);
  }
  if (options.agents.size() + options.instances.size() > most_names)
    return fail(Code::invalid, "{} agents and instances are named, at most {} may be",
                options.agents.size() + options.instances.size(), most_names);
  if (context.find("follow").value_or("") == "true") options.follow = agents::LogOptions::Follow::yes;
  return options;
}

}  // namespace

Result<std::optional<Time>> moment_of(const Context& context, std::string_view name, Time now) {
  auto text = context.find(name);
  if (!text) return std::optional<Time>();
  if (auto duration = parse_duration(*text)) return std::optional<Time>(now - *duration);
  if (auto time = parse_time(*text)) return std::optional<Time>(*time);
  return fail(Code::invalid, "{}: '{}' is neither a duration such as 10m nor a time such as 2026-11-20T18:12:00Z", name,
              text->substr(0, 64));
}

Task<Api::Handled> Api::agent_logs(Context& context) {
  GANTRY_CO_TRY(agents::LogOptions options, log_options(context, server_.clock().now()));
  options.agents = {context.parameters.at(0)};
  co_return co_await send_logs(context, std::move(options));
}

Task<Api::Handled> Api::all_logs(Context& context) {
  GANTRY_CO_TRY(agents::LogOptions options, log_options(context, server_.clock().now()));
  co_return co_await send_logs(context, std::move(options));
}

// One JSON object a line; a follower gets new lines until it leaves or the server stops.
Task<Api::Handled> Api::send_logs(Context& context, agents::LogOptions options) {
  GANTRY_CO_TRY(auto reader, server_.agents().logs(context.scope, std::move(options)));
  net::Exchange& exchange = context.exchange;
  auto started = exchange.start(200, {{"Content-Type", "application/jsonl"}, {"Cache-Control", "no-store"}},
                                net::Framing::chunked());
  if (!started) co_return std::unexpected(std::move(started).error());
  co_await exchange.flush();
  while (!reader->ended() && !exchange.client_gone() && !exchange.draining()) {
    auto lines = co_await reader->next(follow_patience);
    if (!lines) {
      server_.log().warn("a log cannot be read", telemetry::field("error", lines.error()));
      exchange.abort();
      co_return std::optional<Reply>{};
    }
    std::string text;
    for (const agents::LogLine& line : *lines) text += json::serialize(agents::to_json(line)) + "\n";
    if (!text.empty() && !co_await exchange.send_body(text)) co_return std::optional<Reply>{};
  }
  co_await exchange.finish();
  co_return std::optional<Reply>{};
}

}  // namespace gantry::server
