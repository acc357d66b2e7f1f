// How many requests there were lately and how long they took: a sliding window. Part of the door (route.h).
//
// Counts are kept in slots of ten seconds, each a histogram with buckets of equal relative width (3 %), so that adding
// costs an increment and a percentile needs no list of times. A window without requests takes no memory; one with
// requests about 13 KiB.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/base.h"

namespace gantry::agents {

/// Not thread-safe: its owner guards it.
class RequestWindow {
 public:
  static constexpr Duration span = std::chrono::seconds(60);
  static constexpr Duration rate_span = std::chrono::seconds(10);

  /// What was counted in the last `span`; `per_second` over the last `rate_span`.
  struct Reading {
    uint64_t count = 0;
    double per_second = 0;
    Duration p50{}, p95{}, p99{};  ///< zero without requests
  };

  /// A request that ended now.
  void add(SteadyTime now, Duration took);
  Reading read(SteadyTime now) const;

 private:
  static constexpr Duration slot_span = std::chrono::seconds(10);
  static constexpr size_t slot_count = span / slot_span;
  struct Slot {
    int64_t number = -1;  // which ten seconds since the clock began
    std::vector<uint32_t> counts;
  };
  struct Second {
    int64_t number = -1;
    uint32_t count = 0;
  };

  std::array<Slot, slot_count> slots_;
  std::array<Second, 16> seconds_;
};

}  // namespace gantry::agents
