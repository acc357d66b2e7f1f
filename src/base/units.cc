#include "base/units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <optional>

namespace gantry {
namespace {

struct Unit {
  std::string_view name;
  uint64_t size;
};

// Largest first, so that formatting takes the first that divides.
constexpr std::array<Unit, 7> duration_units{{{"d", 86'400'000'000'000},
                                              {"h", 3'600'000'000'000},
                                              {"m", 60'000'000'000},
                                              {"s", 1'000'000'000},
                                              {"ms", 1'000'000},
                                              {"us", 1'000},
                                              {"ns", 1}}};
constexpr std::array<Unit, 10> byte_units{{{"Ti", 1ull << 40},
                                           {"Gi", 1ull << 30},
                                           {"Mi", 1ull << 20},
                                           {"Ki", 1ull << 10},
                                           {"T", 1'000'000'000'000},
                                           {"G", 1'000'000'000},
                                           {"M", 1'000'000},
                                           {"k", 1'000},
                                           {"K", 1'000},
                                           {"", 1}}};

template <size_t N>
const Unit* find_unit(const std::array<Unit, N>& units, std::string_view name) {
  for (const Unit& unit : units)
    if (unit.name == name) return &unit;
  return nullptr;
}

// The number at the start of text, and what follows it. Whole and fraction apart, since a double
// holds only 53 bits: 104 days in nanoseconds.
struct Number {
  uint64_t whole;
  double fraction;
  std::string_view rest;

  // The number times a unit, rounded; nullopt above `most`.
  std::optional<uint64_t> times(uint64_t unit, uint64_t most) const {
    uint64_t result = 0;
    auto part = static_cast<uint64_t>(std::llround(fraction * static_cast<double>(unit)));
    if (__builtin_mul_overflow(whole, unit, &result) || __builtin_add_overflow(result, part, &result)) return {};
    if (result > most) return {};
    return result;
  }
};

std::optional<Number> leading_number(std::string_view text) {
  size_t point = 0;
  while (point < text.size() && text[point] >= '0' && text[point] <= '9') ++point;
  size_t end = point;
  if (end < text.size() && text[end] == '.')
    for (++end; end < text.size() && text[end] >= '0' && text[end] <= '9';) ++end;
  if (end == 0 || end == point + 1) return {};  // `5.` and `.` are no numbers
  Number number{0, 0, text.substr(end)};
  if (point > 0 && std::from_chars(text.data(), text.data() + point, number.whole).ec != std::errc()) return {};
  if (end > point && std::from_chars(text.data() + point, text.data() + end, number.fraction).ec != std::errc())
    return {};
  return number;
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  auto bad = [&] {
    return fail(Code::invalid, "'{}' is not a duration such as 30s, 1m30s or 250ms", text.substr(0, 64));
  };
  if (text == "0") return Duration{0};
  if (text.empty()) return bad();
  constexpr uint64_t most = INT64_MAX;
  uint64_t total = 0;
  for (std::string_view rest = text; !rest.empty();) {
    auto number = leading_number(rest);
    if (!number) return bad();
    size_t length = 0;
    while (length < number->rest.size() && number->rest[length] >= 'a' && number->rest[length] <= 'z') ++length;
    const Unit* unit = find_unit(duration_units, number->rest.substr(0, length));
    if (!unit) return bad();
    auto part = number->times(unit->size, most - total);
    if (!part) return fail(Code::invalid, "the duration '{}' is above 292 years", text.substr(0, 64));
    total += *part;
    rest = number->rest.substr(length);
  }
  return Duration(static_cast<int64_t>(total));
}

namespace {

// Also of the most negative value, which has no positive twin.
uint64_t magnitude(Duration value) {
  auto count = static_cast<uint64_t>(value.count());
  return value.count() < 0 ? 0 - count : count;
}

}  // namespace

std::string format_duration(Duration value) {
  if (value.count() == 0) return "0s";
  std::string text = value.count() < 0 ? "-" : "";
  uint64_t rest = magnitude(value);
  for (const Unit& unit : duration_units) {
    if (rest < unit.size) continue;
    text += fmt::format("{}{}", rest / unit.size, unit.name);
    rest %= unit.size;
  }
  return text;
}

std::string format_duration_short(Duration value) {
  uint64_t rest = magnitude(value);
  if (rest < 1'000'000) return fmt::format("{}us", rest / 1000);
  std::string text;
  int parts = 0;
  for (size_t i = 0; i < duration_units.size() && parts < 2; ++i) {
    const Unit& unit = duration_units[i];
    if (rest < unit.size) {
      if (parts == 1) break;  // 3d0h12m is 3d
      continue;
    }
    text += fmt::format("{}{}", rest / unit.size, unit.name);
    rest %= unit.size;
    ++parts;
    if (unit.size <= 1'000'000'000) break;  // seconds are exact enough
  }
  return text;
}

Result<Bytes> parse_bytes(std::string_view text) {
  auto number = leading_number(text);
  const Unit* unit = number ? find_unit(byte_units, number->rest) : nullptr;
  if (!unit) return fail(Code::invalid, "'{}' is not a size such as 512Mi, 2Gi or 100M", text.substr(0, 64));
  auto value = number->times(unit->size, INT64_MAX);
  if (!value) return fail(Code::invalid, "the size '{}' is too large", text.substr(0, 64));
  return Bytes{*value};
}

std::string format_bytes(Bytes value) {
  // 2000000000 is 2G, not 1953125Ki; of equals the binary one comes first.
  std::string shortest = fmt::format("{}", value.count);
  for (const Unit& unit : byte_units) {
    if (value.count == 0 || value.count % unit.size != 0 || unit.name == "K") continue;
    std::string text = fmt::format("{}{}", value.count / unit.size, unit.name);
    if (text.size() < shortest.size()) shortest = std::move(text);
  }
  return shortest;
}

std::string format_bytes_short(Bytes value) {
  constexpr std::array<std::string_view, 5> names{"B", "KiB", "MiB", "GiB", "TiB"};
  auto amount = static_cast<double>(value.count);
  size_t at = 0;
  while (amount >= 1024 && at + 1 < names.size()) {
    amount /= 1024;
    ++at;
  }
  return at == 0 ? fmt::format("{} B", value.count) : fmt::format("{:.1f} {}", amount, names[at]);
}

Result<MilliCpu> parse_cpu(std::string_view text) {
  auto number = leading_number(text);
  if (!number || (!number->rest.empty() && number->rest != "m"))
    return fail(Code::invalid, "'{}' is not a CPU share such as 500m, 0.5 or 2", text.substr(0, 64));
  auto milli = number->times(number->rest == "m" ? 1 : 1000, 1'024'000);
  if (!milli || *milli == 0)
    return fail(Code::invalid, "the CPU share '{}' is not between 1m and 1024", text.substr(0, 64));
  return MilliCpu{static_cast<uint32_t>(*milli)};
}

std::string format_cpu(MilliCpu value) {
  if (value.count % 1000 == 0) return fmt::format("{}", value.count / 1000);
  return fmt::format("{}m", value.count);
}

std::string format_time(Time value) {
  auto ms = unix_ms(value);
  std::time_t seconds = static_cast<std::time_t>(ms >= 0 ? ms / 1000 : (ms - 999) / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     ms - static_cast<int64_t>(seconds) * 1000);
}

Result<Time> parse_time(std::string_view text) {
  auto bad = [&] { return fail(Code::invalid, "'{}' is not a time such as 2026-11-20T18:12:00Z", text.substr(0, 64)); };
  auto number = [&](size_t at, size_t size) -> int {
    int value = -1;
    if (at + size > text.size()) return -1;
    auto [stop, error] = std::from_chars(text.data() + at, text.data() + at + size, value);
    return error == std::errc() && stop == text.data() + at + size ? value : -1;
  };
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't' && text[10] != ' ') ||
      text[13] != ':' || text[16] != ':')
    return bad();
  int year = number(0, 4), month = number(5, 2), day = number(8, 2);
  int hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  if (year < 0 || month < 1 || day < 1 || !date.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
      second < 0 || second > 60)
    return bad();
  // What 64 bits of nanoseconds hold, with room for an offset.
  if (year < 1678 || year > 2261)
    return fail(Code::invalid, "the time '{}' is not between the years 1678 and 2261", text.substr(0, 64));
  Time result = Time(std::chrono::sys_days(date)) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
                std::chrono::seconds(second);
  size_t at = 19;
  if (text[at] == '.') {
    if (at + 1 == text.size() || text[at + 1] < '0' || text[at + 1] > '9') return bad();
    int64_t scale = 100'000'000;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, scale /= 10)
      result += Duration((text[at] - '0') * scale);
  }
  if (at + 1 == text.size() && (text[at] == 'Z' || text[at] == 'z')) return result;
  if (at + 6 != text.size() || (text[at] != '+' && text[at] != '-') || text[at + 3] != ':') return bad();
  int offset_hours = number(at + 1, 2), offset_minutes = number(at + 4, 2);
  if (offset_hours < 0 || offset_hours > 23 || offset_minutes < 0 || offset_minutes > 59) return bad();
  Duration offset = std::chrono::hours(offset_hours) + std::chrono::minutes(offset_minutes);
  return text[at] == '+' ? result - offset : result + offset;
}

}  // namespace gantry
