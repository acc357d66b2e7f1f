// What happened to agents and instances.
#include <fmt/format.h>

#include "cli/commands/agents.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

/// A following answer is open as long as the person wants.
constexpr Duration forever = std::chrono::days(365);
constexpr size_t line_limit = size_t{1} << 20;
// Of those before, when new ones are followed: a page of the API.
constexpr uint64_t most_followed = 1000;
constexpr Duration between_tries = std::chrono::milliseconds(500);

Tint tint_of_event(std::string_view type) {
  if (type == "instance.exit" || type == "instance.start_failed" || type == "agent.crash_loop") return Tint::bad;
  if (type == "instance.unhealthy" || type == "instance.restart") return Tint::warn;
  if (type == "instance.ready" || type == "agent.rolled_out") return Tint::good;
  return type.starts_with("agent.") ? Tint::accent : Tint::plain;
}

std::string subject_of(const json::Value& row) {
  const std::string replica = text_at(row, "replica");
  return text_at(row, "agent") + (replica.empty() ? "" : "/" + replica);
}

std::string details_of(const json::Value& row) {
  std::string revision = text_at(row, "revision"), reason = text_at(row, "reason");
  if (revision.empty()) return reason;
  return fmt::format("revision {}{}{}", revision, reason.empty() ? "" : ": ", reason);
}

Listing event_listing() {
  return {
      {text_column("TIME", "at"),
       {"TYPE", [](const json::Value& row) { return Cell{text_at(row, "type"), tint_of_event(text_at(row, "type"))}; }},
       {"AGENT", [](const json::Value& row) { return Cell{subject_of(row)}; }},
       {"DETAILS", [](const json::Value& row) { return Cell{details_of(row)}; }},
       text_column("INSTANCE", "instance", Detail::wide)},
      "seq",
      "no events"};
}

std::string line_of(const json::Value& row, const Style& style) {
  const std::string type = text_at(row, "type");
  return fmt::format("{}  {}  {}  {}\n", style.paint(Tint::dim, text_at(row, "at")),
                     style.paint(tint_of_event(type), fmt::format("{:<21}", type)), without_controls(subject_of(row)),
                     without_controls(details_of(row)));
}

Result<std::string> conditions_of(const Invocation& given) {
  std::string query;
  const auto add = [&](std::string_view name, std::string_view value) {
    if (!value.empty()) query += fmt::format("{}{}={}", query.empty() ? "?" : "&", name, percent_encode(value));
  };
  for (const std::string& agent : given.arguments("NAME")) add("agent", agent);
  for (const std::string& agent : given.list("--agent")) add("agent", agent);
  for (const std::string& type : given.list("--type")) add("type", type);
  GANTRY_TRY(std::string since, moment_text(given, "--since"));
  GANTRY_TRY(std::string until, moment_text(given, "--until"));
  add("since", since);
  add("until", until);
  return query;
}

/// Prints events as they come, and remembers the last one.
class EventPrinter {
 public:
  explicit EventPrinter(Session& session) : session_(session) {}
  const std::string& last_seq() const { return last_seq_; }
  bool is_closed() const { return !session_.environment().out->good(); }

  Result<> take(std::string_view piece) {
    rest_ += piece;
    size_t start = 0;
    for (size_t end; (end = rest_.find('\n', start)) != std::string::npos; start = end + 1)
      GANTRY_TRY_VOID(take_line(std::string_view(rest_).substr(start, end - start)));
    rest_.erase(0, start);
    if (is_closed()) return fail(Code::cancelled, "nobody reads the output any more");
    if (rest_.size() > line_limit) return fail(ErrorId::GR0803, "an event is longer than {} bytes", line_limit);
    return {};
  }

 private:
  Result<> take_line(std::string_view text) {
    // An empty line says only that the server is there.
    if (trim(text).empty()) return {};
    auto row = json::parse(text);
    if (!row) return fail(ErrorId::GR0803, "an event is not JSON: {}", row.error().reason());
    last_seq_ = text_at(*row, "seq");
    session_.print(session_.for_people() ? line_of(*row, session_.out_style()) : std::string(text) + "\n");
    return {};
  }

  Session& session_;
  std::string rest_;
  std::string last_seq_;
};

Result<int> follow(Session& session, std::string query) {
  GANTRY_TRY(const config::Config* settings, session.config());
  EventPrinter printer(session);
  query += fmt::format("{}follow=true&limit={}", query.empty() ? "?" : "&",
                       std::clamp<uint64_t>(session.given().number_or_fallback("--limit"), 1, most_followed));
  bool reachable = true;
  for (bool first = true;; first = false) {
    // Each time anew: a server that was started again may listen elsewhere.
    auto address = find_server(*settings);
    if (!address && first) return std::unexpected(std::move(address).error());
    if (!address) {
      GANTRY_TRY_VOID(session.pause(between_tries));
      continue;
    }
    ApiClient api(std::move(*address));
    std::string target = "/v1/events" + query;
    if (!printer.last_seq().empty()) target += "&after=" + printer.last_seq();
    GANTRY_TRY(auto request, api.prepare("GET", target));
    request.timeout = forever;
    bool began = false;
    auto answer = api.exchange(std::move(request), {.download = [&](const net::ResponseHead&, std::string_view piece) {
                                 began = true;
                                 return printer.take(piece);
                               }});
    if (printer.is_closed()) return 0;
    if (answer && answer->status >= 400 && (first || answer->status < 500)) return std::unexpected(error_of(*answer));
    if (!answer && first && !began) return std::unexpected(std::move(answer).error());
    reachable = reachable || began;
    // A server that restarts is worth waiting for: it tells what happened meanwhile.
    if (std::exchange(reachable, false)) session.say("the server is away; trying again");
    GANTRY_TRY_VOID(session.pause(between_tries));
  }
}

}  // namespace

Result<int> run_events(Session& session) {
  GANTRY_TRY(std::string query, conditions_of(session.given()));
  const bool one_document = session.format() == Format::json || session.format() == Format::yaml;
  if (session.given().has("--follow") && one_document)
    return std::unexpected(Error(ErrorId::GR0801, "--follow has no end, so it cannot be one document")
                               .with_hint("gantry events --follow -o jsonl"));
  if (session.given().has("--follow")) return follow(session, std::move(query));
  GANTRY_TRY(ApiClient * api, session.api());
  GANTRY_TRY(json::Array newest_first, api->list("/v1/events" + query, session.given().number_or_fallback("--limit")));
  json::Array rows;
  for (auto row = newest_first.rbegin(); row != newest_first.rend(); ++row) rows.push_back(*row);
  session.print_listing(event_listing(), rows);
  return 0;
}

}  // namespace gantry::cli
