#include <algorithm>
#include <charconv>
#include <locale>
#include <sstream>

#include "net/message.h"
#include "net/net.h"

namespace gantry::net {

std::optional<Duration> parse_retry_after(std::string_view value, Time now) {
  value = trim(value);
  uint32_t seconds = 0;
  auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error == std::errc() && stop == value.data() + value.size()) return std::chrono::seconds(seconds);
  std::tm parts{};
  std::istringstream in{std::string(value)};
  in.imbue(std::locale::classic());
  in >> std::get_time(&parts, "%a, %d %b %Y %H:%M:%S GMT");
  if (in.fail()) return std::nullopt;
  auto day = std::chrono::sys_days(std::chrono::year(parts.tm_year + 1900) / (static_cast<unsigned>(parts.tm_mon) + 1) /
                                   static_cast<unsigned>(parts.tm_mday));
  Time at = Time(day) + std::chrono::hours(parts.tm_hour) + std::chrono::minutes(parts.tm_min) +
            std::chrono::seconds(parts.tm_sec);
  return std::max<Duration>(Duration::zero(), at - now);
}

}  // namespace gantry::net
