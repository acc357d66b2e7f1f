// The life of one durable request as a pure state machine: no I/O, no clock, no thread.
//
//   accept → pending → processing → completed
//              ↑___________|     ↘ failed (dead letter)
//   pending or processing → cancelled
//
// `apply_*` is the fold over journal records: what happened. `judge` decides what happens next when an attempt
// ends without an answer. The same functions run live and at recovery (SPEC section 4).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "async/async.h"
#include "base/base.h"
#include "requests/wire.h"

namespace gantry::requests {

/// Where a request is in its life.
enum class Status : uint8_t { pending, processing, completed, failed, cancelled };
std::string_view to_string(Status status);
std::optional<Status> status_from_string(std::string_view text);

/// One delivery to an instance.
struct Attempt {
  uint32_t number = 0;
  InstanceId instance;
  Time started_at;
  Time ended_at;
  Outcome outcome = Outcome::running;
  std::string detail;
};

/// What the fold knows of one request. Attempts beyond `attempts_kept` drop the oldest.
struct RequestState {
  static constexpr size_t attempts_kept = 32;

  Status status = Status::pending;
  uint32_t attempts = 0;  ///< deliveries begun
  uint32_t failures = 0;  ///< deliveries that reached an instance and failed: these use up the policy
  Time not_before;        ///< no delivery before this; the epoch when at once
  Time ended_at;
  uint16_t response_status = 0;
  std::string reason;
  std::vector<Attempt> log;

  bool finished() const { return status != Status::pending && status != Status::processing; }
};

/// False (and nothing changes) if the event does not fit the state: the journal is damaged or a defect wrote it.
bool apply_attempt(RequestState& state, const AttemptRecord& record, Time at);
bool apply_attempt_ended(RequestState& state, const AttemptEndedRecord& record, Time at);
bool apply_completed(RequestState& state, const CompletedSummary& record, Time at);
bool apply_failed(RequestState& state, const FailedRecord& record, Time at);
bool apply_cancelled(RequestState& state, const FailedRecord& record, Time at);
/// The server went away while the request was processing: it is pending again and no attempt is used up.
void apply_restart(RequestState& state, Time at);

/// How often and how fast a request is tried again.
using RetryPolicy = core::Retry;

/// An attempt that ended without an answer.
struct Failure {
  Outcome outcome = Outcome::interrupted;
  uint32_t failures = 0;  ///< before this one, that used up an attempt
  uint32_t refusals = 0;  ///< before this one, of connections: they make the delay longer and use up nothing
  std::optional<Duration> retry_after = {};  ///< what the program asked for
  Time deadline{};                           ///< of the request; the epoch for none
};

/// What follows.
struct Verdict {
  bool dead = false;
  Time next_attempt_at;       ///< if not dead
  std::string_view why = {};  ///< if dead: what ended it
};
/// Behind a failure, unless the policy's first delay is shorter.
inline constexpr Duration shortest_pause = std::chrono::milliseconds(100);
/// The longest `Retry-After` that is honoured.
inline constexpr Duration longest_retry_after = std::chrono::hours(24);
/// An attempt that was interrupted or cancelled goes out again at once.
Verdict judge(const Failure& failure, Time now, const RetryPolicy& policy, Random& random);

}  // namespace gantry::requests
