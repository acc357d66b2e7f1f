// JSON: parse with limits, print, print canonically, and read fields with errors that name them.
//
// The document type is Boost.JSON's (a DOM of 16-byte values; 22 µs for a 19 KB document); this door
// adds what the product needs around it: every limit is explicit, a syntax error has a line and a
// column, an error about a field has its path, and the canonical form is RFC 8785, so that two
// documents that mean the same have the same hash.
//
// All functions are pure and thread-safe; nothing throws. A `Value` is a value: one owner, one thread
// at a time. With `ParseOptions::storage` a whole document lives in a monotonic resource of the
// caller, which must outlive it.
//
// Example:
//
//   GANTRY_TRY(json::Value body, json::parse(text));
//   GANTRY_TRY(std::string name, json::get_string(body, "metadata.name"));
//   GANTRY_TRY(int64_t limit, json::get_int_or(body, "limit", 100));
//   std::string answer = json::serialize(json::Object{{"name", name}, {"limit", limit}});
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"

namespace gantry::json {

using Value = boost::json::value;
using Object = boost::json::object;
using Array = boost::json::array;

/// The bounds of `parse`; a document beyond one is refused with `Code::invalid`.
struct ParseOptions {
  size_t max_bytes = size_t{16} << 20;
  /// How deep lists and objects may be nested.
  size_t max_depth = 64;
  /// Where the document lives; the default is the heap.
  boost::json::storage_ptr storage = {};
};

/// Parses one RFC 8259 document. Invalid UTF-8, lone surrogates, trailing text and numbers beyond the
/// range of a double are errors; of duplicate keys the last one counts. The error reads
/// `line 3, column 7: expected a comma`: lines and columns start at 1, columns count characters.
Result<Value> parse(std::string_view text, const ParseOptions& options = {});

/// One line, no spaces, keys in the order of the document, numbers as ECMAScript prints them (`1.5`,
/// not `1.5E0` as Boost does); infinity and NaN are `null`, as JSON.stringify has it.
std::string serialize(const Value& value);

/// Indented by two spaces, one member a line, empty lists and objects as `[]` and `{}`; no newline at
/// the end.
std::string pretty(const Value& value);

/// The canonical form of RFC 8785 (JCS): keys sorted by UTF-16 code units, numbers as ECMAScript
/// prints them, shortest string escapes. `invalid` for a number that has no exact form there: an
/// integer that reads differently once it is a double (two documents could share one hash), an
/// infinity or NaN.
Result<std::string> canonical(const Value& value);

/// A number as ECMAScript's Number::toString prints it; what `canonical` uses. `value` is finite.
std::string format_number(double value);

/// `text` as a JSON string with its quotes and the shortest escapes of RFC 8785 3.2.2.2. Bytes that
/// are not UTF-8 become U+FFFD.
std::string quote(std::string_view text);

/// The value at a path such as `spec.health.retries` or `items.0.name`; nullptr if a step is missing.
/// An empty path is the value itself. Points into `value`. Keys with dots are out of its reach.
const Value* find(const Value& value, std::string_view path);

// The getters. A missing member and a wrong type are `Code::invalid`, and the reason names the whole
// path: `spec.port: expected an integer, got a string`. The `_or` twins return `fallback` when the
// member is missing or null; a wrong type is still an error.

Result<std::string> get_string(const Value& value, std::string_view path);
Result<std::string> get_string_or(const Value& value, std::string_view path, std::string_view fallback);
/// Any JSON number without a fraction that fits.
Result<int64_t> get_int(const Value& value, std::string_view path);
Result<int64_t> get_int_or(const Value& value, std::string_view path, int64_t fallback);
Result<uint64_t> get_uint(const Value& value, std::string_view path);
Result<uint64_t> get_uint_or(const Value& value, std::string_view path, uint64_t fallback);
Result<double> get_double(const Value& value, std::string_view path);
Result<double> get_double_or(const Value& value, std::string_view path, double fallback);
Result<bool> get_bool(const Value& value, std::string_view path);
Result<bool> get_bool_or(const Value& value, std::string_view path, bool fallback);
/// Points into `value`.
Result<const Object*> get_object(const Value& value, std::string_view path);
/// Points into `value`.
Result<const Array*> get_array(const Value& value, std::string_view path);
/// A list whose elements are all strings.
Result<std::vector<std::string>> get_strings(const Value& value, std::string_view path);

/// `an object`, `a list`, `a string`, `an integer`, `a number`, `a boolean`, `null`: for messages.
std::string_view kind_name(const Value& value);

}  // namespace gantry::json

namespace gantry {
/// The document type by its short name.
using Json = json::Value;
}  // namespace gantry
