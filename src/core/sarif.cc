// SARIF 2.1.0: the form in which code hosts and editors take findings.
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
#include <algorithm>
#include <set>

#include "core/core.h"

namespace gantry::core {
namespace {

constexpr std::string_view schema =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
constexpr std::string_view home = "https://github.com/gantry/gantry";
/// The page with a heading for each code.
constexpr std::string_view page = "https://github.com/gantry/gantry/blob/main/docs/reference/diagnostics.md#";

json::Object text(std::string_view words) { return json::Object{{"text", words}}; }

json::Object rule_json(Rule rule) {
  const RuleText& text_of = describe(rule);
  return json::Object{{"id", text_of.code},
                      {"shortDescription", text(text_of.title)},
                      {"fullDescription", text(text_of.explanation)},
                      {"helpUri", fmt::format("{}{}", page, to_lower(text_of.code))},
                      {"defaultConfiguration", json::Object{{"level", "error"}}}};
}

// RFC 3986: what may stand in a path stays.
std::string uri_of(std::string_view file) {
  constexpr std::string_view safe = "-._~/!$&'()*+,;=@";
  std::string uri;
  while (file.starts_with("./")) file.remove_prefix(2);
  for (char c : file) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (plain || safe.contains(c))
      uri += c;
    else
      uri += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return file.starts_with('/') ? "file://" + uri : uri;
}

json::Object location_json(const Diagnostic& diagnostic, const Source& source) {
  json::Object place{{"artifactLocation", json::Object{{"uri", uri_of(source.file)}}}};
  if (diagnostic.span) {
    const uint32_t length = std::max<uint32_t>(1, diagnostic.span.length);
    place["region"] = json::Object{{"startLine", diagnostic.span.line},
                                   {"startColumn", diagnostic.span.column},
                                   {"endLine", diagnostic.span.line},
                                   {"endColumn", diagnostic.span.column + length}};
  }
  json::Object location{{"physicalLocation", std::move(place)}};
  if (!diagnostic.field.empty())
    location["logicalLocations"] = json::Array{json::Object{{"fullyQualifiedName", diagnostic.field}}};
  return location;
}

json::Object result_json(const Diagnostic& diagnostic, const Source& source, size_t rule_index) {
  // The clean text that the other forms have too.
  const json::Object clean = to_json(diagnostic, source);
  std::string words(clean.at("message").get_string());
  if (const auto& help = clean.at("help").get_string(); !help.empty()) words += "\nhelp: " + std::string(help);
  return json::Object{{"ruleId", describe(diagnostic.rule).code},
                      {"ruleIndex", rule_index},
                      {"level", to_string(diagnostic.severity)},
                      {"message", text(words)},
                      {"locations", json::Array{location_json(diagnostic, source)}}};
}

}  // namespace

json::Object to_sarif(std::span<const Finding> findings, std::string_view version) {
  std::set<Rule> used;
  json::Array artifacts;
  for (const Finding& finding : findings) {
    artifacts.push_back(json::Object{{"location", json::Object{{"uri", uri_of(finding.source.file)}}}});
    for (const Diagnostic& diagnostic : finding.diagnostics) used.insert(diagnostic.rule);
  }
  json::Array rules, results;
  for (Rule rule : used) rules.push_back(rule_json(rule));
  for (const Finding& finding : findings)
    for (const Diagnostic& diagnostic : finding.diagnostics)
      results.push_back(result_json(diagnostic, finding.source,
                                    static_cast<size_t>(std::distance(used.begin(), used.find(diagnostic.rule)))));
  json::Object driver{{"name", "gantry"}, {"version", version}, {"informationUri", home}, {"rules", std::move(rules)}};
  json::Object run{{"tool", json::Object{{"driver", std::move(driver)}}},
                   {"columnKind", "unicodeCodePoints"},
                   {"artifacts", std::move(artifacts)},
                   {"results", std::move(results)}};
  return json::Object{{"$schema", schema}, {"version", "2.1.0"}, {"runs", json::Array{std::move(run)}}};
}

}  // namespace gantry::core
