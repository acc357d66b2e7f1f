// Drives one projection on a thread of its own, in batches.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "journal/drivers/segments/cursor.h"
#include "journal/drivers/segments/durable_point.h"
#include "journal/journal.h"

namespace gantry::journal::segments {

struct ProjectorParts {
  const Options& options;
  Random& random;
  const Catalog& catalog;
  DurablePoint& durable;
};

/// Owns a thread between `start` and `stop`. `lag` and `reached` are thread-safe.
class Projector {
 public:
  Projector(Projection& projection, ProjectorParts parts) : projection_(projection), parts_(parts) {}
  ~Projector() { stop(); }

  void start();
  void stop();
  Projection& projection() { return projection_; }
  uint64_t reached() const { return reached_.load(std::memory_order_acquire); }
  Lag lag() const;

 private:
  void run();
  Result<void> run_until_error();
  Result<void> project_batch(Cursor& cursor);
  bool rest(Duration duration);

  Projection& projection_;
  ProjectorParts parts_;
  std::atomic<uint64_t> reached_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;
  std::string failure_;
  uint32_t failures_ = 0;  // in a row; the thread's own
  std::thread thread_;
};

}  // namespace gantry::journal::segments
