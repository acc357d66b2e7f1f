// What an agent's pending requests wait in, in the order in which they go out. Pure: no lock, no clock.
//
// The turn of a request is its priority, then its acceptance. Of the requests with one order key only the first that
// has not finished has a turn; the others are held behind it, whatever it waits for.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "requests/fair_share.h"
#include "requests/live_entry.h"

namespace gantry::requests {

class AgentQueue {
 public:
  /// A pending entry waits from now on. It must outlive its stay.
  void put(LiveEntry& entry);
  /// It waits no more: it is delivered now, or it has ended.
  void take(LiveEntry& entry);
  /// Its turn among those with its order key is over; true if another one has it now.
  bool finish(LiveEntry& entry);
  /// A delivery that began without having waited (or that a checkpoint tells of) has the turn of its order key.
  void begin(LiveEntry& entry);

  /// The request that goes out next, if it is due; it becomes `claimed`.
  LiveEntry* claim(Time now, Order order);
  /// One that waits becomes `claimed`, whosever turn it is.
  void claim(LiveEntry& entry);
  /// When the next one is due: the epoch for at once, nullopt if none waits.
  std::optional<Time> next_due(Time now, Order order);
  /// Those that wait for a retry because their instance failed are due at once.
  void forget_backoff();
  /// The wall clock was set back: those that wait for a retry keep the pause that they were given.
  void clock_went_back(Duration by);

  /// True if one waits whose first time has come, or is about to.
  bool has_waiting() const { return !due_.empty() || !retrying_.empty() || arriving_ > 0; }
  /// All that wait, claimed ones not counted.
  size_t waiting() const { return due_.size() + retrying_.size() + scheduled_.size() + held_; }
  size_t claimed() const { return claimed_; }
  /// One that waits; only if some do.
  const LiveEntry& any() const;

  /// Takes a place for a request of this caller that is about to be put, if there is one for it; `arrived` follows.
  bool admit(const std::string* caller, size_t most, Time now);
  /// Whatever became of a request that was admitted.
  void arrived() { --arriving_; }

  uint64_t processing = 0;  ///< kept by the owner

 private:
  struct ByTurn {
    bool operator()(const LiveEntry* a, const LiveEntry* b) const {
      return a->priority != b->priority ? a->priority > b->priority : a->accept_seq < b->accept_seq;
    }
  };
  struct ByTime {
    bool operator()(const LiveEntry* a, const LiveEntry* b) const {
      return a->due_at() != b->due_at() ? a->due_at() < b->due_at() : a->accept_seq < b->accept_seq;
    }
  };
  struct BySeq {
    bool operator()(const LiveEntry* a, const LiveEntry* b) const { return a->accept_seq < b->accept_seq; }
  };
  using Timed = std::set<LiveEntry*, ByTime>;
  struct Lane {
    LiveEntry* first = nullptr;  ///< has the turn
    std::set<LiveEntry*, BySeq> held;
  };

  void line_up(LiveEntry& entry);
  void leave_lines(LiveEntry& entry);
  void promote(Time now);
  bool hold(LiveEntry& entry);

  std::set<LiveEntry*, ByTurn> due_;
  std::set<LiveEntry*, ByTurn> retrying_;
  Timed retrying_by_time_;  ///< the same ones
  Timed scheduled_;
  std::map<std::string_view, Lane> lanes_;  ///< keys are those of `Lane::first`
  size_t held_ = 0;
  size_t claimed_ = 0;
  size_t arriving_ = 0;
  FairShare share_;
};

}  // namespace gantry::requests
