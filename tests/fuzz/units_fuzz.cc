// fuzz: base
// Durations, sizes, CPU shares, times, ids and scopes: what parses must print, and what is printed
// must parse to the same value.
#include <string_view>

#include "base/base.h"

namespace {

using namespace gantry;

void check_durations_and_sizes(std::string_view text) {
  if (auto value = parse_duration(text)) {
    auto again = parse_duration(format_duration(*value));
    GANTRY_CHECK(again.has_value() && *again == *value);
    GANTRY_CHECK(!format_duration_short(*value).empty());
  }
  if (auto value = parse_bytes(text)) {
    auto again = parse_bytes(format_bytes(*value));
    GANTRY_CHECK(again.has_value() && *again == *value);
    GANTRY_CHECK(!format_bytes_short(*value).empty());
  }
  if (auto value = parse_cpu(text)) {
    auto again = parse_cpu(format_cpu(*value));
    GANTRY_CHECK(again.has_value() && *again == *value);
  }
}

void check_times_and_names(std::string_view text) {
  if (auto value = parse_time(text)) {
    auto again = parse_time(format_time(*value));
    GANTRY_CHECK(again.has_value() && unix_ms(*again) == unix_ms(*value));
  }
  if (auto value = RequestId::parse(text)) {
    auto again = RequestId::parse(value->to_string());
    GANTRY_CHECK(again.has_value() && *again == *value);
  }
  if (auto value = Scope::parse(text)) GANTRY_CHECK(value->path() == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  check_durations_and_sizes(text);
  check_times_and_names(text);
  return 0;
}
