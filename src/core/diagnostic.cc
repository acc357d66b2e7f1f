#include <algorithm>

#include "core/core.h"

namespace gantry::core {
namespace {

constexpr RuleText rule_texts[] = {
#define GANTRY_DIAGNOSTIC(id, title, explanation) {#id, title, explanation},
#include "core/diagnostic_table.inc"
#undef GANTRY_DIAGNOSTIC
};

// Longer source lines are cut around the place.
constexpr size_t max_line = 160;

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return !continues_character(c); }));
}

// The byte at which character `index` starts.
size_t byte_of_character(std::string_view text, size_t index) {
  size_t at = 0;
  for (; at < text.size(); ++at)
    if (!continues_character(text[at]) && index-- == 0) break;
  return at;
}

// Without control characters: a file must not be able to steer the terminal of who checks it.
std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) c = '?';
  return out;
}

// A source line and the place in it, both in characters.
struct Excerpt {
  std::string line;
  size_t column = 0;
  size_t length = 1;
};

Excerpt cut(std::string_view line, const yaml::Span& span) {
  size_t size = count_characters(line);
  Excerpt excerpt{printable(line), std::min<size_t>(span.column - 1, size), span.length};
  if (size > max_line) {
    // A quarter of the width in front of the place, or what there is.
    size_t first = excerpt.column > max_line / 4 ? std::min(excerpt.column - max_line / 4, size - max_line) : 0;
    size_t start = byte_of_character(line, first);
    size_t stop = byte_of_character(line, first + max_line);
    std::string_view before = first > 0 ? "…" : "";
    std::string_view after = stop < line.size() ? "…" : "";
    excerpt.line = fmt::format("{}{}{}", before, printable(line.substr(start, stop - start)), after);
    excerpt.column = excerpt.column - first + (first > 0 ? 1 : 0);
  }
  size_t shown = count_characters(excerpt.line);
  excerpt.length = std::max<size_t>(1, std::min(excerpt.length, shown - std::min(shown, excerpt.column)));
  return excerpt;
}

// Tabs under tabs, so that the carets are aligned whatever the width of a tab.
std::string padding(std::string_view line, size_t column) {
  std::string out;
  for (char c : line.substr(0, byte_of_character(line, column)))
    if (!continues_character(c)) out += c == '\t' ? '\t' : ' ';
  return out;
}

std::string counted(size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace

const RuleText& describe(Rule rule) { return rule_texts[static_cast<size_t>(rule)]; }
std::span<const RuleText> all_rules() { return rule_texts; }

std::optional<Rule> rule_from_code(std::string_view code) {
  auto same = [&](const RuleText& text) { return equals_ignoring_case(text.code, code); };
  auto at = std::ranges::find_if(rule_texts, same);
  if (at == std::end(rule_texts)) return std::nullopt;
  return static_cast<Rule>(at - std::begin(rule_texts));
}

std::string_view to_string(Severity severity) { return severity == Severity::error ? "error" : "warning"; }

std::string render(const Diagnostic& diagnostic, const Source& source) {
  std::string out = fmt::format("{}[{}]: {}\n", to_string(diagnostic.severity), describe(diagnostic.rule).code,
                                printable(diagnostic.message));
  std::string number = diagnostic.span ? fmt::format("{}", diagnostic.span.line) : "";
  std::string margin(std::max<size_t>(1, number.size()), ' ');
  if (diagnostic.span) {
    Excerpt excerpt = cut(yaml::line_of(source.text, diagnostic.span.line), diagnostic.span);
    out += fmt::format("{}--> {}:{}:{}\n", margin, diagnostic.file, number, diagnostic.span.column);
    out += fmt::format("{} |\n", margin);
    out += fmt::format("{} | {}\n", number, excerpt.line);
    out += fmt::format("{} | {}{}\n", margin, padding(excerpt.line, excerpt.column), std::string(excerpt.length, '^'));
  } else if (!diagnostic.file.empty()) {
    out += fmt::format("{}--> {}\n", margin, diagnostic.file);
  }
  if (!diagnostic.help.empty()) out += fmt::format("{} = help: {}\n", margin, printable(diagnostic.help));
  return out;
}

std::string render_all(std::span<const Diagnostic> diagnostics, const Source& source) {
  std::string out;
  size_t errors = 0;
  for (const Diagnostic& diagnostic : diagnostics) {
    out += render(diagnostic, source) + "\n";
    if (diagnostic.severity == Severity::error) ++errors;
  }
  if (diagnostics.empty()) return out;
  size_t warnings = diagnostics.size() - errors;
  std::string counts = errors > 0 ? counted(errors, "error") : "";
  if (warnings > 0) counts += (errors > 0 ? " and " : "") + counted(warnings, "warning");
  return out + (source.file.empty() ? counts : fmt::format("{} in {}", counts, source.file)) + "\n";
}

json::Object to_json(const Diagnostic& diagnostic, const Source& source) {
  json::Object object;
  object["code"] = describe(diagnostic.rule).code;
  object["severity"] = to_string(diagnostic.severity);
  object["message"] = printable(diagnostic.message);
  object["field"] = diagnostic.field;
  object["file"] = diagnostic.file;
  object["line"] = nullptr;
  object["column"] = nullptr;
  object["length"] = nullptr;
  object["source_line"] = nullptr;
  if (diagnostic.span) {
    object["line"] = diagnostic.span.line;
    object["column"] = diagnostic.span.column;
    object["length"] = diagnostic.span.length;
    object["source_line"] = printable(yaml::line_of(source.text, diagnostic.span.line));
  }
  object["help"] = printable(diagnostic.help);
  return object;
}

bool has_errors(std::span<const Diagnostic> diagnostics) {
  return std::ranges::any_of(diagnostics, [](const Diagnostic& d) { return d.severity == Severity::error; });
}

}  // namespace gantry::core
