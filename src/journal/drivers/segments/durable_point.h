// How far the log is durable and folded, and those who wait for it to go on.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "async/async.h"

namespace gantry::journal::segments {

/// Thread-safe. `publish` costs one atomic store while nobody waits.
class DurablePoint {
 public:
  uint64_t seq() const { return seq_.load(std::memory_order_acquire); }
  /// By the writer, after the folds.
  void publish(uint64_t seq);
  /// Nobody waits any more; waits return at once.
  void close();
  bool closed() const { return closed_.load(std::memory_order_acquire); }

  /// Blocks until `seq() >= wanted`; false after `patience` or `close`.
  bool wait(uint64_t wanted, Duration patience);
  /// The same for a coroutine.
  Task<bool> until(uint64_t wanted, SteadyTime deadline);

 private:
  void wake();
  std::atomic<uint64_t> seq_ = 0;
  std::atomic<bool> closed_ = false;
  std::atomic<size_t> waiting_ = 0;
  std::mutex mutex_;
  std::condition_variable moved_;
  Notifier notifier_;
};

}  // namespace gantry::journal::segments
