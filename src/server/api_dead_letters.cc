// What is done to requests that have ended: requeue (with an edit), requeue many, purge.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "crypto/crypto.h"
#include "server/request_json.h"

namespace gantry::server {
namespace {

// The longest body of an edit as base64, and what stands around it.
constexpr size_t edit_limit = size_t{12} << 20;
constexpr size_t many_limit = size_t{64} << 10;
constexpr double default_rate = 10;  // a second
constexpr Duration longest_delay = std::chrono::days(365);
constexpr size_t default_many = 1000;

std::unexpected<Error> wrong(std::string reason) {
  return std::unexpected(
      Error(ErrorId::GR0416, std::move(reason))
          .with_hint(R"(such as {"method": "PUT", "target": "/a?b=c", "headers": {"set": [["X-A", "1"]], "remove": )"
                     R"(["X-B"]}, "body": {"text": "…"}, "delay": "10m"})"));
}

Result<requests::Edit::Fields> fields_of(const json::Value& value, std::string_view where) {
  if (!value.is_array()) return wrong(fmt::format("{}: expected a list, got {}", where, json::kind_name(value)));
  requests::Edit::Fields fields;
  for (const json::Value& pair : value.get_array()) {
    if (!pair.is_array() || pair.get_array().size() != 2 || !pair.get_array()[0].is_string() ||
        !pair.get_array()[1].is_string())
      return wrong(fmt::format("{}: each is a list of name and value", where));
    fields.emplace_back(std::string(pair.get_array()[0].get_string()), std::string(pair.get_array()[1].get_string()));
  }
  return fields;
}

Result<void> read_headers(const json::Value& headers, requests::Edit& edit) {
  if (headers.is_array()) {
    GANTRY_TRY(edit.headers, fields_of(headers, "headers"));
    return {};
  }
  if (!headers.is_object()) return wrong(fmt::format("headers: expected an object, got {}", json::kind_name(headers)));
  for (const auto& member : headers.get_object())
    if (member.key() != "set" && member.key() != "remove")
      return wrong(fmt::format("headers.{}: there is no such field", std::string_view(member.key()).substr(0, 64)));
  if (const json::Value* set = json::find(headers, "set")) {
    GANTRY_TRY(edit.set, fields_of(*set, "headers.set"));
  }
  if (json::find(headers, "remove") == nullptr) return {};
  auto names = json::get_strings(headers, "remove");
  if (!names) return wrong(fmt::format("headers.{}", names.error().reason()));
  edit.remove = std::move(*names);
  return {};
}

Result<std::string> body_of(const json::Value& body) {
  if (body.is_string()) return std::string(body.get_string());
  const json::Value* text = json::find(body, "text");
  const json::Value* base64 = json::find(body, "base64");
  if (!body.is_object() || body.get_object().size() != 1 || (!text && !base64))
    return wrong("body: expected a text, or an object with either `text` or `base64`");
  const json::Value& value = text ? *text : *base64;
  if (!value.is_string()) return wrong(fmt::format("body: expected a string, got {}", json::kind_name(value)));
  if (text) return std::string(value.get_string());
  auto bytes = crypto::unbase64(std::string_view(value.get_string()));
  if (!bytes) return wrong(fmt::format("body.base64: {}", bytes.error().reason()));
  return std::string(bytes->begin(), bytes->end());
}

Result<requests::Edit> edit_of(const json::Value& body) {
  requests::Edit edit;
  for (auto [name, slot] : {std::pair("method", &edit.method), std::pair("target", &edit.target)}) {
    const json::Value* value = json::find(body, name);
    if (value == nullptr) continue;
    if (!value->is_string()) return wrong(fmt::format("{}: expected a string, got {}", name, json::kind_name(*value)));
    *slot = std::string(value->get_string());
  }
  if (const json::Value* headers = json::find(body, "headers")) GANTRY_TRY_VOID(read_headers(*headers, edit));
  if (const json::Value* content = json::find(body, "body")) {
    GANTRY_TRY(edit.body, body_of(*content));
  }
  return edit;
}

// `not_before` in the body, or a delay.
Result<Time> time_of(const json::Value& body, Time now) {
  if (json::find(body, "not_before") != nullptr) {
    if (json::find(body, "delay") != nullptr) return fail(Code::invalid, "not_before: `delay` stands beside it");
    GANTRY_TRY(std::string text, json::get_string(body, "not_before"));
    auto time = parse_time(text);
    if (!time) return std::unexpected(std::move(time).error().wrap("not_before"));
    if (*time > now + longest_delay) return fail(Code::invalid, "not_before: that is more than a year ahead");
    return *time <= now ? Time{} : *time;
  }
  if (json::find(body, "delay") == nullptr) return Time{};
  GANTRY_TRY(std::string text, json::get_string(body, "delay"));
  auto delay = parse_duration(text);
  if (!delay) return std::unexpected(std::move(delay).error().wrap("delay"));
  if (*delay > longest_delay) return fail(Code::invalid, "delay: '{}' is more than a year", text.substr(0, 64));
  return *delay == Duration{} ? Time{} : now + *delay;
}

// `5/s`, `30/m`, `100/h`, a bare number a second, or `none`: the pause between two.
Result<Duration> pause_of(const json::Value& body) {
  GANTRY_TRY(std::string text, json::get_string_or(body, "rate", ""));
  if (text == "none") return Duration{};
  double rate = default_rate;
  double per = 1;
  if (!text.empty()) {
    auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), rate);
    std::string_view unit = error == std::errc() ? std::string_view(stop, text.data() + text.size()) : "?";
    per = unit == "/m" ? 60 : unit == "/h" ? 3600 : unit == "/s" || unit.empty() ? 1 : 0;
  }
  const double pause = per / rate;
  if (per == 0 || !std::isfinite(pause) || pause < 0.0001 || pause > 3600)
    return std::unexpected(
        Error(Code::invalid, fmt::format("rate: '{}' is not a rate", text.substr(0, 64)))
            .with_hint("such as 5/s, 30/m or 100/h; at least 1/h, at most 10000/s; `none` for all at once"));
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(pause));
}

