#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "yaml/yaml.h"

namespace gantry::yaml {
namespace {

constexpr std::string_view decimal = "0123456789";

bool one_of(std::string_view text, std::initializer_list<std::string_view> candidates) {
  return std::ranges::find(candidates, text) != candidates.end();
}

bool is_null_text(std::string_view text) { return one_of(text, {"", "~", "null", "Null", "NULL"}); }
bool is_true_text(std::string_view text) { return one_of(text, {"true", "True", "TRUE"}); }
bool is_false_text(std::string_view text) { return one_of(text, {"false", "False", "FALSE"}); }

bool all_of(std::string_view text, std::string_view digits) {
  return !text.empty() && text.find_first_not_of(digits) == text.npos;
}

std::string_view without_sign(std::string_view text) {
  return !text.empty() && (text[0] == '-' || text[0] == '+') ? text.substr(1) : text;
}

// YAML 1.2.2 section 10.3.2: [-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+
bool is_integer_text(std::string_view text) {
  if (text.starts_with("0o")) return all_of(text.substr(2), "01234567");
  if (text.starts_with("0x")) return all_of(text.substr(2), "0123456789abcdefABCDEF");
  return all_of(without_sign(text), decimal);
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? and the words for infinity and NaN.
bool is_number_text(std::string_view text) {
  std::string_view rest = without_sign(text);
  if (one_of(rest, {".inf", ".Inf", ".INF"}) || one_of(text, {".nan", ".NaN", ".NAN"})) return true;
  size_t whole = std::min(rest.find_first_not_of(decimal), rest.size());
  rest.remove_prefix(whole);
  size_t fraction = 0;
  if (rest.starts_with('.')) {
    fraction = std::min(rest.find_first_not_of(decimal, 1), rest.size()) - 1;
    rest.remove_prefix(fraction + 1);
  }
  if (whole + fraction == 0) return false;
  if (rest.empty()) return true;
  return (rest[0] == 'e' || rest[0] == 'E') && all_of(without_sign(rest.substr(1)), decimal);
}

Type resolve(std::string_view text) {
  if (is_null_text(text)) return Type::null;
  if (is_true_text(text) || is_false_text(text)) return Type::boolean;
  if (is_integer_text(text)) return Type::integer;
  if (is_number_text(text)) return Type::number;
  return Type::string;
}

Node scalar(std::string text) {
  Node node;
  node.kind = Kind::scalar;
  node.text = std::move(text);
  return node;
}

}  // namespace

const Entry* Node::find(std::string_view key) const {
  auto at = std::ranges::find(entries, key, &Entry::key);
  return at == entries.end() ? nullptr : &*at;
}

Type Node::type() const {
  if (kind == Kind::null) return Type::null;
  return kind == Kind::scalar && !quoted ? resolve(text) : Type::string;
}

std::optional<bool> Node::as_bool() const {
  if (kind != Kind::scalar || type() != Type::boolean) return std::nullopt;
  return is_true_text(text);
}

std::optional<int64_t> Node::as_int() const {
  if (kind != Kind::scalar || type() != Type::integer) return std::nullopt;
  std::string_view digits = text;
  int base = digits.starts_with("0x") ? 16 : digits.starts_with("0o") ? 8 : 10;
  if (base != 10) digits.remove_prefix(2);
  if (digits.starts_with('+')) digits.remove_prefix(1);
  int64_t value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc()) return std::nullopt;
  return value;
}

std::optional<double> Node::as_number() const {
  if (kind != Kind::scalar) return std::nullopt;
  if (type() == Type::integer) {
    auto value = as_int();
    return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
  }
  if (type() != Type::number) return std::nullopt;
  std::string_view rest = text;
  if (rest.starts_with('+')) rest.remove_prefix(1);
  bool negative = rest.starts_with('-');
  if (without_sign(rest).starts_with(".i") || without_sign(rest).starts_with(".I"))
    return negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  if (rest.starts_with(".n") || rest.starts_with(".N")) return std::numeric_limits<double>::quiet_NaN();
  double value = 0;
  auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

std::string_view kind_name(const Node& node) {
  switch (node.kind) {
    case Kind::null:
      return "nothing";
    case Kind::list:
      return "a list";
    case Kind::map:
      return "a map";
    case Kind::scalar:
      break;
  }
  switch (node.type()) {
    case Type::null:
      return "nothing";
    case Type::boolean:
      return "a boolean";
    case Type::integer:
      return "an integer";
    case Type::number:
      return "a number";
    case Type::string:
      break;
  }
  return "text";
}

// Booleans and numbers become plain scalars again, which `type` resolves to the same type.
Node from_json(const json::Value& value) {
  Node node;
  if (const json::Object* object = value.if_object()) {
    node.kind = Kind::map;
    for (const auto& member : *object)
      node.entries.push_back({std::string(member.key().data(), member.key().size()), {}, from_json(member.value())});
  } else if (const json::Array* array = value.if_array()) {
    node.kind = Kind::list;
    for (const json::Value& item : *array) node.items.push_back(from_json(item));
  } else if (const auto* text = value.if_string()) {
    node = scalar(std::string(text->data(), text->size()));
    node.quoted = true;
  } else if (!value.is_null()) {
    node = scalar(json::serialize(value));
  }
  return node;
}

std::string_view line_of(std::string_view text, uint32_t line) {
  if (line == 0) return {};
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  for (uint32_t i = 1; i < line; ++i) {
    size_t end = text.find('\n');
    if (end == text.npos) return {};
    text.remove_prefix(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

std::string quote_if_needed(std::string_view text) {
  constexpr std::string_view safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+=@%,-";
  // Words that YAML 1.1 readers take for booleans are quoted for their sake.
  bool word = one_of(to_lower(text), {"yes", "no", "on", "off", "y", "n"});
  bool plain = !text.empty() && text.find_first_not_of(safe) == text.npos && text[0] != '-' && text[0] != '@' &&
               text[0] != '%' && text[0] != ',' && text[0] != '=' && resolve(text) == Type::string && !word;
  // A plain comma ends a value inside [ ] and { }.
  if (plain && text.find(',') == text.npos) return std::string(text);
  return json::quote(text);
}

}  // namespace gantry::yaml
