// fuzz: yaml
// Every text gives a tree or a problem with a place inside the text; no text takes long.
#include <cstddef>
#include <cstdint>

#include "yaml/yaml.h"

using namespace gantry;

namespace {

void check_place(std::string_view text, const yaml::Span& span) {
  GANTRY_CHECK(span.line >= 1 && span.column >= 1 && span.length >= 1);
  GANTRY_CHECK(span.line <= text.size() + 1 && span.column <= text.size() + 1);
  GANTRY_CHECK(yaml::line_of(text, span.line).size() <= text.size());
}

void check_node(std::string_view text, const yaml::Node& node) {
  check_place(text, node.span);
  (void)node.type();
  (void)node.as_int();
  (void)node.as_number();
  for (const yaml::Node& item : node.items) check_node(text, item);
  for (const yaml::Entry& entry : node.entries) {
    check_place(text, entry.key_span);
    check_node(text, entry.value);
    GANTRY_CHECK(node.find(entry.key) == &entry);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // SAFETY: every object may be read through char.
  std::string_view text(reinterpret_cast<const char*>(data), size);
  yaml::Parsed parsed = yaml::parse(text);
  for (const yaml::Problem& problem : parsed.problems) {
    GANTRY_CHECK(!problem.message.empty());
    check_place(text, problem.span);
  }
  for (const yaml::Node& document : parsed.documents) check_node(text, document);

  // Any text can be written as a scalar and read back, if YAML can hold it at all.
  yaml::Parsed again = yaml::parse("k: " + yaml::quote_if_needed(text) + "\n", {.max_bytes = size_t{8} << 20});
  if (again.problems.empty()) GANTRY_CHECK(again.documents.at(0).entries.at(0).value.type() == yaml::Type::string);
  return 0;
}
