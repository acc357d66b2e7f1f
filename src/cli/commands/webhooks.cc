#include <fmt/format.h>

#include "cli/commands/agents.h"
#include "cli/commands/requests.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

std::string webhook_path(std::string_view name, std::string_view rest = {}) {
  return fmt::format("/v1/webhooks/{}{}{}", percent_encode(name), rest.empty() ? "" : "/", rest);
}

Error about_webhook(Error error) { return std::move(error).with_hint("gantry webhooks list"); }

std::string events_of(const json::Value& webhook) {
  std::string text;
  for (const auto& event : array_at(webhook, "events"))
    if (event.is_string()) text += fmt::format("{}{}", text.empty() ? "" : ", ", event.get_string().c_str());
  return text;
}

Cell state_cell(const json::Value& webhook) {
  if (bool_at(webhook, "enabled")) return {"enabled", Tint::good};
  return {"disabled", Tint::warn};
}

Cell agent_cell(const json::Value& webhook) {
  std::string agent = text_at(webhook, "agent");
  return {agent.empty() ? "all" : agent};
}

Listing webhook_listing(Time now) {
  return {{text_column("NAME", "name"),
           {"STATE", state_cell},
           {"AGENT", agent_cell},
           number_column("WAITING", "pending"),
           age_column("AGE", "created_at", now),
           {"EVENTS", [](const json::Value& row) { return Cell{events_of(row)}; }},
           text_column("REASON", "disabled_reason", Detail::wide),
           text_column("URL", "url")},
          "name",
          "no webhooks"};
}

std::string render_webhook(const json::Value& webhook, const Style& style, Time now) {
  return render_pairs(
      {{"Webhook", {text_at(webhook, "name"), Tint::bold}},
       {"URL", {text_at(webhook, "url")}},
       {"State", state_cell(webhook)},
       {"Reason", {text_at(webhook, "disabled_reason"), Tint::warn}},
       {"Events", {events_of(webhook)}},
       {"Agent", agent_cell(webhook)},
       {"Waiting", {text_at(webhook, "pending")}},
       {"Old secret until", {text_at(webhook, "old_secret_until")}},
       {"Created",
        {fmt::format("{} ({} ago)", text_at(webhook, "created_at"), age_of(text_at(webhook, "created_at"), now))}},
       {"Secret", {text_at(webhook, "secret"), Tint::bold}}},
      style);
}

void print_webhook(Session& session, const json::Value& webhook) {
  session.print_value(webhook, "name", [&](const json::Value& value) {
    return render_webhook(value, session.out_style(), session.now());
  });
}

// With a secret that nobody sees again.
void print_made(Session& session, const json::Value& webhook) {
  print_webhook(session, webhook);
  if (!session.for_people()) return;
  session.say("keep the secret now: it is never shown again");
  session.suggest(fmt::format("gantry webhooks test {} --wait 30s", text_at(webhook, "name")));
}

json::Array events_given(const Session& session) {
  json::Array events;
  for (const std::string& event : session.given().list("--event")) events.push_back(json::Value(event));
  return events;
}

Cell answer_cell(const json::Value& delivery) {
  int64_t status = int_at(delivery, "response_status");
  return {status == 0 ? "-" : std::to_string(status)};
}

Listing delivery_listing(Time now) {
  return {{text_column("ID", "id"),
           text_column("EVENT", "event"),
           status_column("STATUS", "status"),
           number_column("ATTEMPTS", "attempts"),
           {"ANSWER", answer_cell, Detail::always, Align::right},
           age_column("AGE", "created_at", now),
           text_column("NEXT ATTEMPT", "next_attempt_at", Detail::wide),
           text_column("REPLAY OF", "replay_of", Detail::wide),
           text_column("REQUEST", "request_id"),
           text_column("REASON", "reason")},
          "id",
          "no deliveries"};
}

// Prints what was started, or with --wait what came of it.
Result<int> follow_delivery(Session& session, const json::Value& started) {
  std::string id = text_at(started, "delivery_id");
  auto wait = session.given().duration("--wait");
  if (!wait) {
    session.print_value(started, "delivery_id", [&](const json::Value&) { return id + "\n"; });
    session.suggest(fmt::format("gantry requests show {}", id));
    return 0;
  }
  GANTRY_TRY(json::Value request, wait_until_finished(session, id, *wait));
  print_request(session, request);
  return text_at(request, "status") == "completed" ? 0 : 1;
}

}  // namespace

Result<int> run_webhooks_list(Session& session) {
  return watch(session, [&]() -> Result<Frame> {
    GANTRY_TRY(ApiClient * api, session.api());
    GANTRY_TRY(auto rows, api->list("/v1/webhooks"));
    return listing_frame(session, webhook_listing(session.now()), rows);
  });
}

