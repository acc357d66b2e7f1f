// JSON bodies of /v1: objects whose members are all known.
#include <algorithm>

#include "server/api.h"

namespace gantry::server {

Task<Result<json::Value>> read_object(Context& context, size_t limit, std::vector<std::string_view> known) {
  GANTRY_CO_TRY(std::string text, co_await context.exchange.read_all(limit));
  if (text.empty()) co_return json::Value(json::Object{});
  GANTRY_CO_TRY(json::Value body, json::parse(text));
  if (!body.is_object()) co_return fail(Code::invalid, "expected an object, got {}", json::kind_name(body));
  for (const auto& member : body.get_object()) {
    std::string_view key(member.key().data(), member.key().size());
    if (std::ranges::find(known, key) != known.end()) continue;
    Error error(Code::invalid, fmt::format("{}: there is no such field", key.substr(0, 64)));
    auto near = closest(key, known);
    co_return std::unexpected(std::move(error).with_hint(near ? fmt::format("did you mean `{}`?", *near)
                                                              : fmt::format("possible: {}", fmt::join(known, ", "))));
  }
  co_return body;
}

}  // namespace gantry::server
