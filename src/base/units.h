// Durations, sizes and CPU shares, and how people write them.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"

namespace gantry {

/// A size in bytes.
struct Bytes {
  uint64_t count = 0;
  friend constexpr auto operator<=>(const Bytes&, const Bytes&) = default;
};
constexpr Bytes kibibytes(uint64_t n) { return {n << 10}; }
constexpr Bytes mebibytes(uint64_t n) { return {n << 20}; }
constexpr Bytes gibibytes(uint64_t n) { return {n << 30}; }

/// Thousandths of one CPU, as in Kubernetes.
struct MilliCpu {
  uint32_t count = 0;
  friend constexpr auto operator<=>(const MilliCpu&, const MilliCpu&) = default;
};

/// `30s`, `1m30s`, `250ms`, `2h`, `7d`, `0`: unit required except for 0; units ns us ms s m h d.
Result<Duration> parse_duration(std::string_view text);
/// The shortest exact spelling that `parse_duration` reads back: `1m30s`, `250ms`, `0s`.
std::string format_duration(Duration value);
/// For people: two units at most, `3d4h`, `12s`, `450ms`.
std::string format_duration_short(Duration value);

/// `512Mi`, `2Gi`, `64Ki`, `100M`, `1000`: binary (Ki Mi Gi Ti) or decimal (k M G T) suffix.
Result<Bytes> parse_bytes(std::string_view text);
/// The shortest exact spelling that `parse_bytes` reads back: `512Mi`, `2G`.
std::string format_bytes(Bytes value);
/// For people, one decimal: `1.4 MiB`.
std::string format_bytes_short(Bytes value);

/// `500m`, `2`, `0.5`: from 1m to 1024 CPUs.
Result<MilliCpu> parse_cpu(std::string_view text);
/// `500m` or `2`.
std::string format_cpu(MilliCpu value);

/// RFC 3339 in UTC with milliseconds: `2026-11-20T18:12:00.123Z`.
std::string format_time(Time value);
/// RFC 3339 with `Z` or an offset, with or without a fraction; years 1700 to 2261.
Result<Time> parse_time(std::string_view text);

/// Milliseconds since 1970, rounded down.
constexpr int64_t unix_ms(Time value) {
  return std::chrono::floor<std::chrono::milliseconds>(value).time_since_epoch().count();
}
/// The inverse.
constexpr Time time_from_unix_ms(int64_t ms) { return Time(std::chrono::milliseconds(ms)); }

}  // namespace gantry
