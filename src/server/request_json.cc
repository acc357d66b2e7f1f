#include "server/request_json.h"

#include <array>
#include <charconv>

#include "crypto/crypto.h"

namespace gantry::server {
namespace {

json::Value time_json(Time time) { return time == Time{} ? json::Value(nullptr) : json::Value(format_time(time)); }

int64_t milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
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

constexpr std::array<std::string_view, 9> names{"agent", "status", "older_than", "newer_than", "key",
                                                "path",  "reason", "text",       "all_queues"};

Result<Time> ago(std::string_view name, const std::string& text, Time now) {
  auto duration = parse_duration(text);
  if (!duration) return std::unexpected(std::move(duration).error().wrap(name));
  return now - *duration;
}

Result<bool> flag_of(std::string_view name, const std::string& text) {
  if (text == "true" || text.empty()) return true;
  if (text == "false") return false;
  return fail(Code::invalid, "{}: '{}' is neither true nor false", name, text.substr(0, 64));
}

Task<Result<json::Object>> message_of(Composition& server, requests::StoredRequest stored, size_t shown) {
  GANTRY_CO_TRY(std::string body, co_await load_body(server, stored.record.body, Bytes{shown}));
  co_return json::Object{{"headers", headers_json(stored.record.headers)},
                         {"body", body_json(body, stored.record.body, shown)}};
}

// What the caller asked for beyond the delivery; null for what it left to the agent.
json::Object asked_json(const requests::Conditions& conditions) {
  const requests::RetryOverride& retry = conditions.retry;
  json::Object policy;
  if (retry.max) policy["max"] = *retry.max;
  if (retry.policy) policy["policy"] = to_string(*retry.policy);
  if (retry.initial) policy["initial"] = format_duration(*retry.initial);
  if (retry.cap) policy["cap"] = format_duration(*retry.cap);
  if (retry.timeout) policy["timeout"] = format_duration(*retry.timeout);
  if (retry.on) {
    json::Array words;
    for (std::string& word : core::words_of(*retry.on)) words.emplace_back(std::move(word));
    policy["retry_on"] = std::move(words);
  }
  return {{"priority", conditions.priority},
          {"order_key", conditions.order_key.empty() ? json::Value(nullptr) : json::Value(conditions.order_key)},
          {"not_before", time_json(conditions.not_before)},
          {"deadline", time_json(conditions.deadline)},
          {"retry", policy.empty() ? json::Value(nullptr) : json::Value(std::move(policy))}};
}

}  // namespace

json::Object request_summary(const requests::RequestView& view) {
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
      {"requeued_at", view.requeued ? json::Value(format_time(view.requeued->at)) : json::Value(nullptr)},
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

json::Object body_json(std::string_view bytes, const requests::Body& body, size_t shown_bytes) {
  json::Object object{{"bytes", body.size}};
  if (body.blob)
    object["sha256"] = crypto::hex(*body.blob);
  else
    object["sha256"] = crypto::sha256_hex(bytes);
  std::string_view shown = bytes.substr(0, shown_bytes);
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

Task<Result<void>> add_contents(Composition& server, requests::RequestView view, size_t shown, json::Object& object) {
  GANTRY_CO_TRY(requests::StoredRequest stored, co_await server.requests().load_request(view));
  object["asked"] = asked_json(stored.record.conditions);
  GANTRY_CO_TRY(object["request"], co_await message_of(server, std::move(stored), shown));
  object["response"] = nullptr;
  if (view.final_at) {
    GANTRY_CO_TRY(requests::StoredAnswer answer, co_await server.requests().load_answer(view));
    GANTRY_CO_TRY(std::string body, co_await load_body(server, answer.record.body, Bytes{shown}));
    object["response"] = json::Object{{"status", answer.record.status},
                                      {"headers", headers_json(answer.record.headers)},
                                      {"body", body_json(body, answer.record.body, shown)}};
  }
  object["attempt_log"] = attempts_json(view.state);
  if (view.requeued && view.requeued->original) {
    GANTRY_CO_TRY(requests::StoredRequest original, co_await server.requests().load_original(view));
    json::Object before{{"method", original.record.method}, {"target", original.record.target}};
    GANTRY_CO_TRY(json::Object message, co_await message_of(server, std::move(original), shown));
    for (auto& member : message) before[member.key()] = std::move(member.value());
    object["original"] = std::move(before);
  }
  co_return Result<void>{};
}

std::span<const std::string_view> condition_names() { return names; }

Lookup lookup_in(const Context& context) {
  return [&context](std::string_view name) -> std::optional<std::string> {
    auto found = context.find(name);
    return found ? std::optional<std::string>(*found) : std::nullopt;
  };
}

Result<requests::Filter> conditions_of(const Lookup& lookup, Time now) {
  requests::Filter filter;
  filter.agent = lookup("agent").value_or("");
  if (auto text = lookup("status")) {
    filter.status = requests::status_from_string(*text);
    if (!filter.status)
      return fail(Code::invalid, "status: '{}' is none of pending, processing, completed, failed, cancelled",
                  text->substr(0, 64));
  }
  if (auto text = lookup("older_than")) {
    GANTRY_TRY(filter.created_before, ago("older_than", *text, now));
  }
  if (auto text = lookup("newer_than")) {
    GANTRY_TRY(filter.created_after, ago("newer_than", *text, now));
  }
  filter.key = lookup("key").value_or("");
  filter.path = lookup("path").value_or("");
  filter.reason = lookup("reason").value_or("");
  filter.text = lookup("text").value_or("");
  for (const std::string* text : {&filter.key, &filter.path, &filter.reason, &filter.text})
    if (text->size() > 1024) return fail(Code::invalid, "a condition of the filter is longer than 1024 bytes");
  bool all_queues = false;
  if (auto text = lookup("all_queues")) {
    GANTRY_TRY(all_queues, flag_of("all_queues", *text));
  }
  filter.queues = all_queues ? requests::Filter::Queues::all : requests::Filter::Queues::of_agents;
  return filter;
}

Result<uint64_t> cursor_of(const std::optional<std::string>& text) {
  if (!text) return uint64_t{0};
  uint64_t cursor = 0;
  auto [stop, error] = std::from_chars(text->data(), text->data() + text->size(), cursor);
  // A sequence is a positive number of the store.
  if (error != std::errc() || stop != text->data() + text->size() || cursor == 0 || cursor > INT64_MAX)
    return fail(Code::invalid, "after: '{}' is no cursor of this listing", text->substr(0, 64));
  return cursor;
}

}  // namespace gantry::server
