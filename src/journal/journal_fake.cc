#include "journal/journal_fake.h"

#include "journal/drivers/segments/segments.h"

namespace gantry::journal {

Options memory_journal_options() {
  return {.segment_size = kibibytes(256),
          .group_size = kibibytes(128),
          .entry_size = kibibytes(64),
          .checkpoint_every = kibibytes(64),
          .compress_after = Duration::zero(),
          .housekeeping_every = std::chrono::milliseconds(20),
          .probe_every = std::chrono::milliseconds(5),
          .projection_linger = std::chrono::milliseconds(1)};
}

std::unique_ptr<Journal> make_memory_journal(MemoryDisk& disk, Options options, Clock& clock, Random& random) {
  return std::make_unique<segments::SegmentsJournal>(std::move(options), clock, random, disk.storage());
}

std::unique_ptr<Journal> make_memory_journal(MemoryDisk& disk, Clock& clock, Random& random) {
  return make_memory_journal(disk, memory_journal_options(), clock, random);
}

}  // namespace gantry::journal
