// /v1/quotas: what the agents of the scope may ask for together.
#include <algorithm>

#include "server/api.h"

namespace gantry::server {
namespace {

constexpr size_t body_limit = size_t{4} << 10;

Reply quota_reply(const std::vector<agents::QuotaView>& views) {
  json::Array data;
  for (const agents::QuotaView& view : views) data.push_back(agents::to_json(view));
  return Reply{.body = listing(std::move(data), "")};
}

// `8Gi` and 8589934592 mean the same; null means what the configuration says.
Result<agents::QuotaChange> change_of(std::string_view name, const json::Value& value) {
  const auto resource = agents::resource_from_string(name);
  if (!resource) {
    std::vector<std::string_view> known;
    for (agents::Resource each : agents::all_resources) known.push_back(agents::to_string(each));
    const auto near = closest(name, known);
    return std::unexpected(Error(ErrorId::GR0513, fmt::format("there is no quota of '{}'", name.substr(0, 64)))
                               .with_hint(near ? fmt::format("did you mean '{}'?", *near)
                                               : fmt::format("there are quotas of {}", fmt::join(known, ", "))));
  }
  agents::QuotaChange change{.resource = *resource};
  if (value.is_null()) {
    change.to = agents::QuotaChange::To::config;
    return change;
  }
  GANTRY_TRY(change.limit, agents::parse_limit(*resource, value.is_string() ? std::string(value.get_string())
                                                                            : json::serialize(value)));
  return change;
}

}  // namespace

Task<Api::Handled> Api::list_quotas(Context& context) {
  GANTRY_CO_TRY(auto views, co_await server_.agents().quotas(context.scope));
  co_return quota_reply(views);
}

// PATCH changes the limits that are named; PUT gives the others back to the configuration.
Task<Api::Handled> Api::change_quotas(Context& context) {
  GANTRY_CO_TRY(std::string text, co_await context.exchange.read_all(body_limit));
  GANTRY_CO_TRY(json::Value body, json::parse(text));
  if (!body.is_object())
    co_return fail(Code::invalid, "the body is no object of limits such as {{\"memory\": \"8Gi\"}}");
  std::vector<agents::QuotaChange> changes;
  if (context.exchange.request().method == "PUT")
    for (agents::Resource resource : agents::all_resources)
      changes.push_back({.resource = resource, .to = agents::QuotaChange::To::config});
  for (const auto& member : body.get_object()) {
    GANTRY_CO_TRY(agents::QuotaChange change, change_of(std::string_view(member.key()), member.value()));
    changes.push_back(change);
  }
  GANTRY_CO_TRY(auto views, co_await server_.agents().change_quotas(context.scope, std::move(changes)));
  json::Object details;
  for (const agents::QuotaView& view : views)
    details[to_string(view.resource)] = view.limit ? agents::format_amount(view.resource, *view.limit) : "none";
  co_await note(context, "quota.set", context.scope.path(), std::move(details));
  co_return quota_reply(views);
}

}  // namespace gantry::server
