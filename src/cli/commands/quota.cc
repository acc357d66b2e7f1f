// What the agents of the scope may ask for together.
#include <fmt/format.h>

#include <algorithm>

#include "cli/handlers.h"
#include "cli/session.h"

namespace gantry::cli {
namespace {

// Counts and CPUs as they are, bytes for people.
std::string amount_of(const json::Value& row, std::string_view member) {
  const std::string resource = text_at(row, "resource");
  if (text_at(row, member).empty()) return "";
  if (resource != "memory" && resource != "storage") return text_at(row, member);
  return format_bytes_short({static_cast<uint64_t>(std::max<int64_t>(0, int_at(row, member)))});
}

Column amount_column(std::string_view title, std::string member, std::string_view when_none) {
  return {title,
          [member = std::move(member), when_none](const json::Value& row) {
            const std::string amount = amount_of(row, member);
            return Cell{amount.empty() ? std::string(when_none) : amount};
          },
          Detail::always, Align::right};
}

Cell left_cell(const json::Value& row) {
  const std::string left = amount_of(row, "left");
  if (left.empty()) return {"-"};
  const bool is_full = text_at(row, "left") == "0";
  return {left, is_full ? Tint::warn : Tint::plain};
}

Listing quota_listing() {
  return {{text_column("RESOURCE", "resource"),
           amount_column("USED", "used", "-"),
           amount_column("LIMIT", "limit", "none"),
           {"LEFT", left_cell, Detail::always, Align::right},
           text_column("SET BY", "origin"),
           text_column("SET AT", "set_at", Detail::wide)},
          "resource",
          "no quotas"};
}

}  // namespace

Result<int> run_quota(Session& session) {
  GANTRY_TRY(ApiClient * api, session.api());
  GANTRY_TRY(json::Value answer, api->get("/v1/quotas"));
  session.print_listing(quota_listing(), array_at(answer, "data"));
  return 0;
}

Result<int> run_quota_set(Session& session) {
  json::Object body;
  for (const std::string& word : session.given().arguments("LIMIT")) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (equals == std::string::npos || name.empty() || equals + 1 == word.size())
      return std::unexpected(Error(ErrorId::GR0801, fmt::format("LIMIT: '{}' is not of the form RESOURCE=AMOUNT", word))
                                 .with_hint("gantry quota set memory=8Gi instances=20"));
    const std::string amount = word.substr(equals + 1);
    // `default` gives the limit back to the configuration.
    body[name] = amount == "default" ? json::Value(nullptr) : json::Value(amount);
  }
  GANTRY_TRY(ApiClient * api, session.api());
  GANTRY_TRY(json::Value answer, api->patch("/v1/quotas", body));
  session.print_listing(quota_listing(), array_at(answer, "data"));
  return 0;
}

}  // namespace gantry::cli
