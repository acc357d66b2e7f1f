#include "journal/drivers/segments/queue.h"

#include <algorithm>

namespace gantry::journal::segments {

void Queue::push(Pending& pending, Suspended caller) {
  std::unique_lock lock(mutex_);
  pending.caller.emplace(std::move(caller));
  std::optional<Error> refused;
  if (closed_) refused = Error(ErrorId::GR0101, "the journal is stopped");
  if (!refused && is_full() && blocked_.size() >= options_.blocked_appends)
    refused = Error(ErrorId::GR0105, fmt::format("{} appends wait already", waiting_.size() + blocked_.size()));
  if (refused) {
    lock.unlock();
    pending.error = std::move(refused);
    Suspended woken = *std::move(pending.caller);
    return std::move(woken).resume();
  }
  // Behind those that wait for room, or it would overtake them.
  if (!blocked_.empty() || is_full()) {
    blocked_.push_back(&pending);
    return;
  }
  waiting_.push_back(&pending);
  bytes_ += pending.bytes;
  const bool wake = std::exchange(idle_, false);
  lock.unlock();
  if (wake) filled_.notify_one();
}

bool Queue::run_soon(std::move_only_function<void()> job) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    jobs_.push_back(std::move(job));
    idle_ = false;
  }
  filled_.notify_one();
  return true;
}

void Queue::close() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    idle_ = false;
  }
  filled_.notify_one();
}

void Queue::admit_blocked() {
  while (!blocked_.empty() && !is_full()) {
    bytes_ += blocked_.front()->bytes;
    waiting_.push_back(blocked_.front());
    blocked_.pop_front();
  }
}

Work Queue::take(uint64_t room, uint64_t fresh_room, std::optional<Duration> patience) {
  std::unique_lock lock(mutex_);
  auto awake = [this] { return !waiting_.empty() || !jobs_.empty() || closed_; };
  if (!awake()) {
    idle_ = true;
    if (patience)
      filled_.wait_for(lock, *patience, awake);
    else
      filled_.wait(lock, awake);
    idle_ = false;
  }
  Work work;
  work.jobs.swap(jobs_);
  if (!work.jobs.empty()) return work;
  if (!waiting_.empty() && waiting_.front()->bytes > room) room = fresh_room;
  uint64_t bytes = 0;
  while (!waiting_.empty()) {
    Pending* next = waiting_.front();
    if (!work.group.empty() && bytes + next->bytes > room) break;
    bytes += next->bytes;
    bytes_ -= next->bytes;
    work.group.push_back(next);
    waiting_.pop_front();
  }
  admit_blocked();
  work.closed = closed_ && work.group.empty() && waiting_.empty();
  return work;
}

size_t Queue::size() const {
  std::lock_guard lock(mutex_);
  return waiting_.size() + blocked_.size();
}

}  // namespace gantry::journal::segments
