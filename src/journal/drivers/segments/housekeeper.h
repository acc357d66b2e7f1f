// Deletes segments that nobody needs and compresses those that somebody does, on a low-priority thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "journal/drivers/segments/catalog.h"
#include "journal/drivers/segments/checkpoint.h"
#include "journal/drivers/segments/deletions.h"
#include "journal/drivers/segments/projector.h"
#include "journal/drivers/segments/writer.h"

namespace gantry::journal::segments {

struct HousekeeperParts {
  const Options& options;
  Clock& clock;
  Storage& storage;
  Catalog& catalog;
  const Checkpoints& checkpoints;
  Writer& writer;
  std::vector<Fold*> folds;
  std::vector<Projector*> projectors;
};

/// Owns a thread between `start` and `stop`. `pass` is thread-safe.
class Housekeeper {
 public:
  explicit Housekeeper(HousekeeperParts parts) : parts_(std::move(parts)) {}
  ~Housekeeper() { stop(); }

  void start();
  void stop();
  /// One round: deletes first, so that nothing is compressed in vain.
  Result<void> pass();

 private:
  void run();
  std::vector<SegmentPtr> deletable();
  bool is_kept_by_projection(const Segment& segment);
  void drop_what_folds_need(std::vector<SegmentPtr>& candidates);
  Result<void> remove(const std::vector<SegmentPtr>& segments);
  Result<void> remove_strays();
  Result<void> compress_sealed();

  HousekeeperParts parts_;
  std::mutex pass_mutex_;  // one round at a time
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace gantry::journal::segments
