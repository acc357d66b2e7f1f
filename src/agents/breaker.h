// A circuit breaker as a pure state machine: no lock, no clock (M. Nygard, Release It!, 2007, chapter 5).
//
//   closed → (failures in a row) → open → (time) → half-open: one probe → closed, or open for twice as long
#pragma once

#include <cstdint>
#include <optional>

#include "base/base.h"
#include "core/core.h"

namespace gantry::agents {

class Breaker {
 public:
  enum class State { closed, open, half_open };
  /// However often probes fail, it is open no longer than this at a time.
  static constexpr Duration longest_open = std::chrono::minutes(5);

  State state(SteadyTime now) const;
  /// Whether a request may go now. If it does, `began` follows.
  bool allows(SteadyTime now) const { return !opens_until_ || (*opens_until_ <= now && !probing_); }
  /// When a probe may go; nullopt if it is closed or a probe is under way.
  std::optional<SteadyTime> reopens_at() const { return probing_ ? std::nullopt : opens_until_; }
  bool is_closed() const { return !opens_until_.has_value(); }

  /// A request goes out; true if it is the probe.
  bool began(SteadyTime now);
  void succeeded();
  void failed(SteadyTime now, const core::Breaker& policy);
  /// Something changed that makes a probe worth while at once.
  void half_open(SteadyTime now);
  /// The probe ended without telling anything.
  void probe_abandoned() { probing_ = false; }

 private:
  uint32_t failures_ = 0;  ///< in a row
  std::optional<SteadyTime> opens_until_;
  Duration open_for_{};
  bool probing_ = false;
};
std::string_view to_string(Breaker::State state);

}  // namespace gantry::agents
