#include "requests/agent_queue.h"

#include <utility>

namespace gantry::requests {

void AgentQueue::put(LiveEntry& entry) {
  if (entry.waits()) return;
  if (entry.place == Place::claimed) --claimed_;
  share_.joined(entry.caller);
  if (entry.is_scheduled()) {
    entry.place = Place::scheduled;
    scheduled_.insert(&entry);
  } else {
    line_up(entry);
  }
}

// Behind the others with its order key, or into the line.
void AgentQueue::line_up(LiveEntry& entry) {
  if (hold(entry)) return;
  if (entry.due_at() == Time{}) {
    entry.place = Place::due;
    due_.insert(&entry);
  } else {
    entry.place = Place::retrying;
    retrying_.insert(&entry);
    retrying_by_time_.insert(&entry);
  }
}

// The key of a lane is the text of its first entry, which may go before the others: so it changes with it.
bool AgentQueue::hold(LiveEntry& entry) {
  if (entry.order_key.empty()) return false;
  auto [found, is_new] = lanes_.try_emplace(entry.order_key);
  Lane& lane = found->second;
  if (is_new) lane.first = &entry;
  if (lane.first == &entry) return false;
  entry.place = Place::held;
  lane.held.insert(&entry);
  ++held_;
  return true;
}

void AgentQueue::begin(LiveEntry& entry) {
  if (!entry.order_key.empty()) lanes_.try_emplace(entry.order_key, Lane{.first = &entry, .held = {}});
}

void AgentQueue::leave_lines(LiveEntry& entry) {
  switch (entry.place) {
    case Place::due:
      due_.erase(&entry);
      break;
    case Place::retrying:
      retrying_.erase(&entry);
      retrying_by_time_.erase(&entry);
      break;
    case Place::scheduled:
      scheduled_.erase(&entry);
      break;
    case Place::held:
      lanes_.at(entry.order_key).held.erase(&entry);
      --held_;
      break;
    case Place::claimed:
      --claimed_;
      break;
    case Place::none:
      break;
  }
}

void AgentQueue::take(LiveEntry& entry) {
  if (entry.waits()) share_.left(entry.caller);
  leave_lines(entry);
  entry.place = Place::none;
  entry.back_at = Time{};
}

bool AgentQueue::finish(LiveEntry& entry) {
  if (entry.order_key.empty()) return false;
  auto found = lanes_.find(entry.order_key);
  if (found == lanes_.end() || found->second.first != &entry) return false;
  std::set<LiveEntry*, BySeq> held = std::move(found->second.held);
  lanes_.erase(found);
  if (held.empty()) return false;
  LiveEntry& next = **held.begin();
  held.erase(held.begin());
  --held_;
  lanes_.emplace(next.order_key, Lane{.first = &next, .held = std::move(held)});
  line_up(next);
  return true;
}

// Those whose time has come take their place among the others: the one of their acceptance.
void AgentQueue::promote(Time now) {
  while (!scheduled_.empty() && (*scheduled_.begin())->state.not_before <= now) {
    LiveEntry& entry = **scheduled_.begin();
    scheduled_.erase(scheduled_.begin());
    entry.state.not_before = Time{};
    line_up(entry);
  }
  while (!retrying_by_time_.empty() && (*retrying_by_time_.begin())->due_at() <= now) {
    LiveEntry& entry = **retrying_by_time_.begin();
    leave_lines(entry);
    entry.place = Place::due;
    due_.insert(&entry);
  }
}

LiveEntry* AgentQueue::claim(Time now, Order order) {
  promote(now);
  if (due_.empty()) return nullptr;
  LiveEntry& first = **due_.begin();
  if (order == Order::strict && !retrying_.empty() && ByTurn{}(*retrying_.begin(), &first)) return nullptr;
  claim(first);
  return &first;
}

void AgentQueue::claim(LiveEntry& entry) {
  take(entry);
  entry.place = Place::claimed;
  ++claimed_;
}

std::optional<Time> AgentQueue::next_due(Time now, Order order) {
  promote(now);
  std::optional<Time> next;
  if (!scheduled_.empty()) next = (*scheduled_.begin())->state.not_before;
  if (retrying_.empty()) return due_.empty() ? next : Time{};
  const bool held_back = order == Order::strict && (due_.empty() || ByTurn{}(*retrying_.begin(), *due_.begin()));
  if (!due_.empty() && !held_back) return Time{};
  const LiveEntry& retry = held_back ? **retrying_.begin() : **retrying_by_time_.begin();
  return next ? std::min(*next, retry.due_at()) : retry.due_at();
}

void AgentQueue::forget_backoff() {
  for (auto it = retrying_.begin(); it != retrying_.end();) {
    LiveEntry& entry = **it++;
    // The program itself may have asked for the time.
    const bool asked = !entry.state.log.empty() && entry.state.log.back().outcome == Outcome::answered;
    if (asked) continue;
    leave_lines(entry);
    entry.state.not_before = entry.back_at = Time{};
    entry.place = Place::due;
    due_.insert(&entry);
  }
}

void AgentQueue::clock_went_back(Duration by) {
  Timed old = std::exchange(retrying_by_time_, {});
  for (LiveEntry* entry : old) {
    if (entry->state.not_before != Time{}) entry->state.not_before -= by;
    if (entry->back_at != Time{}) entry->back_at -= by;
  }
  retrying_by_time_.insert(old.begin(), old.end());
}

bool AgentQueue::admit(const std::string* caller, size_t most, Time now) {
  if (!share_.admit(caller, most, waiting() + arriving_, now)) return false;
  ++arriving_;
  return true;
}

const LiveEntry& AgentQueue::any() const {
  if (!due_.empty()) return **due_.begin();
  if (!retrying_.empty()) return **retrying_.begin();
  if (!scheduled_.empty()) return **scheduled_.begin();
  for (const auto& [key, lane] : lanes_)
    if (!lane.held.empty()) return **lane.held.begin();
  GANTRY_CHECK(false);
}

}  // namespace gantry::requests
