// Requeue and purge, by id or by condition.
#include <fmt/format.h>

#include "cli/commands/requests.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

// Changed by one call: so often there is progress, and so much is left when somebody presses Ctrl-C.
constexpr uint64_t portion = 500;
constexpr uint64_t most_counted = 10'000;
constexpr Duration patience = std::chrono::minutes(5);

/// What is meant: ids, or conditions.
Result<std::vector<std::string>> ids_given(const Session& session) {
  const Invocation& given = session.given();
  std::vector<std::string> ids = given.arguments("ID");
  const bool many = given.has("--all") || !filter_object(given).empty();
  if (ids.empty() == many) return ids;
  return std::unexpected(
      Error(ErrorId::GR0801, ids.empty() ? "which requests?" : "ids and conditions do not go together")
          .with_hint(fmt::format("gantry {} ID, or gantry {} --all --agent NAME", given.command().name,
                                 given.command().name)));
}

/// How many fit; looks at no more than may be changed.
Result<uint64_t> count_matching(Session& session, ApiClient& api, uint64_t limit) {
  std::string target = "/v1/requests" + filter_query(session.given());
  if (!session.given().has("--status")) target += fmt::format("{}status=failed", target.contains('?') ? "&" : "?");
  auto rows = api.list(target, std::min(limit, most_counted));
  if (!rows) return std::unexpected(std::move(rows).error());
  return rows->size();
}

/// Calls the API for a portion after the other, with progress.
Result<json::Object> change_many(Session& session, ApiClient& api, std::string_view verb, std::string_view done,
                                 json::Object body, uint64_t count, uint64_t limit) {
  Progress progress(session);
  int64_t changed = 0, skipped = 0;
  json::Object last;
  for (uint64_t left = limit; left > 0;) {
    body["limit"] = std::min(left, portion);
    GANTRY_TRY(json::Value answer, api.post(fmt::format("/v1/requests/{}", verb), json::Value(body), patience));
    changed += int_at(answer, done);
    skipped += int_at(answer, "skipped");
    if (text_at(last, "first_error").empty()) last["first_error"] = text_at(answer, "first_error");
    last["last_at"] = text_at(answer, "last_at");
    const uint64_t looked_at = static_cast<uint64_t>(int_at(answer, done) + int_at(answer, "skipped"));
    left -= std::min(left, looked_at);
    progress.show(fmt::format("{} {} of {}", done, changed, count));
    std::string next = text_at(answer, "next");
    if (next.empty()) break;
    body["after"] = next;
    body.erase("delay");
    if (std::string at = text_at(answer, "next_at"); !at.empty()) body["not_before"] = at;
  }
  last[done] = changed;
  last["skipped"] = skipped;
  return last;
}

void print_changed(Session& session, std::string_view done, const json::Object& result) {
  session.print_value(json::Value(result), done, [&](const json::Value& value) {
    std::string line = fmt::format("{} {}", done, text_at(value, done));
    if (int_at(value, "skipped") > 0)
      line += fmt::format(", skipped {} ({})", text_at(value, "skipped"), text_at(value, "first_error"));
    if (std::string at = text_at(value, "last_at"); !at.empty()) line += fmt::format(", the last one at {}", at);
    return line + "\n";
  });
}

Result<int> change_matching(Session& session, ApiClient& api, std::string_view verb, std::string_view done,
                            json::Object body) {
  const uint64_t limit = session.given().number_or_fallback("--limit");
  GANTRY_TRY(const uint64_t count, count_matching(session, api, limit));
  if (count == 0) {
    session.say("no request fits");
    print_changed(session, done, {{std::string(done), 0}, {"skipped", 0}});
    return 0;
  }
  GANTRY_TRY_VOID(
      session.confirm(fmt::format("{} {}{} requests?", verb, count, count == most_counted ? " or more" : "")));
  body["all"] = true;
  auto result = change_many(session, api, verb, done, std::move(body), count, limit);
  if (!result) return std::unexpected(std::move(result).error());
  print_changed(session, done, *result);
  return 0;
}

}  // namespace

Result<int> run_requests_requeue(Session& session) {
  GANTRY_TRY(auto ids, ids_given(session));
  GANTRY_TRY(ApiClient * api, session.api());
  json::Object body;
  if (auto delay = session.given().text("--delay")) body["delay"] = *delay;
  if (ids.empty()) {
    for (const auto& member : filter_object(session.given())) body[member.key()] = member.value();
    body["rate"] = session.given().text_or("--rate", "10/s");
    return change_matching(session, *api, "requeue", "requeued", std::move(body));
  }
  json::Array rows;
  for (const std::string& id : ids) {
    auto row = api->post(request_path(id, "requeue"), json::Value(body));
    if (!row) {
      // What was done is shown before what went wrong.
      if (!rows.empty()) session.print_listing(request_listing(session.now()), rows);
      return std::unexpected(std::move(row).error());
    }
    rows.push_back(std::move(*row));
  }
  session.print_listing(request_listing(session.now()), rows);
  session.suggest(fmt::format("gantry requests show {}", ids.front()));
  return 0;
}

Result<int> run_requests_purge(Session& session) {
  GANTRY_TRY(auto ids, ids_given(session));
  GANTRY_TRY(ApiClient * api, session.api());
  if (ids.empty()) return change_matching(session, *api, "purge", "purged", filter_object(session.given()));
  GANTRY_TRY_VOID(session.confirm(ids.size() == 1 ? fmt::format("purge {}?", ids.front())
                                                  : fmt::format("purge {} requests?", ids.size())));
  for (const std::string& id : ids) {
    auto gone = api->remove(request_path(id));
    if (!gone) return std::unexpected(std::move(gone).error());
    session.print_value(*gone, "purged",
                        [](const json::Value& value) { return fmt::format("purged {}\n", text_at(value, "purged")); });
  }
  return 0;
}

}  // namespace gantry::cli
