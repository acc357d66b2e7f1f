#include "core/fields.h"

#include <algorithm>

namespace gantry::core {
namespace {

// Where a node stands, or where its parent does if the node is made of JSON.
yaml::Span place_of(const yaml::Node& node, const yaml::Span& otherwise) { return node.span ? node.span : otherwise; }

// What a value of the wanted type looks like.
std::string example_of(std::string_view expected) {
  if (expected == "text") return "write one text, such as `name`";
  if (expected == "an integer") return "write a whole number without a unit, such as `8`";
  if (expected == "true or false") return "write `true` or `false`";
  if (expected == "a duration") return "write a number and a unit: `30s`, `1m30s`, `250ms`";
  if (expected == "a size") return "write a number and a unit: `512Mi`, `2Gi`, `100M`";
  return "write thousandths of a CPU or CPUs: `500m`, `0.5`, `2`";
}

bool is_empty(const yaml::Node& node) {
  return node.kind != yaml::Kind::scalar && node.items.empty() && node.entries.empty();
}

}  // namespace

std::string clip(std::string_view text) {
  if (text.size() <= 64) return std::string(text);
  size_t end = 64;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "…";
}

std::string list_words(const std::vector<std::string_view>& words, std::string_view conjunction) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? fmt::format(" {} ", conjunction) : ", ";
    out += fmt::format("`{}`", words[i]);
  }
  return out;
}

void Reading::report(Rule rule, const yaml::Span& span, std::string_view path, std::string message, std::string help) {
  ++mistakes;
  diagnostics.push_back({.rule = rule,
                         .message = std::move(message),
                         .file = file,
                         .span = span,
                         .field = std::string(path),
                         .help = std::move(help)});
}

std::string Reading::name_of(std::string_view path) const {
  std::string_view flag = style == FieldStyle::flag ? flag_of(path) : std::string_view();
  if (!flag.empty()) return fmt::format("`{}`", flag);
  // `spec.` says nothing that the arrow does not; neither does the number of an agent in a list.
  if (path.starts_with("spec.agents.")) {
    size_t dot = path.find('.', 12);
    if (dot != path.npos) return fmt::format("`{}`", path.substr(dot + 1));
  }
  if (path.starts_with("spec.")) path.remove_prefix(5);
  return fmt::format("`{}`", path);
}

Fields::Fields(Reading& reading, const yaml::Node& node, std::string path, yaml::Span place)
    : reading_(reading),
      node_(node),
      path_(std::move(path)),
      place_(place),
      is_map_(node.kind == yaml::Kind::map || node.kind == yaml::Kind::null) {
  if (is_map_) return;
  std::string name = path_.empty() ? "a resource" : reading_.name_of(path_);
  reading_.report(Rule::GS0203, place_of(node, place), path_,
                  fmt::format("{} must be a map, not {}", name, yaml::kind_name(node)),
                  "write `key: value` lines, indented under it");
}

const yaml::Entry* Fields::take(std::string_view key) {
  known_.emplace(key);
  offered_.emplace(key);
  return node_.find(key);
}

const yaml::Entry* Fields::take_quietly(std::string_view key) {
  known_.emplace(key);
  return node_.find(key);
}

const yaml::Entry* Fields::take_list(std::string_view key, std::string help) {
  const yaml::Entry* entry = take(key);
  if (!entry || entry->value.kind == yaml::Kind::list) return entry;
  const std::string path = path_of(key);
  reading_.report(Rule::GS0203, entry->value.span ? entry->value.span : entry->key_span, path,
                  fmt::format("{} must be a list, not {}", reading_.name_of(path), yaml::kind_name(entry->value)),
                  std::move(help));
  return nullptr;
}

const yaml::Entry* Fields::peek(std::string_view key) const { return node_.find(key); }

void Fields::require(std::string_view key, std::string_view help) {
  // A node that is no map is reported already.
  if (!is_map_ || has(key)) return;
  known_.emplace(key);
  offered_.emplace(key);
  // `commnd: x` is one mistake: the unknown field, for which `finish` proposes this one.
  for (const yaml::Entry& entry : node_.entries)
    if (!known_.contains(entry.key) && closest(entry.key, std::span(&key, 1))) return;
  reading_.report(Rule::GS0202, place_, path_of(key), fmt::format("{} is missing", reading_.name_of(path_of(key))),
                  std::string(help));
}

