// What is wrong with a source: codes, places, fixes, and the three forms in which they are told. Part of
// the door (core.h).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "json/json.h"
#include "yaml/yaml.h"

namespace gantry::core {

/// The stable codes of diagnostics, `GS0101` and so on; `gantry explain` expands them.
enum class Rule {
#define GANTRY_DIAGNOSTIC(id, title, explanation) id,
#include "core/diagnostic_table.inc"
#undef GANTRY_DIAGNOSTIC
};

/// What the table says about a code. All texts have static lifetime.
struct RuleText {
  std::string_view code;         ///< `GS0203`
  std::string_view title;        ///< one line
  std::string_view explanation;  ///< a paragraph: what it means, why it is so, what to do
};
const RuleText& describe(Rule rule);
/// The rule with that code, in either case; nullopt if there is none.
std::optional<Rule> rule_from_code(std::string_view code);
/// Every rule, in the order of the table.
std::span<const RuleText> all_rules();

/// An error refuses the source; a warning does not.
enum class Severity { error, warning };
std::string_view to_string(Severity severity);

/// One mistake.
struct Diagnostic {
  Rule rule;
  Severity severity = Severity::error;
  /// The cause: lower case, no full stop.
  std::string message;
  /// The name of the source; empty for specs that come from flags.
  std::string file;
  /// Where; `span.line == 0` when there is no source.
  yaml::Span span;
  /// The path of the field inside its resource, such as `spec.resources.memory`; may be empty.
  std::string field;
  /// The fix; empty if there is none to name.
  std::string help;
};

/// A text with its name.
struct Source {
  std::string file;
  std::string text;
};

/// Draws a diagnostic in the form of SPEC section 9, several lines ending in a newline, no colour.
/// Tabs of the source line are kept under the line so that the carets stay aligned; a line above
/// 160 characters is cut around the place.
std::string render(const Diagnostic& diagnostic, const Source& source);
/// All of them, an empty line between two, then `2 errors in agents.yaml`.
std::string render_all(std::span<const Diagnostic> diagnostics, const Source& source);
/// The form of the API: code, severity, message, file, line, column, length, source_line, field, help.
json::Object to_json(const Diagnostic& diagnostic, const Source& source);
bool has_errors(std::span<const Diagnostic> diagnostics);

/// What was found in one source.
struct Finding {
  const Source& source;
  std::span<const Diagnostic> diagnostics;
};
/// A log in the form of SARIF 2.1.0 (OASIS), one run. Relative names of sources are relative URIs; columns
/// count Unicode code points; `version` is that of the program.
json::Object to_sarif(std::span<const Finding> findings, std::string_view version);

}  // namespace gantry::core
