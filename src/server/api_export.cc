// /v1/requests/export: every request that fits as a JSON line, the oldest first.
#include "server/request_json.h"

namespace gantry::server {
namespace {

// Read and sent at a time; one page of records without their bodies is what is in memory.
constexpr size_t page_size = 100;
constexpr Bytes default_body = mebibytes(1);
constexpr Bytes longest_body = mebibytes(16);

Result<Bytes> body_limit_of(const Context& context) {
  auto text = context.find("body_limit");
  if (!text) return default_body;
  auto limit = parse_bytes(*text);
  if (!limit) return std::unexpected(std::move(limit).error().wrap("body_limit"));
  if (limit->count > longest_body.count)
    return fail(Code::invalid, "body_limit: at most {}", format_bytes_short(longest_body));
  return *limit;
}

}  // namespace

Task<Api::Handled> Api::export_requests(Context& context) {
  const Lookup lookup = lookup_in(context);
  GANTRY_CO_TRY(requests::Filter filter, conditions_of(lookup, server_.clock().now()));
  GANTRY_CO_TRY(filter.after_seq, cursor_of(lookup("after")));
  GANTRY_CO_TRY(Bytes shown, body_limit_of(context));
  filter.sequence = requests::Filter::Sequence::oldest_first;
  filter.limit = page_size;
  json::Object details;
  for (std::string_view name : condition_names())
    if (auto value = lookup(name)) details[name] = *value;
  if (filter.after_seq != 0) details["after"] = std::to_string(filter.after_seq);
  co_await note(context, "requests.export", filter.agent.empty() ? "requests" : filter.agent, std::move(details));

  net::Exchange& exchange = context.exchange;
  auto started = exchange.start(200, {{"Content-Type", "application/jsonl"}, {"Cache-Control", "no-store"}},
                                net::Framing::chunked());
  if (!started) co_return std::unexpected(std::move(started).error());
  co_await exchange.flush();
  // What is accepted from now on is not part of it: an export of a busy server has an end.
  const uint64_t until = server_.journal().durable_seq();
  do {
    auto page = co_await server_.requests().list(context.scope, filter);
    if (page) std::erase_if(page->requests, [until](const auto& view) { return view.accept_seq > until; });
    Result<void> sent = page ? co_await export_page(exchange, std::move(page->requests), shown.count)
                             : Result<void>(std::unexpected(page.error()));
    if (!sent || exchange.draining()) {
      if (!page) server_.log().warn("an export broke off", telemetry::field("error", page.error()));
      // Nobody takes a part for the whole: the connection breaks.
      exchange.abort();
      co_return std::optional<Reply>{};
    }
    filter.after_seq = page->next > until ? 0 : page->next;
  } while (filter.after_seq != 0);
  co_await exchange.finish();
  co_return std::optional<Reply>{};
}

Task<Result<void>> Api::export_page(net::Exchange& exchange, std::vector<requests::RequestView> views, size_t shown) {
  for (const requests::RequestView& view : views) {
    json::Object line = request_summary(view);
    line["cursor"] = std::to_string(view.accept_seq);
    // Retention or a purge may have been faster: the line is there all the same, and says so.
    if (auto added = co_await add_contents(server_, view, shown, line); !added) line["error"] = added.error().reason();
    std::string text = json::serialize(line) + "\n";
    GANTRY_CO_TRY_VOID(co_await exchange.send_body(text));
  }
  co_return Result<void>{};
}

}  // namespace gantry::server
