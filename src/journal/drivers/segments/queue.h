// The bounded queue between appenders and the writer thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "async/async.h"
#include "journal/journal.h"

namespace gantry::journal::segments {

/// One append or append_many that waits. Lives in the frame of the suspended appender.
struct Pending {
  std::span<Entry> entries;
  std::span<Appended> receipts;          ///< as long as `entries`
  std::span<const std::string> opened;   ///< if the entries are sealed: what their payloads were before
  uint64_t bytes = 0;                    ///< of the frames, padded
  Priority priority = Priority::finish;  ///< `accept` if one of the entries is
  std::optional<Error> error;
  std::optional<Suspended> caller;
};

/// What the writer does next: pendings that fit together, or jobs, or neither (the patience ended).
struct Work {
  std::vector<Pending*> group;
  std::vector<std::move_only_function<void()>> jobs;
  bool closed = false;  ///< and nothing is left
};

/// Thread-safe; one thread takes.
class Queue {
 public:
  explicit Queue(const Options& options) : options_(options) {}

  /// Queues, or has it wait for room, or sets its error and resumes it.
  void push(Pending& pending, Suspended caller);
  /// Runs on the writer thread between two groups; false once closed.
  bool run_soon(std::move_only_function<void()> job);
  /// Refuses what comes from now on; what is queued is still taken.
  void close();

  /// The longest prefix of the queue with at most `room` bytes, at least one. Waits for it up to `patience`
  /// (nullopt: forever). If the first one is longer than `room`, the bound is `fresh_room`.
  Work take(uint64_t room, uint64_t fresh_room, std::optional<Duration> patience);
  size_t size() const;

 private:
  bool is_full() const { return waiting_.size() >= options_.queue_entries || bytes_ >= options_.queue_size.count; }
  void admit_blocked();

  const Options& options_;
  mutable std::mutex mutex_;
  std::condition_variable filled_;
  bool idle_ = false;  // the writer sleeps
  bool closed_ = false;
  uint64_t bytes_ = 0;
  std::deque<Pending*> waiting_;
  std::deque<Pending*> blocked_;
  std::vector<std::move_only_function<void()>> jobs_;
};

}  // namespace gantry::journal::segments
