// Requests as JSON, and filters out of queries and bodies. Private to this folder.
#pragma once

#include <functional>

#include "server/api.h"

namespace gantry::server {

/// What of a body is shown inside JSON; the whole answer is at /response.
inline constexpr size_t shown_body = size_t{64} << 10;

/// Without headers, bodies and attempts.
json::Object request_summary(const requests::RequestView& view);
json::Array headers_json(const requests::FieldList& fields);
/// At most `shown` bytes, as text if they are text.
json::Object body_json(std::string_view bytes, const requests::Body& body, size_t shown);
json::Array attempts_json(const requests::RequestState& state);
/// The bytes of a body, from the record or from its blob; of one longer than `limit` the beginning.
Task<Result<std::string>> load_body(Composition& server, requests::Body body, Bytes limit);
/// `request`, `response`, `attempt_log` and, if it was edited, `original`; a body has at most `shown` bytes.
Task<Result<void>> add_contents(Composition& server, requests::RequestView view, size_t shown, json::Object& object);

/// The value of a condition by its name.
using Lookup = std::function<std::optional<std::string>(std::string_view name)>;
/// In the query of a call, which outlives it.
Lookup lookup_in(const Context& context);
/// The names that `conditions_of` looks up.
std::span<const std::string_view> condition_names();
/// `agent`, `status`, `older_than`, `newer_than`, `key`, `path`, `reason`, `text`, `all_queues`.
Result<requests::Filter> conditions_of(const Lookup& lookup, Time now);
/// A cursor of a listing; 0 if it is not given.
Result<uint64_t> cursor_of(const std::optional<std::string>& text);

}  // namespace gantry::server
