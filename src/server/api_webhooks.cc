// /v1/webhooks: who is told when a request changes its status, and what came of telling.
#include <algorithm>
#include <charconv>

#include "server/api.h"

namespace gantry::server {
namespace {

constexpr size_t body_limit = size_t{64} << 10;

const std::string& name_of(const Context& context) { return context.parameters.at(0); }

json::Value time_json(const std::optional<Time>& time) {
  return time && *time != Time{} ? json::Value(format_time(*time)) : json::Value(nullptr);
}

json::Value text_json(std::string_view text) { return text.empty() ? json::Value(nullptr) : json::Value(text); }

json::Object webhook_json(const webhooks::Webhook& webhook, const requests::Counts& counts) {
  json::Array events;
  for (webhooks::Event event : webhook.events) events.push_back(json::Value(webhooks::to_string(event)));
  return {{"id", webhook.id.to_string()},
          {"name", webhook.name},
          {"scope", webhook.scope.path()},
          {"url", webhook.url},
          {"events", std::move(events)},
          {"agent", text_json(webhook.agent)},
          {"enabled", webhook.enabled},
          {"disabled_reason", text_json(webhook.disabled_reason)},
          {"old_secret_until", time_json(webhook.old_secret_until)},
          {"pending", counts.pending},
          {"processing", counts.processing},
          {"created_at", format_time(webhook.created_at)},
          {"updated_at", format_time(webhook.updated_at)}};
}

json::Object delivery_json(const webhooks::Delivery& delivery, std::string_view webhook) {
  const requests::RequestState& state = delivery.request.state;
  bool waits = state.status == requests::Status::pending;
  return {
      {"id", delivery.request.id.to_string()},
      {"webhook", webhook},
      {"event", text_json(delivery.event)},
      {"request_id", text_json(delivery.subject)},
      {"message_id", text_json(delivery.message_id)},
      {"status", requests::to_string(state.status)},
      {"dead_letter", state.status == requests::Status::failed},
      {"attempts", state.attempts},
      {"created_at", format_time(delivery.request.created_at)},
      {"completed_at", state.finished() ? time_json(state.ended_at) : json::Value(nullptr)},
      {"response_status", state.response_status ? json::Value(state.response_status) : json::Value(nullptr)},
      {"reason", text_json(!state.reason.empty() || state.log.empty() || state.finished() ? state.reason
                                                                                          : state.log.back().detail)},
      {"next_attempt_at", waits ? time_json(state.not_before) : json::Value(nullptr)},
      {"replay_of",
       delivery.request.replay_of ? json::Value(delivery.request.replay_of->to_string()) : json::Value(nullptr)}};
}

Result<std::vector<webhooks::Event>> events_of(const json::Value& body) {
  GANTRY_TRY(std::vector<std::string> words, json::get_strings(body, "events"));
  std::vector<webhooks::Event> events;
  for (const std::string& word : words) {
    auto event = webhooks::event_from_string(word);
    if (!event) {
      std::vector<std::string_view> known;
      for (webhooks::Event each : webhooks::all_events()) known.push_back(webhooks::to_string(each));
      return fail(Code::invalid, "events: '{}' is none of {}", word.substr(0, 64), fmt::join(known, ", "));
    }
    events.push_back(*event);
  }
  return events;
}

bool has(const json::Value& body, std::string_view member) { return json::find(body, member) != nullptr; }

Result<webhooks::Change> change_of(const json::Value& body) {
  webhooks::Change change;
  if (has(body, "url")) {
    GANTRY_TRY(change.url, json::get_string(body, "url"));
  }
  if (has(body, "events")) {
    GANTRY_TRY(change.events, events_of(body));
  }
  // null: of all agents.
  if (has(body, "agent")) {
    GANTRY_TRY(change.agent, json::get_string_or(body, "agent", ""));
  }
  if (has(body, "enabled")) {
    GANTRY_TRY(change.enabled, json::get_bool(body, "enabled"));
  }
  return change;
}

Reply accepted(RequestId id, std::string_view webhook) {
  return {.status = 202,
          .body = json::Object{{"delivery_id", id.to_string()}, {"status", "pending"}, {"webhook", webhook}},
          .headers = {{"Location", "/v1/requests/" + id.to_string()}}};
}

}  // namespace

Task<Api::Handled> Api::list_webhooks(Context& context) {
  json::Array data;
  for (const webhooks::Webhook& webhook : server_.webhooks().list(context.scope))
    data.push_back(webhook_json(webhook, server_.webhooks().counts(webhook.id)));
  // Their number is bounded: one page holds them all.
  co_return Reply{.body = listing(std::move(data), "")};
}

Task<Api::Handled> Api::get_webhook(Context& context) {
  GANTRY_CO_TRY(webhooks::Webhook webhook, server_.webhooks().get(context.scope, name_of(context)));
  co_return Reply{.body = webhook_json(webhook, server_.webhooks().counts(webhook.id))};
}

// The answer is one of the two places where a secret is ever shown.
Reply Api::made_reply(int status, const webhooks::Made& made) const {
  json::Object object = webhook_json(made.webhook, server_.webhooks().counts(made.webhook.id));
  object["secret"] = made.secret.reveal();
  return {.status = status, .body = std::move(object)};
}

Task<Api::Handled> Api::make_webhook(Context& context) {
  GANTRY_CO_TRY(json::Value body, co_await read_object(context, body_limit, {"name", "url", "events", "agent"}));
  webhooks::NewWebhook wanted;
  GANTRY_CO_TRY(wanted.name, json::get_string(body, "name"));
  GANTRY_CO_TRY(wanted.url, json::get_string(body, "url"));
  GANTRY_CO_TRY(wanted.agent, json::get_string_or(body, "agent", ""));
  if (has(body, "events")) {
    GANTRY_CO_TRY(wanted.events, events_of(body));
  }
  GANTRY_CO_TRY(webhooks::Made made, co_await server_.webhooks().make(context.scope, std::move(wanted)));
  server_.log().info("webhook made", telemetry::field("webhook", made.webhook.name),
                     telemetry::field("principal", context.principal));
  co_return made_reply(201, made);
}

Task<Api::Handled> Api::change_webhook(Context& context) {
  GANTRY_CO_TRY(json::Value body, co_await read_object(context, body_limit, {"url", "events", "agent", "enabled"}));
  GANTRY_CO_TRY(webhooks::Change change, change_of(body));
  GANTRY_CO_TRY(webhooks::Webhook webhook,
                co_await server_.webhooks().change(context.scope, name_of(context), std::move(change)));
  server_.log().info("webhook changed", telemetry::field("webhook", webhook.name),
                     telemetry::field("principal", context.principal));
  co_return Reply{.body = webhook_json(webhook, server_.webhooks().counts(webhook.id))};
}

Task<Api::Handled> Api::delete_webhook(Context& context) {
  GANTRY_CO_TRY_VOID(co_await server_.webhooks().remove(context.scope, name_of(context)));
  server_.log().info("webhook removed", telemetry::field("webhook", name_of(context)),
                     telemetry::field("principal", context.principal));
  co_return Reply{.body = json::Object{{"removed", name_of(context)}}};
}

Task<Api::Handled> Api::rotate_webhook(Context& context) {
  GANTRY_CO_TRY(json::Value body, co_await read_object(context, body_limit, {"grace"}));
  Duration grace = webhooks::default_grace;
  if (has(body, "grace")) {
    GANTRY_CO_TRY(std::string text, json::get_string(body, "grace"));
    auto parsed = parse_duration(text);
    if (!parsed) co_return std::unexpected(std::move(parsed).error().wrap("grace"));
    grace = *parsed;
  }
  GANTRY_CO_TRY(webhooks::Made made, co_await server_.webhooks().rotate(context.scope, name_of(context), grace));
  server_.log().info("secret of a webhook rotated", telemetry::field("webhook", made.webhook.name),
                     telemetry::field("principal", context.principal));
  co_return made_reply(200, made);
}

Task<Api::Handled> Api::test_webhook(Context& context) {
  GANTRY_CO_TRY(RequestId id, co_await server_.webhooks().test(context.scope, name_of(context), context.principal));
  co_return accepted(id, name_of(context));
}

Task<Api::Handled> Api::list_deliveries(Context& context) {
  GANTRY_CO_TRY(requests::Filter filter, request_filter_of(context, server_.clock().now()));
  GANTRY_CO_TRY(webhooks::DeliveryPage page,
                co_await server_.webhooks().deliveries(context.scope, name_of(context), filter));
  json::Array data;
  for (const webhooks::Delivery& delivery : page.deliveries) data.push_back(delivery_json(delivery, name_of(context)));
  co_return Reply{.body = listing(std::move(data), page.next ? std::to_string(page.next) : "")};
}

Task<Api::Handled> Api::replay_delivery(Context& context) {
  GANTRY_CO_TRY(RequestId id, RequestId::parse(context.parameters.at(1)));
  GANTRY_CO_TRY(RequestId copy,
                co_await server_.webhooks().replay(context.scope, name_of(context), id, context.principal));
  server_.log().info("delivery replayed", telemetry::field("delivery", id), telemetry::field("copy", copy),
                     telemetry::field("principal", context.principal));
  co_return accepted(copy, name_of(context));
}

}  // namespace gantry::server
