// All segments of the log, in order. Thread-safe; what it returns stays usable after a deletion.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "journal/drivers/segments/segment.h"

namespace gantry::journal::segments {

using SegmentPtr = std::shared_ptr<Segment>;

class Catalog {
 public:
  /// Behind all others.
  void add(SegmentPtr segment);
  void remove(uint64_t number);

  /// All, the active one last.
  std::vector<SegmentPtr> all() const;
  SegmentPtr find(uint64_t number) const;
  /// The first one whose last seq is `seq` or larger, else the last one; null if there is none.
  SegmentPtr containing(uint64_t seq) const;
  /// The one behind; null if there is none.
  SegmentPtr next(uint64_t number) const;
  SegmentPtr last() const;
  uint64_t first_seq() const;  ///< 1 if there is none

 private:
  mutable std::mutex mutex_;
  std::vector<SegmentPtr> segments_;
};

}  // namespace gantry::journal::segments
