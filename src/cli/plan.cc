#include "cli/plan.h"

#include <fmt/format.h>

#include <algorithm>

namespace gantry::cli {
namespace {

/// A digest is told from another one by its beginning.
constexpr size_t shown_digest = 19;

std::string value_in_words(const json::Value& value) {
  if (value.is_null()) return "(none)";
  if (!value.is_string()) return json::serialize(value);
  std::string text = without_controls(std::string_view(value.get_string()));
  if (text.starts_with("sha256:") && text.size() > shown_digest) return text.substr(0, shown_digest) + "…";
  return text.empty() ? "\"\"" : text;
}

json::Value member(const json::Value& object, std::string_view name) {
  const json::Value* found = json::find(object, name);
  return found == nullptr ? json::Value(nullptr) : *found;
}

std::string change_in_words(const json::Value& change) {
  std::string field = text_at(change, "field");
  if (bool_at(change, "hidden"))
    return fmt::format("{}: another value of {}", field, value_in_words(member(change, "to")));
  return fmt::format("{}: {} -> {}", field, value_in_words(member(change, "from")),
                     value_in_words(member(change, "to")));
}

Tint tint_of(std::string_view action) {
  if (action == "create") return Tint::good;
  if (action == "change") return Tint::warn;
  return action == "remove" ? Tint::bad : Tint::dim;
}

std::string note_of(const json::Value& step) {
  if (bool_at(step, "replaces_instances")) return " (new instances take over)";
  std::vector<std::string> names;
  for (const auto& name : array_at(step, "needed_by")) names.emplace_back(name.get_string());
  return names.empty() ? "" : fmt::format(" (needed by {})", fmt::join(names, ", "));
}

int64_t count_of(const json::Array& steps, std::string_view action) {
  return std::ranges::count_if(steps, [&](const json::Value& step) { return text_at(step, "action") == action; });
}

Listing plan_listing() {
  return {{text_column("NAME", "name"), text_column("ACTION", "action"), text_column("STACK", "stack")}, "name", ""};
}

}  // namespace

std::string render_plan(const json::Array& steps, Shown shown, const Style& style) {
  std::string out;
  for (const json::Value& step : steps) {
    std::string action = text_at(step, "action");
    if (shown == Shown::changes && action == "none") continue;
    out += fmt::format("{} {}{}\n", style.paint(tint_of(action), fmt::format("{:<6}", action)), text_at(step, "name"),
                       note_of(step));
    for (const json::Value& change : array_at(step, "changes"))
      out += fmt::format("         {}\n", change_in_words(change));
  }
  if (!out.empty()) out += "\n";
  return out + fmt::format("{} to create, {} to change, {} to remove, {} as they are\n", count_of(steps, "create"),
                           count_of(steps, "change"), count_of(steps, "remove"), count_of(steps, "none"));
}

void print_plan(Session& session, const json::Array& steps, Shown shown) {
  if (session.for_people()) return session.print(render_plan(steps, shown, session.out_style()));
  json::Array rows;
  for (const json::Value& step : steps)
    if (shown == Shown::all || text_at(step, "action") != "none") rows.push_back(step);
  session.print_listing(plan_listing(), rows);
}

bool plans_changes(const json::Array& steps) { return count_of(steps, "none") < static_cast<int64_t>(steps.size()); }

}  // namespace gantry::cli
