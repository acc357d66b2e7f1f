#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>

#include "json/json.h"

namespace gantry::json {
namespace {

namespace bj = boost::json;
using ErrorCode = boost::json::error_code;
using View = boost::json::string_view;

// Builds the document, as boost::json::parser does, but with exact numbers: Boost 1.81 reads
// 333333333.33333329 one unit in the last place off, which would change canonical hashes.
struct Builder {
  static constexpr size_t max_object_size = bj::object::max_size();
  static constexpr size_t max_array_size = bj::array::max_size();
  static constexpr size_t max_key_size = bj::string::max_size();
  static constexpr size_t max_string_size = bj::string::max_size();

  Builder(const bj::storage_ptr& storage, unsigned char* scratch, size_t size) : stack({}, scratch, size) {
    stack.reset(storage);
  }

  bool on_document_begin(ErrorCode&) { return true; }
  bool on_document_end(ErrorCode&) { return true; }
  bool on_object_begin(ErrorCode&) { return true; }
  bool on_object_end(size_t count, ErrorCode&) { return stack.push_object(count), true; }
  bool on_array_begin(ErrorCode&) { return true; }
  bool on_array_end(size_t count, ErrorCode&) { return stack.push_array(count), true; }
  bool on_key_part(View part, size_t, ErrorCode&) { return stack.push_chars(part), true; }
  bool on_key(View part, size_t, ErrorCode&) { return stack.push_key(part), true; }
  bool on_string_part(View part, size_t, ErrorCode&) { return stack.push_chars(part), true; }
  bool on_string(View part, size_t, ErrorCode&) { return stack.push_string(part), true; }
  bool on_number_part(View, ErrorCode&) { return true; }
  bool on_int64(int64_t value, View, ErrorCode&) { return stack.push_int64(value), true; }
  bool on_uint64(uint64_t value, View, ErrorCode&) { return stack.push_uint64(value), true; }
  bool on_double(double rough, View text, ErrorCode& error) {
    double exact = 0;
    auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), exact);
    if (problem == std::errc::result_out_of_range) {
      // Too close to zero is zero; too large has no value.
      if (std::abs(rough) > 1) return error = bj::error::exponent_overflow, false;
      exact = std::copysign(0.0, rough);
    }
    return stack.push_double(exact), true;
  }
  bool on_bool(bool value, ErrorCode&) { return stack.push_bool(value), true; }
  bool on_null(ErrorCode&) { return stack.push_null(), true; }
  bool on_comment_part(View, ErrorCode&) { return true; }
  bool on_comment(View, ErrorCode&) { return true; }

  bj::value_stack stack;
};

// Where byte `offset` of `text` is, in lines and characters.
struct Place {
  size_t line = 1;
  size_t column = 1;
};

Place place_of(std::string_view text, size_t offset) {
  std::string_view before = text.substr(0, std::min(offset, text.size()));
  size_t start = before.rfind('\n') + 1;  // npos + 1 is 0
  Place place;
  place.line += static_cast<size_t>(std::ranges::count(before, '\n'));
  for (char c : before.substr(start))
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) ++place.column;
  return place;
}

std::string describe(const ErrorCode& code, std::string_view text, size_t offset) {
  if (code == bj::error::incomplete) return "the text ends too early";
  if (code == bj::error::extra_data) return "text follows the end of the document";
  if (code == bj::error::too_deep) return "lists and objects are nested too deeply";
  if (code == bj::error::exponent_overflow) return "the number is too large";
  if (code == bj::error::syntax && offset < text.size()) {
    auto byte = static_cast<unsigned char>(text[offset]);
    if (byte >= 0x20 && byte < 0x7f) return fmt::format("unexpected character '{}'", static_cast<char>(byte));
    return fmt::format("unexpected byte 0x{:02x}", byte);
  }
  return code.message();
}

}  // namespace

Result<Value> parse(std::string_view text, const ParseOptions& options) {
  if (text.size() > options.max_bytes)
    return fail(Code::invalid, "the document has {} bytes, more than the limit of {}", text.size(), options.max_bytes);
  bj::parse_options rules;
  rules.max_depth = options.max_depth;
  unsigned char scratch[4096];
  try {
    bj::basic_parser<Builder> parser(rules, options.storage, scratch, sizeof scratch);
    ErrorCode code;
    size_t consumed = parser.write_some(false, text.data(), text.size(), code);
    if (!code && consumed < text.size()) code = bj::error::extra_data;
    if (!code) return parser.handler().stack.release();
    Place place = place_of(text, consumed);
    return fail(Code::invalid, "line {}, column {}: {}", place.line, place.column, describe(code, text, consumed));
  } catch (const std::exception& exception) {
    return fail(Code::exhausted, "parse JSON: {}", exception.what());
  }
}

}  // namespace gantry::json