Result<int> run_webhooks_add(Session& session) {
  GANTRY_TRY(ApiClient * api, session.api());
  const Invocation& given = session.given();
  json::Object body{{"name", given.required("NAME")}, {"url", given.required("URL")}};
  if (given.has("--event")) body["events"] = events_given(session);
  if (auto agent = given.text("--agent")) body["agent"] = *agent;
  auto made = api->post("/v1/webhooks", body);
  if (!made) return std::unexpected(std::move(made).error().with_hint("gantry webhooks add --help"));
  print_made(session, *made);
  return 0;
}

Result<int> run_webhooks_show(Session& session) {
  GANTRY_TRY(ApiClient * api, session.api());
  auto webhook = api->get(webhook_path(session.given().required("NAME")));
  if (!webhook) return std::unexpected(about_webhook(std::move(webhook).error()));
  print_webhook(session, *webhook);
  if (!bool_at(*webhook, "enabled"))
    session.suggest(fmt::format("gantry webhooks edit {} --enable", text_at(*webhook, "name")));
  return 0;
}

Result<int> run_webhooks_edit(Session& session) {
  GANTRY_TRY(ApiClient * api, session.api());
  const Invocation& given = session.given();
  const std::string& name = given.required("NAME");
  auto refuse = [&](std::string_view why) {
    return std::unexpected(Error(ErrorId::GR0801, std::string(why)).with_hint("gantry webhooks edit --help"));
  };
  if (given.has("--enable") && given.has("--disable")) return refuse("--enable and --disable exclude each other");
  if (given.has("--agent") && given.has("--all-agents")) return refuse("--agent and --all-agents exclude each other");
  json::Object body;
  if (auto url = given.text("--to")) body["url"] = *url;
  if (given.has("--event")) body["events"] = events_given(session);
  if (auto agent = given.text("--agent")) body["agent"] = *agent;
  if (given.has("--all-agents")) body["agent"] = nullptr;
  if (given.has("--enable")) body["enabled"] = true;
  if (given.has("--disable")) body["enabled"] = false;
  if (body.empty()) return refuse("there is nothing to change");
  auto webhook = api->patch(webhook_path(name), body);
  if (!webhook) return std::unexpected(about_webhook(std::move(webhook).error()));
  print_webhook(session, *webhook);
  return 0;
}

Result<int> run_webhooks_remove(Session& session) {
  GANTRY_TRY(ApiClient * api, session.api());
  const std::string& name = session.given().required("NAME");
  GANTRY_TRY_VOID(session.confirm(fmt::format("Remove {}? Deliveries that wait become dead letters.", name)));
  auto removed = api->remove(webhook_path(name));
  if (!removed) return std::unexpected(about_webhook(std::move(removed).error()));
  session.print_value(*removed, "removed", [&](const json::Value&) { return fmt::format("{} removed\n", name); });
  return 0;
}

Result<int> run_webhooks_rotate(Session& session) {
  GANTRY_TRY(ApiClient * api, session.api());
  const Invocation& given = session.given();
  json::Object body{{"grace", format_duration(given.duration_or_fallback("--grace"))}};
  auto made = api->post(webhook_path(given.required("NAME"), "rotate"), body);
  if (!made) return std::unexpected(about_webhook(std::move(made).error()));
  print_made(session, *made);
  return 0;
}

Result<int> run_webhooks_test(Session& session) {
  GANTRY_TRY(ApiClient * api, session.api());
  auto started = api->post(webhook_path(session.given().required("NAME"), "test"));
  if (!started) return std::unexpected(about_webhook(std::move(started).error()));
  return follow_delivery(session, *started);
}

Result<int> run_webhooks_deliveries(Session& session) {
  const Invocation& given = session.given();
  std::string target = webhook_path(given.required("NAME"), "deliveries");
  if (auto status = given.text("--status")) target += "?status=" + *status;
  return watch(session, [&]() -> Result<Frame> {
    GANTRY_TRY(ApiClient * api, session.api());
    auto rows = api->list(target, given.number_or_fallback("--limit"));
    if (!rows) return std::unexpected(about_webhook(std::move(rows).error()));
    return listing_frame(session, delivery_listing(session.now()), *rows);
  });
}

Result<int> run_webhooks_replay(Session& session) {
  GANTRY_TRY(ApiClient * api, session.api());
  const Invocation& given = session.given();
  std::string rest = fmt::format("deliveries/{}/replay", percent_encode(given.required("ID")));
  auto started = api->post(webhook_path(given.required("NAME"), rest));
  if (!started) return std::unexpected(about_webhook(std::move(started).error()));
  return follow_delivery(session, *started);
}

}  // namespace gantry::cli
