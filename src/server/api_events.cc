// /v1/events: what happened to agents and instances.
#include <algorithm>
#include <charconv>

#include "server/api.h"

namespace gantry::server {
namespace {

/// Between two looks at the client of a follower, and between two empty lines that tell it that the server is there.
constexpr Duration follow_patience = std::chrono::seconds(1);
constexpr Duration sign_of_life = std::chrono::seconds(15);
constexpr size_t most_names = 100;

Result<std::optional<uint64_t>> seq_of(const Context& context) {
  auto text = context.find("after");
  if (!text || text->empty()) return std::optional<uint64_t>();
  uint64_t seq = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seq);
  if (error != std::errc() || end != text->data() + text->size() || seq > INT64_MAX)
    return fail(Code::invalid, "after: '{}' is no cursor", text->substr(0, 64));
  return std::optional<uint64_t>(seq);
}

Result<agents::EventFilter> event_filter(const Context& context, Time now) {
  agents::EventFilter filter;
  for (const auto& [name, value] : context.query) {
    if (name == "agent") filter.agents.push_back(value);
    if (name == "type") filter.types.push_back(value);
  }
  if (filter.agents.size() + filter.types.size() > most_names)
    return fail(Code::invalid, "more than {} agents and types are named", most_names);
  GANTRY_TRY(filter.since, moment_of(context, "since", now));
  GANTRY_TRY(filter.until, moment_of(context, "until", now));
  GANTRY_TRY(filter.limit, limit_of(context));
  return filter;
}

}  // namespace

Task<Api::Handled> Api::list_events(Context& context) {
  GANTRY_CO_TRY(agents::EventFilter filter, event_filter(context, server_.clock().now()));
  GANTRY_CO_TRY(std::optional<uint64_t> after, seq_of(context));
  if (context.find("follow").value_or("") == "true")
    co_return co_await follow_events(context, std::move(filter), after);
  filter.before_seq = after.value_or(0);
  const size_t limit = filter.limit;
  GANTRY_CO_TRY(auto events, co_await server_.agents().events(context.scope, std::move(filter)));
  json::Array data;
  for (const agents::EventView& event : events) data.push_back(agents::to_json(event));
  std::string next = events.size() == limit ? std::to_string(events.back().seq) : "";
  co_return Reply{.body = listing(std::move(data), std::move(next))};
}

// The latest, or all after a cursor, and then new ones: one JSON object a line.
Task<Api::Handled> Api::follow_events(Context& context, agents::EventFilter filter, std::optional<uint64_t> after) {
  std::vector<agents::EventView> events;
  if (!after) {
    GANTRY_CO_TRY(events, co_await server_.agents().events(context.scope, filter));
    std::ranges::reverse(events);
  }
  filter.after_seq = events.empty() ? after.value_or(0) : events.back().seq;
  net::Exchange& exchange = context.exchange;
  auto started = exchange.start(200, {{"Content-Type", "application/jsonl"}, {"Cache-Control", "no-store"}},
                                net::Framing::chunked());
  if (!started) co_return std::unexpected(std::move(started).error());
  co_await exchange.flush();
  SteadyTime said = server_.clock().steady();
  bool has_read = !after;
  while (!exchange.client_gone() && !exchange.draining()) {
    std::string text;
    for (const agents::EventView& event : events) text += json::serialize(agents::to_json(event)) + "\n";
    if (!events.empty()) filter.after_seq = events.back().seq;
    if (text.empty() && server_.clock().steady() - said >= sign_of_life) text = "\n";
    if (!text.empty()) {
      if (!co_await exchange.send_body(text)) co_return std::optional<Reply>{};
      said = server_.clock().steady();
    }
    const bool is_over = filter.until && server_.clock().now() > *filter.until;
    if (is_over && events.empty() && has_read) break;
    has_read = true;
    auto next = co_await server_.agents().wait_for_events(context.scope, filter,
                                                          is_over ? Duration{} : Duration(follow_patience));
    if (!next) {
      exchange.abort();
      co_return std::optional<Reply>{};
    }
    events = std::move(*next);
  }
  co_await exchange.finish();
  co_return std::optional<Reply>{};
}

}  // namespace gantry::server
