// From files to a running journal: finds the segments that are the log, cuts what a crash left unfinished
// behind it, restores the folds.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "journal/drivers/segments/catalog.h"
#include "journal/drivers/segments/checkpoint.h"
#include "journal/drivers/segments/provisioner.h"
#include "journal/drivers/segments/writer.h"

namespace gantry::journal::segments {

/// What recovery fills or finds.
struct Recovered {
  LogEnd end;
  std::deque<Prepared> prepared;
  uint64_t next_number = 1;  ///< of the next segment file to be made
  uint64_t newest_checkpoint = 0;
  uint64_t oldest_checkpoint = 0;
};

struct RecoveryParts {
  const Options& options;
  Storage& storage;
  Catalog& catalog;
  const Checkpoints& checkpoints;
  std::vector<Fold*> folds;
};

/// Blocks; on one thread, before all others of the journal. GR0103 if acknowledged records are damaged or
/// missing, GR0104 for a newer format.
Result<Recovered> recover(RecoveryParts parts);

/// Where the valid frames of a segment end, for a segment of which no successor tells it.
struct FoundEnd {
  SegmentExtent extent;
  /// Where the last write began, if the scan saw one: all before it was flushed, it perhaps was not.
  std::optional<uint64_t> last_group;
  /// Behind the end, as far as a write could have reached, are zeros: appending may go on there.
  bool clean = false;
};
/// Scans from a frame boundary. The frames of an append_many that is not complete do not count. GR0103 if a
/// frame behind the end shows that what is damaged there was durable once. Public for the tests and fuzzing.
Result<FoundEnd> find_end(File& file, const SegmentHeader& header, SegmentExtent from);

}  // namespace gantry::journal::segments
