// The audit trail.
#include <fmt/format.h>

#include "cli/handlers.h"
#include "cli/session.h"

namespace gantry::cli {
namespace {

Cell details_cell(const json::Value& row) {
  const json::Value* details = json::find(row, "details");
  if (details == nullptr || !details->is_object()) return {"-"};
  std::vector<std::string> parts;
  for (const auto& member : details->get_object()) {
    const json::Value& value = member.value();
    if (value.is_null() || (value.is_object() && value.get_object().empty())) continue;
    parts.push_back(fmt::format("{}={}", std::string_view(member.key()),
                                value.is_string() ? std::string(value.get_string()) : json::serialize(value)));
  }
  return {parts.empty() ? "-" : fmt::format("{}", fmt::join(parts, " "))};
}

Listing audit_listing() {
  return {{text_column("TIME", "at"),
           text_column("PRINCIPAL", "principal"),
           text_column("ACTION", "action"),
           text_column("SUBJECT", "subject"),
           {"DETAILS", details_cell}},
          "subject",
          "no entries"};
}

}  // namespace

Result<int> run_audit_list(Session& session) {
  const Invocation& given = session.given();
  std::string target = "/v1/audit";
  for (std::string_view name : {"action", "subject", "principal", "since"})
    if (auto value = given.text(fmt::format("--{}", name)))
      target += fmt::format("{}{}={}", target.contains('?') ? "&" : "?", name, percent_encode(*value));
  GANTRY_TRY(ApiClient * api, session.api());
  GANTRY_TRY(json::Array rows, api->list(target, given.number_or_fallback("--limit")));
  session.print_listing(audit_listing(), rows);
  return 0;
}

}  // namespace gantry::cli