struct Many {
  requests::Filter filter;
  json::Value body;
};

// Who wants all says so: an empty body must not empty the store.
Task<Result<Many>> read_many(Context& context, Time now, std::vector<std::string_view> more) {
  std::vector<std::string_view> known(condition_names().begin(), condition_names().end());
  known.insert(known.end(), {"all", "limit", "after"});
  known.insert(known.end(), more.begin(), more.end());
  GANTRY_CO_TRY(json::Value body, co_await read_object(context, many_limit, known));
  bool conditions = false;
  for (std::string_view name : condition_names()) conditions |= json::find(body, name) != nullptr;
  GANTRY_CO_TRY(const bool all, json::get_bool_or(body, "all", false));
  if (!conditions && !all)
    co_return std::unexpected(Error(Code::invalid, "there is no condition, and `all` is not true")
                                  .with_hint(R"(such as {"agent": "bot"} or {"all": true})"));
  for (std::string_view name : condition_names())
    if (const json::Value* value = json::find(body, name); value && !value->is_string() && !value->is_bool())
      co_return fail(Code::invalid, "{}: expected a string, got {}", name, json::kind_name(*value));
  Lookup lookup = [&body](std::string_view name) -> std::optional<std::string> {
    const json::Value* value = json::find(body, name);
    if (value == nullptr) return std::nullopt;
    return value->is_string() ? std::string(value->get_string()) : json::serialize(*value);
  };
  Many many{.filter = {}, .body = {}};
  GANTRY_CO_TRY(many.filter, conditions_of(lookup, now));
  GANTRY_CO_TRY(many.filter.limit, json::get_uint_or(body, "limit", default_many));
  if (many.filter.limit == 0 || many.filter.limit > requests::most_changed_at_once)
    co_return fail(Code::invalid, "limit: {} is not a number from 1 to {}", many.filter.limit,
                   requests::most_changed_at_once);
  GANTRY_CO_TRY(many.filter.after_seq, cursor_of(lookup("after")));
  many.body = std::move(body);
  co_return many;
}

