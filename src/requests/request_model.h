// What durable requests mean, as plainly as the specification puts it: the reference that model_test.cc runs beside the
// live table. Lists and loops only; the order of acceptance is the order of `all`. Included by tests alone.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "requests/views.h"

namespace gantry::requests {

/// A request as the specification speaks of it.
struct Reference {
  uint64_t id = 0;
  uint64_t agent = 0;
  Status status = Status::pending;
  uint32_t attempts = 0;
  uint32_t failures = 0;
  std::string order_key;
  uint8_t priority = usual_priority;
  Time deadline;  ///< the epoch for none
  Time put_off;   ///< asked for by its caller; until then it is in nobody's way
  Time retry_at;  ///< of the attempt that failed; it keeps its turn meanwhile
  Time held;      ///< given back by who had claimed it; a crash forgets that, and it keeps its turn too
  bool claimed = false;
  std::string key;
  std::string reason;
  uint16_t response_status = 0;
  Outcome last = Outcome::running;  ///< of its newest attempt
  uint64_t accept_seq = 0;
  uint64_t final_seq = 0;

  bool finished() const { return final_seq != 0; }
  bool waits() const { return status == Status::pending && !claimed; }
  bool in_line(Time now) const { return waits() && (attempts > 0 || put_off <= now); }
  Time due_at() const { return std::max({attempts == 0 ? put_off : Time{}, retry_at, held}); }
};

/// Only what reached the program and failed there counts against the policy.
inline bool counts_as_failure(Outcome outcome) {
  return outcome == Outcome::died || outcome == Outcome::timeout || outcome == Outcome::answered;
}

/// All of them, in the order of acceptance.
struct Model {
  std::vector<Reference> all;

  Reference* find(uint64_t id) {
    auto found = std::ranges::find(all, id, &Reference::id);
    return found == all.end() ? nullptr : &*found;
  }
  Reference* holder(uint64_t of_agent, std::string_view key) {
    auto found =
        std::ranges::find_if(all, [&](const Reference& one) { return one.agent == of_agent && one.key == key; });
    return found == all.end() ? nullptr : &*found;
  }
  /// An earlier one with its order key has not finished.
  bool is_blocked(const Reference& one) const {
    return !one.order_key.empty() && std::ranges::any_of(all, [&](const Reference& other) {
      return other.agent == one.agent && other.order_key == one.order_key && !other.finished() &&
             other.accept_seq < one.accept_seq;
    });
  }
  /// Those of an agent that have come to their place in the line, in the order of their turns.
  std::vector<Reference*> line(uint64_t of_agent, Time now) {
    std::vector<Reference*> line;
    for (Reference& one : all)
      if (one.agent == of_agent && one.in_line(now) && !is_blocked(one)) line.push_back(&one);
    std::ranges::sort(line, [](const Reference* a, const Reference* b) {
      return a->priority != b->priority ? a->priority > b->priority : a->accept_seq < b->accept_seq;
    });
    return line;
  }
  /// The next one to go out now: the first in line, or in relaxed order the first that is due.
  Reference* next(uint64_t of_agent, Time now, Order order) {
    for (Reference* one : line(of_agent, now)) {
      if (one->due_at() <= now) return one;
      if (order == Order::strict) return nullptr;
    }
    return nullptr;
  }
  /// When `next` may have something; nullopt if nothing waits that could.
  std::optional<Time> next_due(uint64_t of_agent, Time now, Order order) {
    if (next(of_agent, now, order)) return Time{};
    std::optional<Time> at;
    auto look_at = [&](const Reference& one) { at = std::min(at.value_or(Time::max()), one.due_at()); };
    for (Reference* one : line(of_agent, now)) {
      look_at(*one);
      if (order == Order::strict) break;
    }
    for (const Reference& one : all)
      if (one.agent == of_agent && one.waits() && !one.in_line(now)) look_at(one);
    return at;
  }
  /// Another instance is ready: what failed with its own is due at once, but for what the program asked itself.
  void forget_backoff(uint64_t of_agent, Time now) {
    for (Reference& one : all)
      if (one.agent == of_agent && one.in_line(now) && one.due_at() > now && one.last != Outcome::answered)
        one.retry_at = one.held = Time{};
  }
  /// Those that wait although their time is over, the most overdue first.
  std::vector<Reference*> overdue(Time now) {
    std::vector<Reference*> late;
    for (Reference& one : all)
      if (one.waits() && one.deadline != Time{} && one.deadline <= now) late.push_back(&one);
    std::ranges::sort(late, [](const Reference* a, const Reference* b) {
      return a->deadline != b->deadline ? a->deadline < b->deadline : a->accept_seq < b->accept_seq;
    });
    return late;
  }

  bool started(uint64_t id, uint32_t number) {
    Reference* one = find(id);
    if (!one || one->status != Status::pending || number != one->attempts + 1) return false;
    one->status = Status::processing;
    one->attempts = number;
    one->retry_at = one->held = Time{};
    one->claimed = false;
    one->last = Outcome::running;
    return true;
  }
  bool ended(uint64_t id, uint32_t number, Outcome outcome, Time next_attempt_at) {
    Reference* one = find(id);
    if (!one || one->status != Status::processing || number != one->attempts) return false;
    one->status = Status::pending;
    one->failures += counts_as_failure(outcome);
    one->retry_at = next_attempt_at;
    one->last = outcome;
    return true;
  }
  bool end(uint64_t id, Status status, Outcome outcome, std::string_view reason, uint64_t seq) {
    Reference* one = find(id);
    if (!one || one->finished()) return false;
    const bool ran = one->status == Status::processing;
    one->failures += status == Status::failed && ran && counts_as_failure(outcome);
    if (ran) one->last = status == Status::cancelled ? Outcome::cancelled : outcome;
    one->status = status;
    one->claimed = false;
    one->reason = reason;
    one->final_seq = seq;
    return true;
  }
  bool completed(uint64_t id, uint32_t number, uint16_t response_status, uint64_t seq) {
    Reference* one = find(id);
    if (!one || one->status != Status::processing || number != one->attempts) return false;
    one->response_status = response_status;
    return end(id, Status::completed, Outcome::completed, "", seq);
  }
  /// The process died: what was under way or claimed is pending again, and nothing is left of what only memory knew.
  void crash() {
    for (Reference& one : all) {
      one.claimed = false;
      one.held = Time{};
      if (one.status != Status::processing) continue;
      one.status = Status::pending;
      one.retry_at = Time{};
      one.last = Outcome::interrupted;
    }
  }
  void projected(uint64_t seq) {
    std::erase_if(all, [&](const Reference& one) { return one.finished() && one.final_seq <= seq; });
  }
};

}  // namespace gantry::requests
