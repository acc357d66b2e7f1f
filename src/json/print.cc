#include <algorithm>
#include <charconv>
#include <cmath>

#include "json/json.h"

namespace gantry::json {
namespace {

namespace bj = boost::json;

std::string_view view(bj::string_view text) { return {text.data(), text.size()}; }

// ---- UTF-8 ----

struct CodePoint {
  uint32_t value;
  size_t size;  // bytes read; 0 if they are not UTF-8
};

// The code point at the start of a non-empty text (RFC 3629: no overlong forms, no surrogates).
CodePoint first_code_point(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return {0xfffd, 0};
  uint32_t value = lead & (0xffu >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {0xfffd, 0};
    value = value << 6 | (byte(i) & 0x3f);
  }
  constexpr uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < least[size] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return {0xfffd, 0};
  return {value, size};
}

// The order of the first UTF-16 code unit of a code point: supplementary characters are written as
// surrogates (D800-DFFF) and so come before U+E000.
uint32_t utf16_order(uint32_t code_point) {
  return code_point >= 0x10000 ? 0xd800 + ((code_point - 0x10000) >> 10) : code_point;
}

// RFC 8785 3.2.3: members are sorted by the UTF-16 code units of their names.
bool utf16_less(std::string_view a, std::string_view b) {
  auto [x, y] = std::ranges::mismatch(a, b);
  if (x == a.end() || y == b.end()) return a.size() < b.size();
  // Back to the first byte of the characters that differ.
  auto at = static_cast<size_t>(x - a.begin());
  while (at > 0 && (static_cast<uint8_t>(a[at]) & 0xc0) == 0x80) --at;
  uint32_t left = first_code_point(a.substr(at)).value;
  uint32_t right = first_code_point(b.substr(at)).value;
  if (utf16_order(left) != utf16_order(right)) return utf16_order(left) < utf16_order(right);
  return left < right;
}

// RFC 8785 3.2.2.2: the short escapes where JSON has them, \\u00xx for other controls.
void append_escaped(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
  }
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  size_t plain = 0;  // start of the run that is copied as it is
  for (size_t i = 0; i < text.size();) {
    auto byte = static_cast<uint8_t>(text[i]);
    if (byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\') {
      ++i;
      continue;
    }
    if (size_t size = byte < 0x80 ? 0 : first_code_point(text.substr(i)).size; size > 0) {
      i += size;
      continue;
    }
    out += text.substr(plain, i - plain);
    if (byte < 0x80)
      append_escaped(out, text[i]);
    else
      out += "\xef\xbf\xbd";
    plain = ++i;
  }
  out += text.substr(plain);
  out += '"';
}

// Scalars and empty containers: what the compact and the pretty form share.
void append_scalar(std::string& out, const Value& value) {
  if (const auto* text = value.if_string())
    append_quoted(out, view(*text));
  else if (const int64_t* integer = value.if_int64())
    fmt::format_to(std::back_inserter(out), "{}", *integer);
  else if (const uint64_t* natural = value.if_uint64())
    fmt::format_to(std::back_inserter(out), "{}", *natural);
  else if (const double* number = value.if_double())
    out += std::isfinite(*number) ? format_number(*number) : "null";  // as JSON.stringify does
  else if (const bool* flag = value.if_bool())
    out += *flag ? "true" : "false";
  else
    out += value.is_null() ? "null" : value.is_object() ? "{}" : "[]";
}

// ---- Compact ----

void append_compact(std::string& out, const Value& value) {
  if (const Object* object = value.if_object(); object && !object->empty()) {
    char separator = '{';
    for (const auto& member : *object) {
      out += std::exchange(separator, ',');
      append_quoted(out, view(member.key()));
      out += ':';
      append_compact(out, member.value());
    }
    out += '}';
  } else if (const Array* array = value.if_array(); array && !array->empty()) {
    char separator = '[';
    for (const Value& item : *array) {
      out += std::exchange(separator, ',');
      append_compact(out, item);
    }
    out += ']';
  } else {
    append_scalar(out, value);
  }
}

// ---- Pretty ----

// Recursion is as deep as the document, which `parse` bounds.
void append_pretty(std::string& out, const Value& value, size_t indent) {
  std::string inner(indent + 2, ' ');
  if (const Object* object = value.if_object(); object && !object->empty()) {
    std::string_view separator = "{\n";
    for (const auto& member : *object) {
      out.append(separator).append(inner);
      append_quoted(out, view(member.key()));
      out += ": ";
      append_pretty(out, member.value(), indent + 2);
      separator = ",\n";
    }
    out.append("\n").append(indent, ' ').append("}");
  } else if (const Array* array = value.if_array(); array && !array->empty()) {
    std::string_view separator = "[\n";
    for (const Value& item : *array) {
      out.append(separator).append(inner);
      append_pretty(out, item, indent + 2);
      separator = ",\n";
    }
    out.append("\n").append(indent, ' ').append("]");
  } else {
    append_scalar(out, value);
  }
}

// ---- Canonical ----

// RFC 8785: no white space, sorted members, numbers and strings as ECMAScript prints them.
class Canonicalizer {
 public:
  Result<> append(const Value& value) {
    switch (value.kind()) {
      case bj::kind::object:
        return append_object(value.get_object());
      case bj::kind::array:
        return append_array(value.get_array());
      case bj::kind::string:
        append_quoted(out, view(value.get_string()));
        return {};
      case bj::kind::int64:
        return append_integer(value.get_int64());
      case bj::kind::uint64:
        return append_integer(value.get_uint64());
      case bj::kind::double_:
        if (!std::isfinite(value.get_double())) return fail(Code::invalid, "infinity and NaN have no JSON form");
        out += format_number(value.get_double());
        return {};
      case bj::kind::bool_:
        out += value.get_bool() ? "true" : "false";
        return {};
      case bj::kind::null:
        out += "null";
        return {};
    }
    return {};
  }

