// Injected time and randomness: nothing else in the code base reads either [tidy].
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>

namespace gantry {

using Duration = std::chrono::nanoseconds;
/// Wall-clock time, UTC.
using Time = std::chrono::sys_time<std::chrono::nanoseconds>;
/// Monotonic time: for deadlines and measured durations.
using SteadyTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

/// Where time comes from. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time now() = 0;
  virtual SteadyTime steady() = 0;
};

/// Where randomness comes from. Thread-safe.
class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<uint8_t> out) = 0;
  /// Uniform in [0, bound); 0 if bound is 0.
  uint64_t below(uint64_t bound);
};

/// The machine's clock.
class SystemClock final : public Clock {
 public:
  Time now() override;
  SteadyTime steady() override;
};

/// getrandom(2), buffered for each thread; a forked child never repeats the bytes of its parent.
class SystemRandom final : public Random {
 public:
  void fill(std::span<uint8_t> out) override;
};

/// A clock that only `advance` moves: for tests and the simulator. Both times move together.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Time start = Time(std::chrono::seconds(1'700'000'000))) : start_(start) {}
  Time now() override { return start_ + Duration(elapsed_.load()); }
  SteadyTime steady() override { return SteadyTime(Duration(elapsed_.load())); }
  void advance(Duration by) { elapsed_ += by.count(); }

 private:
  const Time start_;
  std::atomic<int64_t> elapsed_ = 0;
};

/// A seeded generator (SplitMix64): for tests and the simulator, never for secrets. Thread-safe; which
/// thread gets which bytes is up to them.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  void fill(std::span<uint8_t> out) override;

 private:
  std::atomic<uint64_t> state_;
};

}  // namespace gantry
