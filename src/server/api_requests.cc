// /v1/requests: what became of each durable request.
#include "server/request_json.h"

namespace gantry::server {
namespace {

// The longest recorded answer that is read into memory at once.
constexpr Bytes blob_limit = mebibytes(256);

Result<RequestId> id_of(const Context& context) { return RequestId::parse(context.parameters.at(0)); }

}  // namespace

Result<requests::Filter> request_filter_of(const Context& context, Time now) {
  const Lookup lookup = lookup_in(context);
  GANTRY_TRY(requests::Filter filter, conditions_of(lookup, now));
  GANTRY_TRY(filter.limit, limit_of(context));
  GANTRY_TRY(filter.before_seq, cursor_of(lookup("after")));
  return filter;
}

Task<Api::Handled> Api::list_requests(Context& context) {
  GANTRY_CO_TRY(requests::Filter filter, request_filter_of(context, server_.clock().now()));
  GANTRY_CO_TRY(requests::Page page, co_await server_.requests().list(context.scope, filter));
  json::Array data;
  for (const requests::RequestView& view : page.requests) data.push_back(request_summary(view));
  co_return Reply{.body = listing(std::move(data), page.next ? std::to_string(page.next) : "")};
}

Task<Api::Handled> Api::get_request(Context& context) {
  GANTRY_CO_TRY(RequestId id, id_of(context));
  GANTRY_CO_TRY(auto wait, duration_of(context, "wait"));
  if (wait)
    co_await server_.requests().wait_finished(
        id, server_.clock().steady() + std::min<Duration>(*wait, std::chrono::minutes(10)));
  GANTRY_CO_TRY(requests::RequestView view, co_await server_.requests().get(context.scope, id));
  co_await note_read(context, "request.read", id.to_string());
  json::Object object = request_summary(view);
  GANTRY_CO_TRY_VOID(co_await add_contents(server_, view, shown_body, object));
  co_return Reply{.body = std::move(object)};
}

Task<Api::Handled> Api::get_response(Context& context) {
  GANTRY_CO_TRY(RequestId id, id_of(context));
  GANTRY_CO_TRY(requests::RequestView view, co_await server_.requests().get(context.scope, id));
  co_await note_read(context, "response.read", id.to_string());
  GANTRY_CO_TRY(requests::StoredAnswer stored, co_await server_.requests().load_answer(view));
  GANTRY_CO_TRY(std::string body, co_await load_body(server_, stored.record.body, blob_limit));
  if (body.size() < stored.record.body.size && stored.record.body.complete)
    co_return fail(Code::exhausted, "the answer has {}; at most {} are served at once",
                   format_bytes_short(Bytes{stored.record.body.size}), format_bytes_short(blob_limit));
  std::vector<net::Header> headers = stored.record.headers;
  std::string id_text = id.to_string();
  headers.push_back({"Gantry-Request-Id", id_text});
  co_await context.exchange.respond(stored.record.status, headers, body);
  co_return std::optional<Reply>{};
}

Task<Api::Handled> Api::replay_request(Context& context) {
  GANTRY_CO_TRY(RequestId id, id_of(context));
  GANTRY_CO_TRY(RequestId copy, co_await server_.requests().replay(context.scope, id, context.principal));
  server_.log().info("request replayed", telemetry::field("request", id), telemetry::field("copy", copy),
                     telemetry::field("principal", context.principal));
  co_await note(context, "request.replay", id.to_string(), {{"copy", copy.to_string()}});
  co_return Reply{
      .status = 202,
      .body = json::Object{{"request_id", copy.to_string()}, {"status", "pending"}, {"replay_of", id.to_string()}},
      .headers = {{"Location", "/v1/requests/" + copy.to_string()}, {"Gantry-Request-Id", copy.to_string()}}};
}

Task<Api::Handled> Api::cancel_request(Context& context) {
  GANTRY_CO_TRY(RequestId id, id_of(context));
  GANTRY_CO_TRY_VOID(co_await server_.proxy().cancel(context.scope, id, context.principal));
  server_.log().info("request cancelled", telemetry::field("request", id),
                     telemetry::field("principal", context.principal));
  co_await note(context, "request.cancel", id.to_string(), {});
  GANTRY_CO_TRY(requests::RequestView view, co_await server_.requests().get(context.scope, id));
  co_return Reply{.body = request_summary(view)};
}

}  // namespace gantry::server