json::Object batch_json(std::string_view done, const requests::Batch& batch) {
  return {{done, batch.done},
          {"skipped", batch.skipped},
          {"first_error", batch.first_error.empty() ? json::Value(nullptr) : json::Value(batch.first_error)},
          {"next", batch.next ? json::Value(std::to_string(batch.next)) : json::Value(nullptr)}};
}

}  // namespace

requests::Requeue Api::requeue_by(const Context& context) const {
  requests::Requeue how{.principal = context.principal};
  how.agent_of = [this](const Scope& scope, const std::string& name) -> std::optional<AgentId> {
    auto route = server_.agents().find(scope, name);
    return route ? std::optional(route->agent()) : std::nullopt;
  };
  return how;
}

Task<Api::Handled> Api::requeue_request(Context& context) {
  GANTRY_CO_TRY(RequestId id, RequestId::parse(context.parameters.at(0)));
  auto body = co_await read_object(context, edit_limit, {"method", "target", "headers", "body", "delay", "not_before"});
  if (!body && body.error().code() == Code::invalid) co_return wrong(body.error().reason());
  if (!body) co_return std::unexpected(std::move(body).error());
  requests::Requeue how = requeue_by(context);
  GANTRY_CO_TRY(how.edit, edit_of(*body));
  GANTRY_CO_TRY(how.not_before, time_of(*body, server_.clock().now()));
  const bool was_edited = !how.edit.empty();
  GANTRY_CO_TRY_VOID(co_await server_.requests().requeue(context.scope, id, std::move(how)));
  server_.log().info("request requeued", telemetry::field("request", id), telemetry::field("edited", was_edited),
                     telemetry::field("principal", context.principal));
  GANTRY_CO_TRY(requests::RequestView view, co_await server_.requests().get(context.scope, id));
  co_return Reply{
      .status = 202, .body = request_summary(view), .headers = {{"Location", "/v1/requests/" + id.to_string()}}};
}

Task<Api::Handled> Api::requeue_requests(Context& context) {
  const Time now = server_.clock().now();
  GANTRY_CO_TRY(Many many, co_await read_many(context, now, {"rate", "delay", "not_before"}));
  const auto status = many.filter.status;
  if (status && status != requests::Status::failed && status != requests::Status::cancelled)
    co_return fail(Code::invalid, "status: only failed and cancelled requests can be requeued");
  GANTRY_CO_TRY(const Duration pause, pause_of(many.body));
  requests::Requeue how = requeue_by(context);
  GANTRY_CO_TRY(how.not_before, time_of(many.body, now));
  GANTRY_CO_TRY(requests::Batch batch,
                co_await server_.requests().requeue_many(context.scope, many.filter, std::move(how), pause));
  server_.log().info("requests requeued", telemetry::field("count", batch.done),
                     telemetry::field("principal", context.principal));
  json::Object object = batch_json("requeued", batch);
  object["last_at"] = batch.last_at ? json::Value(format_time(*batch.last_at)) : json::Value(nullptr);
  object["next_at"] = batch.next_at ? json::Value(format_time(*batch.next_at)) : json::Value(nullptr);
  co_return Reply{.body = std::move(object)};
}

Task<Api::Handled> Api::purge_request(Context& context) {
  GANTRY_CO_TRY(RequestId id, RequestId::parse(context.parameters.at(0)));
  GANTRY_CO_TRY_VOID(co_await server_.requests().purge(context.scope, id, context.principal));
  server_.log().info("request purged", telemetry::field("request", id),
                     telemetry::field("principal", context.principal));
  co_return Reply{.body = json::Object{{"purged", id.to_string()}}};
}

Task<Api::Handled> Api::purge_requests(Context& context) {
  GANTRY_CO_TRY(Many many, co_await read_many(context, server_.clock().now(), {}));
  const auto status = many.filter.status;
  if (status == requests::Status::pending || status == requests::Status::processing)
    co_return fail(Code::invalid, "status: only what has ended can be purged: completed, failed, cancelled");
  GANTRY_CO_TRY(requests::Batch batch,
                co_await server_.requests().purge_many(context.scope, many.filter, context.principal));
  server_.log().info("requests purged", telemetry::field("count", batch.done),
                     telemetry::field("principal", context.principal));
  co_return Reply{.body = batch_json("purged", batch)};
}

}  // namespace gantry::server