// The help depends on what people usually mean by the value that they wrote.
void Fields::report_type(std::string_view key, const yaml::Node& node, std::string_view expected) {
  std::string help;
  if (node.kind == yaml::Kind::scalar && node.quoted && expected != "text") help = "remove the quotes";
  if (node.kind == yaml::Kind::scalar && !node.quoted && expected == "text")
    help = fmt::format("put it in quotes: \"{}\"", clip(node.text));
  if (expected == "true or false" && node.type() == yaml::Type::string)
    help = "in YAML 1.2 only `true` and `false` are booleans";
  if (node.kind == yaml::Kind::null) help = "give a value or remove the line";
  if (help.empty()) help = example_of(expected);
  reading_.report(Rule::GS0203, place_of(node, place_), path_of(key),
                  fmt::format("{} must be {}, not {}", reading_.name_of(path_of(key)), expected, yaml::kind_name(node)),
                  std::move(help));
}

void Fields::report_range(std::string_view key, const yaml::Node& node, std::string_view least, std::string_view most,
                          Side side, std::string help) {
  reading_.report(
      Rule::GS0303, place_of(node, place_), path_of(key),
      fmt::format("{} must be between {} and {}, not {}", reading_.name_of(path_of(key)), least, most, clip(node.text)),
      help.empty() ? fmt::format("write a value of that range, such as `{}`", side == Side::below ? least : most)
                   : std::move(help));
}

void Fields::report_no_choice(std::string_view key, const yaml::Node& node,
                              const std::vector<std::string_view>& words) {
  auto near = closest(to_lower(node.text), words);
  // An abbreviation is as good as a typing error.
  for (std::string_view word : words)
    if (!near && node.text.size() >= 2 && word.starts_with(to_lower(node.text))) near = word;
  reading_.report(
      Rule::GS0304, place_of(node, place_), path_of(key),
      fmt::format("{} must be {}, not `{}`", reading_.name_of(path_of(key)), list_words(words, "or"), clip(node.text)),
      near ? fmt::format("did you mean `{}`?", *near)
           : fmt::format("write one of these words, such as `{}`", words[0]));
}

// The node of a field that must be a scalar; nullptr, with a report, if it is not.
const yaml::Node* Fields::scalar_of(std::string_view key, std::string_view expected) {
  const yaml::Entry* entry = take(key);
  if (!entry || reading_.is_lost(entry->value)) return nullptr;
  if (entry->value.kind == yaml::Kind::scalar) return &entry->value;
  report_type(key, entry->value, expected);
  return nullptr;
}

// An unquoted 12 or true is refused: the writer may have meant the number, and the reader cannot know.
const yaml::Node* Fields::read_text(std::string_view key, std::string& out) {
  const yaml::Node* node = scalar_of(key, "text");
  if (!node) return nullptr;
  if (node->type() != yaml::Type::string && !reading_.was_substituted(*node)) {
    report_type(key, *node, "text");
    return nullptr;
  }
  out = node->text;
  return node;
}

// "8000" in quotes is text. Only what came out of a substitution may be taken for a number anyway, since
// `"${PORT}"` must be quoted inside { }.
const yaml::Node* Fields::read_integer(std::string_view key, uint32_t& out, Range<uint32_t> range) {
  const yaml::Node* node = scalar_of(key, "an integer");
  if (!node) return nullptr;
  yaml::Node plain = *node;
  if (reading_.was_substituted(*node)) plain.quoted = false;
  if (plain.type() != yaml::Type::integer) {
    report_type(key, *node, "an integer");
    return nullptr;
  }
  // An integer that fits nowhere is out of range too.
  int64_t value = plain.as_int().value_or(-1);
  if (value < range.least || value > range.most) {
    report_range(key, *node, fmt::format("{}", range.least), fmt::format("{}", range.most),
                 value < range.least ? Side::below : Side::above);
    return nullptr;
  }
  out = static_cast<uint32_t>(value);
  return node;
}

const yaml::Node* Fields::read_boolean(std::string_view key, bool& out) {
  const yaml::Node* node = scalar_of(key, "true or false");
  if (!node) return nullptr;
  yaml::Node plain = *node;
  if (reading_.was_substituted(*node)) plain.quoted = false;
  if (auto value = plain.as_bool()) {
    out = *value;
    return node;
  }
  report_type(key, *node, "true or false");
  return nullptr;
}

const yaml::Node* Fields::read_duration(std::string_view key, Duration& out, Range<Duration> range) {
  const yaml::Node* node = scalar_of(key, "a duration");
  if (!node) return nullptr;
  auto value = parse_duration(node->text);
  if (!value) {
    reading_.report(Rule::GS0302, place_of(*node, place_), path_of(key),
                    fmt::format("{}: `{}` is not a duration", reading_.name_of(path_of(key)), clip(node->text)),
                    node->as_int() ? fmt::format("add a unit: `{0}s` or `{0}ms`", clip(node->text))
                                   : "write a number and a unit: `30s`, `1m30s`, `250ms`");
    return nullptr;
  }
  if (*value < range.least || *value > range.most) {
    report_range(key, *node, format_duration(range.least), format_duration(range.most),
                 *value < range.least ? Side::below : Side::above);
    return nullptr;
  }
  out = *value;
  return node;
}

