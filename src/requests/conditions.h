// What the caller asked of a request beyond its delivery. Part of the door (requests.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/base.h"
#include "core/core.h"
#include "crypto/crypto.h"

namespace gantry::requests {

/// What a caller changes of the agent's retry policy (`Gantry-Retry`).
struct RetryOverride {
  std::optional<uint32_t> max = {};
  std::optional<Backoff::Policy> policy = {};
  std::optional<Duration> initial = {};
  std::optional<Duration> cap = {};
  std::optional<Duration> timeout = {};
  std::optional<core::RetryOn> on = {};

  bool empty() const { return *this == RetryOverride{}; }
  /// The agent's policy with these changes. A cap below the initial delay is raised to it.
  core::Retry applied_to(core::Retry policy) const;
  friend bool operator==(const RetryOverride&, const RetryOverride&) = default;
};

/// Of a request that says nothing; 0 goes last, 9 first.
inline constexpr uint8_t usual_priority = 5;
inline constexpr uint8_t highest_priority = 9;

/// Most requests ask for nothing.
struct Conditions {
  /// The Idempotency-Key, as the caller wrote it between its quotes; empty for none.
  std::string_view key = {};
  /// Of method, target and body: tells another request under the same key. Only with a key.
  crypto::Digest fingerprint{};
  /// No delivery before this; the epoch for at once.
  Time not_before{};
  /// Requests with the same order key go out one after the other, in the order of acceptance; empty for none.
  std::string_view order_key = {};
  uint8_t priority = usual_priority;
  /// Without an answer by then it is a dead letter; the epoch for never.
  Time deadline{};
  RetryOverride retry = {};

  bool empty() const { return key.empty() && not_before == Time{} && is_format_2(); }
  /// True if it asks for nothing but what records of format 2 can say.
  bool is_format_2() const {
    return order_key.empty() && priority == usual_priority && deadline == Time{} && retry.empty();
  }
};

/// The deadline of a request that goes out once more: as far behind `begins` as it was behind `began`.
Time renewed_deadline(const Conditions& conditions, Time began, Time begins);

}  // namespace gantry::requests
