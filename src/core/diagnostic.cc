#include "core/core.h"

#include <algorithm>

namespace gantry::core {
namespace {

constexpr RuleText rule_texts[] = {
#define GANTRY_DIAGNOSTIC(id, title, explanation) {#id, title, explanation},
#include "core/diagnostic_table.inc"
#undef GANTRY_DIAGNOSTIC
};

}  // namespace

const RuleText& describe(Rule rule) { return rule_texts[static_cast<size_t>(rule)]; }
std::span<const RuleText> all_rules() { return rule_texts; }

std::optional<Rule> rule_from_code(std::string_view code) {
  auto same = [&](const RuleText& text) { return equals_ignoring_case(text.code, code); };
  auto at = std::ranges::find_if(rule_texts, same);
  if (at == std::end(rule_texts)) return std::nullopt;
  return static_cast<Rule>(at - std::begin(rule_texts));
}

}  // namespace gantry::core
