#include "agents/window.h"

#include <algorithm>
#include <bit>

namespace gantry::agents {
namespace {

// Microseconds up to `exact` have buckets of their own; above, each power of two has `parts`.
constexpr uint64_t exact = 32;
constexpr uint64_t parts = 16;
constexpr int first_power = 5;  // of `exact`
constexpr int last_power = 35;  // nine hours
constexpr size_t bucket_count = exact + static_cast<size_t>(last_power - first_power + 1) * parts;

size_t bucket_of(Duration took) {
  const int64_t count = took / std::chrono::microseconds(1);
  const auto us = static_cast<uint64_t>(std::max<int64_t>(0, count));
  if (us < exact) return us;
  const int power = std::bit_width(us) - 1;
  if (power > last_power) return bucket_count - 1;
  return exact + static_cast<size_t>(power - first_power) * parts + ((us >> (power - 4)) & (parts - 1));
}

// The middle of a bucket.
Duration value_of(size_t bucket) {
  if (bucket < exact) return std::chrono::microseconds(bucket);
  const size_t power = (bucket - exact) / parts + first_power;
  const uint64_t width = uint64_t{1} << (power - 4);
  const uint64_t begin = (uint64_t{1} << power) + ((bucket - exact) % parts) * width;
  return std::chrono::microseconds(begin + width / 2);
}

template <class Span>
int64_t number_of(SteadyTime now, Span span) {
  return now.time_since_epoch() / span;
}

// The smallest value that is not exceeded by `percent` of all.
Duration percentile(const std::array<uint64_t, bucket_count>& counts, uint64_t total, uint64_t percent) {
  const uint64_t rank = (total * percent + 99) / 100;
  uint64_t seen = 0;
  for (size_t i = 0; i < bucket_count; ++i) {
    seen += counts[i];
    if (seen >= rank) return value_of(i);
  }
  return {};
}

}  // namespace

void RequestWindow::add(SteadyTime now, Duration took) {
  const int64_t number = number_of(now, slot_span);
  Slot& slot = slots_[static_cast<size_t>(number) % slot_count];
  if (slot.number != number) {
    slot.number = number;
    slot.counts.assign(bucket_count, 0);
  }
  ++slot.counts[bucket_of(took)];
  const int64_t second = number_of(now, std::chrono::seconds(1));
  Second& counted = seconds_[static_cast<size_t>(second) % seconds_.size()];
  if (counted.number != second) counted = {second, 0};
  ++counted.count;
}

RequestWindow::Reading RequestWindow::read(SteadyTime now) const {
  Reading reading;
  std::array<uint64_t, bucket_count> counts{};
  const int64_t number = number_of(now, slot_span);
  for (const Slot& slot : slots_) {
    if (slot.number <= number - static_cast<int64_t>(slot_count) || slot.number < 0) continue;
    for (size_t i = 0; i < bucket_count; ++i) {
      counts[i] += slot.counts[i];
      reading.count += slot.counts[i];
    }
  }
  if (reading.count == 0) return reading;
  reading.p50 = percentile(counts, reading.count, 50);
  reading.p95 = percentile(counts, reading.count, 95);
  reading.p99 = percentile(counts, reading.count, 99);
  const int64_t second = number_of(now, std::chrono::seconds(1));
  uint64_t lately = 0;
  for (const Second& one : seconds_)
    if (one.number >= 0 && one.number > second - rate_span / std::chrono::seconds(1)) lately += one.count;
  reading.per_second = static_cast<double>(lately) / static_cast<double>(rate_span / std::chrono::seconds(1));
  return reading;
}

}  // namespace gantry::agents
