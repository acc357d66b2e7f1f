// What the files of a directory mean: which segments are the log, which are to be used later or to be removed.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "journal/drivers/segments/catalog.h"
#include "journal/drivers/segments/deletions.h"
#include "journal/drivers/segments/provisioner.h"

namespace gantry::journal::segments {

struct Inventory {
  /// The log, in order. All but the last have their final extent.
  std::vector<SegmentPtr> log;
  /// Made ahead and not used yet.
  std::deque<Prepared> prepared;
  /// No part of the log: abandoned, half made, replaced, or left over by a deletion. Names in the segment directory.
  std::vector<std::string> leftovers;
  uint64_t next_number = 1;
};

/// Reads all headers. GR0103 if a segment of the log is missing or has no readable header, GR0104.
Result<Inventory> take_inventory(const Options& options, Storage& storage, const Deletions& deletions);

}  // namespace gantry::journal::segments
