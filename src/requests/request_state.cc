#include "requests/request_state.h"

#include <algorithm>

namespace gantry::requests {
namespace {

bool uses_up_an_attempt(Outcome outcome) {
  return outcome == Outcome::died || outcome == Outcome::timeout || outcome == Outcome::answered;
}

// Whether the policy repeats an attempt that ended so.
bool repeats(const core::RetryOn& on, Outcome outcome) {
  switch (outcome) {
    case Outcome::refused:
      return on.connect;
    case Outcome::timeout:
      return on.timeout;
    case Outcome::died:
      return on.died;
    default:
      return true;
  }
}

void end_attempt(RequestState& state, Outcome outcome, std::string_view detail, Time at) {
  if (state.log.empty() || state.log.back().outcome != Outcome::running) return;
  state.log.back().outcome = outcome;
  state.log.back().detail = detail;
  state.log.back().ended_at = at;
}

}  // namespace

std::string_view to_string(Status status) {
  switch (status) {
    case Status::pending:
      return "pending";
    case Status::processing:
      return "processing";
    case Status::completed:
      return "completed";
    case Status::failed:
      return "failed";
    case Status::cancelled:
      return "cancelled";
  }
  return "unknown";
}

std::optional<Status> status_from_string(std::string_view text) {
  for (Status status : {Status::pending, Status::processing, Status::completed, Status::failed, Status::cancelled})
    if (to_string(status) == text) return status;
  return std::nullopt;
}

bool apply_attempt(RequestState& state, const AttemptRecord& record, Time at) {
  if (state.status != Status::pending || record.number != state.attempts + 1) return false;
  state.status = Status::processing;
  state.attempts = record.number;
  state.not_before = Time{};
  if (state.log.size() == RequestState::attempts_kept) state.log.erase(state.log.begin());
  state.log.push_back({.number = record.number, .instance = record.instance, .started_at = at});
  return true;
}

bool apply_attempt_ended(RequestState& state, const AttemptEndedRecord& record, Time at) {
  if (state.status != Status::processing || record.number != state.attempts) return false;
  end_attempt(state, record.outcome, record.detail, at);
  if (uses_up_an_attempt(record.outcome)) ++state.failures;
  state.status = Status::pending;
  state.not_before = record.next_attempt_at;
  return true;
}

bool apply_completed(RequestState& state, const CompletedSummary& record, Time at) {
  if (state.status != Status::processing || record.number != state.attempts) return false;
  end_attempt(state, Outcome::completed, {}, at);
  state.status = Status::completed;
  state.response_status = record.status;
  state.ended_at = at;
  return true;
}

bool apply_failed(RequestState& state, const FailedRecord& record, Time at) {
  if (state.finished()) return false;
  end_attempt(state, record.outcome, record.detail.empty() ? record.reason : record.detail, at);
  if (state.status == Status::processing && uses_up_an_attempt(record.outcome)) ++state.failures;
  state.status = Status::failed;
  state.reason = record.reason;
  state.ended_at = at;
  return true;
}

bool apply_cancelled(RequestState& state, const FailedRecord& record, Time at) {
  if (state.finished()) return false;
  end_attempt(state, Outcome::cancelled, record.reason, at);
  state.status = Status::cancelled;
  state.reason = record.reason;
  state.ended_at = at;
  return true;
}

void apply_restart(RequestState& state, Time at) {
  if (state.status != Status::processing) return;
  end_attempt(state, Outcome::interrupted, "the server was restarted", at);
  state.status = Status::pending;
  state.not_before = Time{};
}

Verdict judge(const Failure& failure, Time now, const RetryPolicy& policy, Random& random) {
  const bool counts = uses_up_an_attempt(failure.outcome);
  const bool refused = failure.outcome == Outcome::refused;
  const bool has_deadline = failure.deadline != Time{};
  if (has_deadline && now >= failure.deadline) return {.dead = true, .why = "the deadline has passed"};
  if (!counts && !refused) return {.next_attempt_at = now};
  if (!repeats(policy.on, failure.outcome)) return {.dead = true, .why = "the policy does not repeat this"};
  if (counts && failure.failures + 1 >= policy.max) return {.dead = true, .why = "the attempts are used up"};
  // Jitter may come out as nothing: whoever saw an instance die must not be faster than its supervisor.
  const Duration least = std::min(policy.backoff.initial, shortest_pause);
  Time next = now + std::max(least, policy.backoff.delay(failure.failures + failure.refusals + 1, random));
  if (failure.retry_after) next = std::max(next, now + std::min(*failure.retry_after, longest_retry_after));
  if (has_deadline && next >= failure.deadline)
    return {.dead = true, .why = "the next attempt would come after the deadline"};
  return {.next_attempt_at = next};
}

}  // namespace gantry::requests
