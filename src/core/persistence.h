// How the requests of an agent are kept, repeated, queued and held back. Part of the door (core.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "async/async.h"
#include "base/base.h"

namespace gantry::core {

/// Which ends of an attempt are worth another one (`retry_on`).
struct RetryOn {
  bool connect = true;  ///< nothing took the connection
  bool timeout = true;  ///< no answer in time
  bool died = true;     ///< the instance ended, or broke the connection, before its answer was whole
  /// Answers of the agent that count as failures; any other answer is final. Sorted, each once.
  std::vector<uint16_t> statuses = {};

  /// What an empty list means.
  static RetryOn none() { return {.connect = false, .timeout = false, .died = false}; }
  bool has_status(uint16_t status) const;
  friend bool operator==(const RetryOn&, const RetryOn&) = default;
};
/// Reads one word of a `retry_on` list: `connect`, `timeout`, `died`, or a status from 400 to 599. `invalid` says
/// what may stand there. Leaves `statuses` sorted.
Result<void> add_word(RetryOn& on, std::string_view word);
/// The words of the list, in a fixed order.
std::vector<std::string> words_of(const RetryOn& on);

/// When a failed attempt is repeated.
struct Retry {
  /// Attempts that may fail; a request that used them up is a dead letter.
  uint32_t max = 5;
  Backoff backoff{.jitter = Backoff::Jitter::full};
  /// For one attempt, from its start to the last byte of its answer; zero for no bound beyond the agent's `timeout`.
  Duration timeout{};
  /// For all attempts together, from the acceptance or the scheduled time on; zero for none.
  Duration deadline{};
  RetryOn on = {};
  friend bool operator==(const Retry&, const Retry&) = default;
};

/// The ranges of a policy, wherever it is written.
inline constexpr uint32_t most_attempts = 1000;
inline constexpr Duration longest_retry_delay = std::chrono::hours(24 * 7);
inline constexpr Duration longest_deadline = std::chrono::hours(24 * 365);

/// What is kept of finished requests: whatever is beyond one of the bounds goes, the oldest first.
struct Retention {
  Duration age = std::chrono::days(30);
  uint64_t count = 0;  ///< requests; 0 for no bound
  Bytes bytes{};       ///< of the records and blobs of all of them; 0 for no bound
  friend bool operator==(const Retention&, const Retention&) = default;
};

/// Which requests are journaled.
struct Persistence {
  bool enabled = true;
  /// Upper-case method names, sorted, each once.
  std::vector<std::string> methods = {"DELETE", "PATCH", "POST", "PUT"};
  Retry retry;
  /// Whether a request without an Idempotency-Key is refused.
  bool require_key = false;
  /// Recorded answers up to this are part of their record; longer ones are blobs.
  Bytes response_limit = kibibytes(64);
  Retention retention;
  friend bool operator==(const Persistence&, const Persistence&) = default;
  /// True if a request with this method is journaled.
  bool covers(std::string_view method) const;
};

/// What may wait for an agent.
struct Queue {
  /// Requests; more are refused with 429.
  uint32_t max = 1'000'000;
  friend bool operator==(const Queue&, const Queue&) = default;
};

/// When an instance, or the agent as a whole, is left alone for a while (circuit breaker; M. Nygard, Release It!,
/// 2007).
struct Breaker {
  /// Failures in a row that open it; 0 for never.
  uint32_t failures = 10;
  /// How long it stays open until one request is let through as a probe; doubles with each probe that fails.
  Duration open = std::chrono::seconds(5);
  friend bool operator==(const Breaker&, const Breaker&) = default;
};

}  // namespace gantry::core
