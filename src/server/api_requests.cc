// /v1/requests: what became of each durable request.
#include <charconv>

#include "crypto/crypto.h"
#include "server/api.h"

namespace gantry::server {
namespace {

// What of a body is shown inside JSON; the whole answer is at /response.
constexpr size_t shown_body = size_t{64} << 10;
// The longest recorded answer that is read into memory at once.
constexpr Bytes blob_limit = mebibytes(256);

json::Value time_json(Time time) { return time == Time{} ? json::Value(nullptr) : json::Value(format_time(time)); }

int64_t milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

json::Object summary(const requests::RequestView& view) {
  const requests::RequestState& state = view.state;
  bool ended = state.finished();
  json::Object object{
      {"id", view.id.to_string()},
      {"agent", view.agent},
      {"scope", view.scope.path()},
      {"method", view.method},
      {"target", view.target},
      {"status", requests::to_string(state.status)},
      {"dead_letter", state.status == requests::Status::failed},
      {"attempts", state.attempts},
      {"created_at", format_time(view.created_at)},
      {"completed_at", ended ? time_json(state.ended_at) : json::Value(nullptr)},
      {"duration_ms", ended ? json::Value(milliseconds(state.ended_at - view.created_at)) : json::Value(nullptr)},
      {"response_status", state.response_status ? json::Value(state.response_status) : json::Value(nullptr)},
      {"reason", state.reason.empty() ? json::Value(nullptr) : json::Value(state.reason)},
      {"next_attempt_at",
       state.status == requests::Status::pending ? time_json(state.not_before) : json::Value(nullptr)},
      {"idempotency_key", view.key.empty() ? json::Value(nullptr) : json::Value(view.key)},
      {"replay_of", view.replay_of ? json::Value(view.replay_of->to_string()) : json::Value(nullptr)}};
  return object;
}

json::Array headers_json(const requests::FieldList& fields) {
  json::Array array;
  for (const net::Header& field : fields)
    array.push_back(json::Array{json::Value(field.name), json::Value(field.value)});
  return array;
}

// True if the bytes are UTF-8 that may stand in JSON as it is: the round trip through the quoting changes nothing.
bool is_text(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    auto byte = static_cast<unsigned char>(bytes[i]);
    size_t length = byte < 0x80                   ? 1
                    : byte >= 0xc2 && byte < 0xe0 ? 2
                    : byte >= 0xe0 && byte < 0xf0 ? 3
                    : byte >= 0xf0 && byte < 0xf5 ? 4
                                                  : 0;
    if (length == 0 || i + length > bytes.size()) return false;
    for (size_t k = 1; k < length; ++k)
      if ((static_cast<unsigned char>(bytes[i + k]) & 0xc0) != 0x80) return false;
    if (byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') return false;
    i += length;
  }
  return true;
}

json::Object body_json(std::string_view bytes, const requests::Body& body) {
  json::Object object{{"bytes", body.size}};
  if (body.blob)
    object["sha256"] = crypto::hex(*body.blob);
  else
    object["sha256"] = crypto::sha256_hex(bytes);
  std::string_view shown = bytes.substr(0, shown_body);
  if (is_text(shown))
    object["text"] = shown;
  else
    object["base64"] = crypto::base64(shown);
  object["truncated"] = shown.size() < body.size;
  return object;
}

json::Array attempts_json(const requests::RequestState& state) {
  json::Array array;
  for (const requests::Attempt& attempt : state.log) {
    array.push_back(
        json::Object{{"attempt", attempt.number},
                     {"instance", attempt.instance.to_string()},
                     {"started_at", format_time(attempt.started_at)},
                     {"ended_at", time_json(attempt.ended_at)},
                     {"outcome", requests::to_string(attempt.outcome)},
                     {"detail", attempt.detail.empty() ? json::Value(nullptr) : json::Value(attempt.detail)}});
  }
  return array;
}

Result<RequestId> id_of(const Context& context) { return RequestId::parse(context.parameters.at(0)); }

// The bytes of a body, from the record or from its blob.
Task<Result<std::string>> load_body(Composition& server, requests::Body body, Bytes limit) {
  if (!body.blob) co_return std::string(body.inline_bytes);
  if (body.size > limit.count) {
    // Only the beginning is shown: it is read in one piece.
    GANTRY_CO_TRY(auto piece, co_await server.blocking().run([&server, body]() -> Result<std::string> {
      GANTRY_TRY(auto reader, server.requests().blobs().open(*body.blob));
      std::string start(shown_body, '\0');
      GANTRY_TRY(size_t count, reader->read(start));
      start.resize(count);
      return start;
    }));
    co_return piece;
  }
  GANTRY_CO_TRY(auto whole, co_await server.blocking().run(
                                [&server, body, limit] { return server.requests().blobs().read(*body.blob, limit); }));
  co_return whole;
}

}  // namespace

Result<requests::Filter> request_filter_of(const Context& context) {
  requests::Filter filter;
  GANTRY_TRY(filter.limit, limit_of(context));
  filter.agent = context.find("agent").value_or("");
  if (auto text = context.find("status")) {
    filter.status = requests::status_from_string(*text);
    if (!filter.status)
      return fail(Code::invalid, "status: '{}' is none of pending, processing, completed, failed, cancelled",
                  text->substr(0, 64));
  }
  if (auto after = context.find("after")) {
    auto [stop, error] = std::from_chars(after->data(), after->data() + after->size(), filter.before_seq);
    if (error != std::errc() || stop != after->data() + after->size() || filter.before_seq == 0)
      return fail(Code::invalid, "after: '{}' is no cursor of this listing", after->substr(0, 64));
  }
  return filter;
}

Task<Api::Handled> Api::list_requests(Context& context) {
  GANTRY_CO_TRY(requests::Filter filter, request_filter_of(context));
  GANTRY_CO_TRY(requests::Page page, co_await server_.requests().list(context.scope, filter));
  json::Array data;
  for (const requests::RequestView& view : page.requests) data.push_back(summary(view));
  co_return Reply{.body = listing(std::move(data), page.next ? std::to_string(page.next) : "")};
}

Task<Api::Handled> Api::get_request(Context& context) {
  GANTRY_CO_TRY(RequestId id, id_of(context));
  GANTRY_CO_TRY(auto wait, duration_of(context, "wait"));
  if (wait)
    co_await server_.requests().wait_finished(
        id, server_.clock().steady() + std::min<Duration>(*wait, std::chrono::minutes(10)));
  GANTRY_CO_TRY(requests::RequestView view, co_await server_.requests().get(context.scope, id));
  json::Object object = summary(view);
  GANTRY_CO_TRY(requests::StoredRequest stored, co_await server_.requests().load_request(view));
  GANTRY_CO_TRY(std::string body, co_await load_body(server_, stored.record.body, Bytes{shown_body}));
  object["request"] =
      json::Object{{"headers", headers_json(stored.record.headers)}, {"body", body_json(body, stored.record.body)}};
  object["response"] = nullptr;
  if (view.final_at) {
    GANTRY_CO_TRY(requests::StoredAnswer answer, co_await server_.requests().load_answer(view));
    GANTRY_CO_TRY(std::string answer_body, co_await load_body(server_, answer.record.body, Bytes{shown_body}));
    object["response"] = json::Object{{"status", answer.record.status},
                                      {"headers", headers_json(answer.record.headers)},
                                      {"body", body_json(answer_body, answer.record.body)}};
  }
  object["attempt_log"] = attempts_json(view.state);
  co_return Reply{.body = std::move(object)};
}

Task<Api::Handled> Api::get_response(Context& context) {
  GANTRY_CO_TRY(RequestId id, id_of(context));
  GANTRY_CO_TRY(requests::RequestView view, co_await server_.requests().get(context.scope, id));
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
  GANTRY_CO_TRY(requests::RequestView view, co_await server_.requests().get(context.scope, id));
  co_return Reply{.body = summary(view)};
}

}  // namespace gantry::server
