#include <charconv>
#include <cmath>

#include "json/json.h"

namespace gantry::json {
namespace {

// The step of a path inside one value: a member of an object or an index of a list.
const Value* step_into(const Value& value, std::string_view step) {
  if (const Object* object = value.if_object()) return object->if_contains(step);
  const Array* array = value.if_array();
  if (!array) return nullptr;
  size_t index = 0;
  auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), index);
  if (error != std::errc() || end != step.data() + step.size() || index >= array->size()) return nullptr;
  return &(*array)[index];
}

std::string_view shown(std::string_view path) { return path.empty() ? std::string_view("the document") : path; }

std::unexpected<Error> wrong(const Value& value, std::string_view path, std::string_view expected) {
  // Of a number its value says more than its kind: `expected an integer, got 1.5`.
  std::string got = value.is_number() ? json::serialize(value) : std::string(kind_name(value));
  return fail(Code::invalid, "{}: expected {}, got {}", shown(path), expected, got);
}

std::optional<std::string> convert_string(const Value& value) {
  const auto* text = value.if_string();
  if (!text) return std::nullopt;
  return std::string(text->data(), text->size());
}

// A double without a fraction counts as an integer: JSON has one kind of number.
std::optional<int64_t> convert_int(const Value& value) {
  if (const int64_t* number = value.if_int64()) return *number;
  if (const uint64_t* number = value.if_uint64(); number && *number <= INT64_MAX) return static_cast<int64_t>(*number);
  const double* number = value.if_double();
  if (!number || std::trunc(*number) != *number || std::abs(*number) >= 0x1p63) return std::nullopt;
  return static_cast<int64_t>(*number);
}

std::optional<uint64_t> convert_uint(const Value& value) {
  if (const uint64_t* number = value.if_uint64()) return *number;
  if (auto number = convert_int(value); number && *number >= 0) return static_cast<uint64_t>(*number);
  const double* number = value.if_double();
  if (!number || std::trunc(*number) != *number || *number < 0 || *number >= 0x1p64) return std::nullopt;
  return static_cast<uint64_t>(*number);
}

std::optional<double> convert_double(const Value& value) {
  if (const double* number = value.if_double()) return *number;
  if (const int64_t* number = value.if_int64()) return static_cast<double>(*number);
  if (const uint64_t* number = value.if_uint64()) return static_cast<double>(*number);
  return std::nullopt;
}

std::optional<bool> convert_bool(const Value& value) {
  const bool* flag = value.if_bool();
  return flag ? std::optional(*flag) : std::nullopt;
}

template <class Convert>
using Converted = typename std::invoke_result_t<Convert, const Value&>::value_type;

// The one path of all getters: find, convert, or say what was expected and what is there.
template <class Convert>
Result<Converted<Convert>> get_as(const Value& value, std::string_view path, std::string_view expected,
                                  Convert convert) {
  const Value* found = find(value, path);
  if (!found) return fail(Code::invalid, "{}: {} is missing", shown(path), expected);
  auto converted = convert(*found);
  if (!converted) return wrong(*found, path, expected);
  return std::move(*converted);
}

// `_or` getters treat null like a missing member, as JavaScript clients send it.
bool absent(const Value& value, std::string_view path) {
  const Value* found = find(value, path);
  return !found || found->is_null();
}

}  // namespace

std::string_view kind_name(const Value& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return "null";
    case boost::json::kind::bool_:
      return "a boolean";
    case boost::json::kind::int64:
    case boost::json::kind::uint64:
      return "an integer";
    case boost::json::kind::double_:
      return "a number";
    case boost::json::kind::string:
      return "a string";
    case boost::json::kind::array:
      return "a list";
    case boost::json::kind::object:
      return "an object";
  }
  return "null";
}

const Value* find(const Value& value, std::string_view path) {
  const Value* at = &value;
  while (at && !path.empty()) {
    size_t dot = path.find('.');
    at = step_into(*at, path.substr(0, dot));
    path = dot == path.npos ? std::string_view() : path.substr(dot + 1);
  }
  return at;
}

Result<std::string> get_string(const Value& value, std::string_view path) {
  return get_as(value, path, "a string", convert_string);
}
Result<std::string> get_string_or(const Value& value, std::string_view path, std::string_view fallback) {
  return absent(value, path) ? std::string(fallback) : get_string(value, path);
}
Result<int64_t> get_int(const Value& value, std::string_view path) {
  return get_as(value, path, "an integer", convert_int);
}
Result<int64_t> get_int_or(const Value& value, std::string_view path, int64_t fallback) {
  return absent(value, path) ? fallback : get_int(value, path);
}
Result<uint64_t> get_uint(const Value& value, std::string_view path) {
  return get_as(value, path, "a non-negative integer", convert_uint);
}
Result<uint64_t> get_uint_or(const Value& value, std::string_view path, uint64_t fallback) {
  return absent(value, path) ? fallback : get_uint(value, path);
}
Result<double> get_double(const Value& value, std::string_view path) {
  return get_as(value, path, "a number", convert_double);
}
Result<double> get_double_or(const Value& value, std::string_view path, double fallback) {
  return absent(value, path) ? fallback : get_double(value, path);
}
Result<bool> get_bool(const Value& value, std::string_view path) {
  return get_as(value, path, "a boolean", convert_bool);
}
Result<bool> get_bool_or(const Value& value, std::string_view path, bool fallback) {
  return absent(value, path) ? fallback : get_bool(value, path);
}

Result<const Object*> get_object(const Value& value, std::string_view path) {
  const Value* found = find(value, path);
  if (!found) return fail(Code::invalid, "{}: an object is missing", shown(path));
  if (!found->is_object()) return wrong(*found, path, "an object");
  return &found->get_object();
}

Result<const Array*> get_array(const Value& value, std::string_view path) {
  const Value* found = find(value, path);
  if (!found) return fail(Code::invalid, "{}: a list is missing", shown(path));
  if (!found->is_array()) return wrong(*found, path, "a list");
  return &found->get_array();
}

Result<std::vector<std::string>> get_strings(const Value& value, std::string_view path) {
  GANTRY_TRY(const Array* array, get_array(value, path));
  std::vector<std::string> texts;
  texts.reserve(array->size());
  for (size_t i = 0; i < array->size(); ++i) {
    const auto* text = (*array)[i].if_string();
    if (!text) return wrong((*array)[i], fmt::format("{}.{}", path, i), "a string");
    texts.emplace_back(text->data(), text->size());
  }
  return texts;
}

}  // namespace gantry::json
