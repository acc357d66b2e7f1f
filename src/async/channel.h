// A bounded queue from many threads to one coroutine. Part of the door (async.h).
//
// Producers on any thread put values in, one coroutine takes them out in that order. A full channel refuses or makes
// its producer wait, it never grows; a closed one refuses and gives out what it still holds. There is no lock across a
// wait: the consumer waits for "something is there" and then takes what there is.
//
// Example:
//
//   Channel<Event> mail(1024);
//   if (auto sent = mail.try_send(event); !sent) return sent;        // exhausted: the consumer is behind
//   while (co_await mail.wait(next_deadline()) || !mail.closed())    // false: the deadline came first
//     for (Event& event : mail.take_all()) handle(event);
#pragma once

#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "async/async.h"

namespace gantry {

/// See the head of this file. Thread-safe for producers; one consumer. Outlives the coroutines that wait on it.
template <class T>
class Channel {
 public:
  explicit Channel(size_t capacity) : capacity_(capacity) { GANTRY_CHECK(capacity > 0); }

  /// Puts it at the end. `exhausted` if it is full, `cancelled` once it is closed.
  Result<> try_send(T value) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return fail(Code::cancelled, "the receiver has ended");
      if (values_.size() >= capacity_) return fail(Code::exhausted, "{} wait for the receiver already", capacity_);
      values_.push_back(std::move(value));
    }
    filled_.notify();
    return {};
  }

  /// The same, but waits for room; `timeout` if the deadline passes first.
  Task<Result<>> send(T value, SteadyTime deadline) {
    for (;;) {
      const Notifier::Ticket ticket = emptied_.ticket();
      if (has_room_or_is_closed()) {
        // Another producer may have been faster: then there is no room again.
        auto sent = try_send(value);
        if (sent.has_value() || sent.error().code() != Code::exhausted) co_return sent;
      }
      if (!co_await emptied_.wait(ticket, deadline)) co_return fail(Code::timeout, "the receiver is behind");
    }
  }

  /// True as soon as there is something to take or it is closed; false if the deadline passes first.
  Task<bool> wait(SteadyTime deadline) {
    for (;;) {
      const Notifier::Ticket ticket = filled_.ticket();
      if (size() > 0 || closed()) co_return true;
      if (!co_await filled_.wait(ticket, deadline)) co_return false;
    }
  }

  /// Everything that is there, in order, perhaps nothing.
  std::deque<T> take_all() {
    std::deque<T> taken;
    {
      std::lock_guard lock(mutex_);
      taken.swap(values_);
    }
    if (!taken.empty()) emptied_.notify();
    return taken;
  }

  /// The first one; nullopt if there is none now.
  std::optional<T> take() {
    std::optional<T> taken;
    {
      std::lock_guard lock(mutex_);
      if (values_.empty()) return taken;
      taken.emplace(std::move(values_.front()));
      values_.pop_front();
    }
    emptied_.notify();
    return taken;
  }

  /// Refuses what comes from now on and wakes who waits. Idempotent.
  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    filled_.notify();
    emptied_.notify();
  }

  bool closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }
  size_t size() const {
    std::lock_guard lock(mutex_);
    return values_.size();
  }

 private:
  bool has_room_or_is_closed() const {
    std::lock_guard lock(mutex_);
    return closed_ || values_.size() < capacity_;
  }

  const size_t capacity_;
  mutable std::mutex mutex_;
  std::deque<T> values_;
  bool closed_ = false;
  Notifier filled_;
  Notifier emptied_;
};

}  // namespace gantry