const yaml::Node* Fields::read_bytes(std::string_view key, Bytes& out, Range<Bytes> range) {
  const yaml::Node* node = scalar_of(key, "a size");
  if (!node) return nullptr;
  auto value = parse_bytes(node->text);
  if (!value) {
    reading_.report(Rule::GS0302, place_of(*node, place_), path_of(key),
                    fmt::format("{}: `{}` is not a size", reading_.name_of(path_of(key)), clip(node->text)),
                    "write a number and a unit: `512Mi`, `2Gi`, `100M`");
    return nullptr;
  }
  if (*value < range.least || *value > range.most) {
    report_range(key, *node, format_bytes(range.least), format_bytes(range.most),
                 *value < range.least ? Side::below : Side::above,
                 node->as_int() && *value < range.least ? fmt::format("did you mean `{}Mi`?", node->text) : "");
    return nullptr;
  }
  out = *value;
  return node;
}

const yaml::Node* Fields::read_cpu(std::string_view key, MilliCpu& out, Range<MilliCpu> range) {
  const yaml::Node* node = scalar_of(key, "a CPU share");
  if (!node) return nullptr;
  auto value = parse_cpu(node->text);
  if (!value) {
    reading_.report(Rule::GS0302, place_of(*node, place_), path_of(key),
                    fmt::format("{}: `{}` is not a CPU share", reading_.name_of(path_of(key)), clip(node->text)),
                    "write thousandths of a CPU or CPUs: `500m`, `0.5`, `2`");
    return nullptr;
  }
  if (*value < range.least || *value > range.most) {
    report_range(key, *node, format_cpu(range.least), format_cpu(range.most),
                 *value < range.least ? Side::below : Side::above);
    return nullptr;
  }
  out = *value;
  return node;
}

// Such a field is known, so it gets its own message, but it is never proposed to anybody.
void Fields::refuse_later(std::string_view key) {
  known_.emplace(key);
  const yaml::Entry* entry = node_.find(key);
  if (!entry || is_empty(entry->value)) return;
  reading_.report(Rule::GS0501, entry->key_span ? entry->key_span : place_, path_of(key),
                  fmt::format("this version does not support {}", reading_.name_of(path_of(key))), "remove the field");
}

void Fields::finish() {
  for (const yaml::Entry& entry : node_.entries) {
    if (known_.contains(entry.key)) continue;
    std::vector<std::string_view> candidates(offered_.begin(), offered_.end());
    auto near = closest(entry.key, candidates);
    std::string where = path_.empty() ? "a resource" : reading_.name_of(path_);
    reading_.report(Rule::GS0201, entry.key_span ? entry.key_span : place_, path_of(entry.key),
                    fmt::format("{} has no field `{}`", where, clip(entry.key)),
                    near ? fmt::format("did you mean `{}`?", *near)
                         : fmt::format("its fields are {}", list_words(candidates, "and")));
  }
}

std::optional<std::string> read_argument(Reading& reading, const yaml::Node& node, std::string_view path) {
  if (reading.is_lost(node)) return std::nullopt;
  if (node.kind != yaml::Kind::scalar) {
    reading.report(Rule::GS0203, node.span, path,
                   fmt::format("{} must be text, not {}", reading.name_of(path), yaml::kind_name(node)),
                   node.kind == yaml::Kind::null ? "write \"\" for an empty text" : "write one text in its place");
    return std::nullopt;
  }
  if (node.text.starts_with("secret://")) {
    reading.report(Rule::GS0503, node.span, path,
                   fmt::format("this version does not support secret references such as `{}`", clip(node.text)),
                   "hand the value over through the environment: `${NAME}`");
    return std::nullopt;
  }
  // MAX_ARG_STRLEN of Linux, with room for `NAME=`.
  constexpr size_t most = 128 * 1024 - 256;
  if (node.text.find('\0') != std::string::npos || node.text.size() > most) {
    reading.report(Rule::GS0311, node.span, path,
                   node.text.size() > most ? fmt::format("{} has {} bytes; a program takes {}", reading.name_of(path),
                                                         node.text.size(), most)
                                           : fmt::format("{} holds a NUL character", reading.name_of(path)),
                   "put the data into a file of the workdir");
    return std::nullopt;
  }
  return node.text;
}

}  // namespace gantry::core