  std::string out;

 private:
  template <class Integer>
  Result<> append_integer(Integer value) {
    std::string digits = fmt::format("{}", value);
    if (format_number(static_cast<double>(value)) != digits)
      return fail(Code::invalid, "the integer {} has no exact canonical form; send it as a string", value);
    out += digits;
    return {};
  }

  Result<> append_array(const Array& array) {
    out += '[';
    for (size_t i = 0; i < array.size(); ++i) {
      if (i > 0) out += ',';
      GANTRY_TRY_VOID(append(array[i]));
    }
    out += ']';
    return {};
  }

  Result<> append_object(const Object& object) {
    std::vector<const bj::key_value_pair*> members;
    members.reserve(object.size());
    for (const auto& member : object) members.push_back(&member);
    std::ranges::sort(members, [](const auto* a, const auto* b) { return utf16_less(view(a->key()), view(b->key())); });
    out += '{';
    for (size_t i = 0; i < members.size(); ++i) {
      if (i > 0) out += ',';
      append_quoted(out, view(members[i]->key()));
      out += ':';
      GANTRY_TRY_VOID(append(members[i]->value()));
    }
    out += '}';
    return {};
  }
};

}  // namespace

std::string format_number(double value) {
  if (value == 0) return "0";  // also -0 (ECMA-262 6.1.6.1.20 step 2)
  // Shortest digits that read back the same, as d.ddde±xx; then laid out as ECMAScript does.
  char buffer[32];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, std::abs(value), std::chars_format::scientific);
  std::string_view text(buffer, static_cast<size_t>(end - buffer));
  size_t mark = text.find('e');
  int exponent = 0;
  std::string_view power = text.substr(mark + (text[mark + 1] == '+' ? 2 : 1));
  std::from_chars(power.data(), power.data() + power.size(), exponent);
  std::string digits(1, text[0]);
  if (mark > 2) digits += text.substr(2, mark - 2);

  const int count = static_cast<int>(digits.size());
  const int point = exponent + 1;  // where the decimal point goes: n of the ECMAScript algorithm
  std::string out = value < 0 ? "-" : "";
  if (count <= point && point <= 21) return out + digits + std::string(static_cast<size_t>(point - count), '0');
  if (0 < point && point <= 21) return out + digits.insert(static_cast<size_t>(point), ".");
  if (-6 < point && point <= 0) return out + "0." + std::string(static_cast<size_t>(-point), '0') + digits;
  if (count > 1) digits.insert(1, ".");
  return out + digits + fmt::format("e{:+}", point - 1);
}

std::string quote(std::string_view text) {
  std::string out;
  append_quoted(out, text);
  return out;
}

std::string serialize(const Value& value) {
  std::string out;
  append_compact(out, value);
  return out;
}

std::string pretty(const Value& value) {
  std::string out;
  append_pretty(out, value, 0);
  return out;
}

Result<std::string> canonical(const Value& value) {
  Canonicalizer canonicalizer;
  GANTRY_TRY_VOID(canonicalizer.append(value));
  return std::move(canonicalizer.out);
}

}  // namespace gantry::json
