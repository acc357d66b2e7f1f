// Requests as their states change.
#include <fmt/format.h>

#include <map>

#include "cli/commands/requests.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

constexpr uint64_t most_followed = 1000;

std::string line_of(const json::Value& row, const Style& style, Time now) {
  std::string status = text_at(row, "status");
  std::string answer = text_at(row, "response_status"), reason = text_at(row, "reason");
  std::string out =
      fmt::format("{} {} {} {} attempt {}", style.paint(Tint::dim, format_time(now)), text_at(row, "id"),
                  text_at(row, "agent"), style.paint(tint_of_status(status), status), text_at(row, "attempts"));
  if (!answer.empty()) out += " answer " + answer;
  if (!reason.empty()) out += ": " + without_controls(reason);
  return out + "\n";
}

}  // namespace

Result<int> run_requests_watch(Session& session) {
  GANTRY_TRY(ApiClient * api, session.api());
  const std::string target = "/v1/requests" + filter_query(session.given());
  const Duration interval = session.given().duration_or_fallback("--interval");
  const bool for_programs = session.given().choice("--output") != "text";
  std::map<std::string, std::string> known;  // id to what was printed last
  bool first = true, reachable = true;
  for (;; first = false) {
    if (!first) GANTRY_TRY_VOID(session.pause(interval));
    auto rows = api->list(target, most_followed);
    if (!rows && rows.error().code() == Code::unavailable && !first) {
      // A server that restarts is worth waiting for.
      if (std::exchange(reachable, false)) session.say(rows.error().reason() + "; trying again");
      continue;
    }
    if (!rows) return std::unexpected(std::move(rows).error());
    reachable = true;
    std::map<std::string, std::string> seen;
    for (auto row = rows->rbegin(); row != rows->rend(); ++row) {
      std::string id = text_at(*row, "id");
      std::string state = fmt::format("{} {}", text_at(*row, "status"), text_at(*row, "attempts"));
      auto before = known.find(id);
      // What is there at the beginning is no news.
      if (!first && (before == known.end() || before->second != state))
        session.print(for_programs ? json::serialize(*row) + "\n" : line_of(*row, session.out_style(), session.now()));
      seen.emplace(std::move(id), std::move(state));
    }
    known = std::move(seen);
  }
}

}  // namespace gantry::cli
