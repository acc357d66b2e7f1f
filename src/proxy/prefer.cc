#include "proxy/prefer.h"

#include <algorithm>
#include <charconv>

namespace gantry::proxy {
namespace {

void take(std::string_view item, Duration longest, Preference& preference) {
  item = trim(item.substr(0, item.find(';')));
  size_t equals = item.find('=');
  std::string_view name = trim(item.substr(0, equals));
  if (equals_ignoring_case(name, "respond-async")) preference.respond_async = true;
  if (!equals_ignoring_case(name, "wait") || equals == item.npos || preference.wait) return;
  std::string_view value = trim(item.substr(equals + 1));
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
  uint64_t seconds = 0;
  auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error == std::errc::result_out_of_range)
    seconds = UINT32_MAX;
  else if (error != std::errc() || stop != value.data() + value.size())
    return;
  preference.wait = std::min<Duration>(longest, std::chrono::seconds(std::min<uint64_t>(seconds, UINT32_MAX)));
}

}  // namespace

Preference parse_preference(net::Headers headers, Duration longest) {
  Preference preference;
  for (const net::Header& header : headers) {
    if (!equals_ignoring_case(header.name, "prefer")) continue;
    for (std::string_view rest = header.value; !rest.empty();) {
      size_t comma = rest.find(',');
      take(rest.substr(0, comma), longest, preference);
      rest = comma == rest.npos ? std::string_view{} : rest.substr(comma + 1);
    }
  }
  return preference;
}

}  // namespace gantry::proxy
