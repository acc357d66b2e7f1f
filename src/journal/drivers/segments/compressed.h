// Sealed segments as zstd: independent frames of about 256 KiB, cut between records, and an index behind
// them in a skippable frame, so that a read decompresses one frame and `zstd -d` still gives the raw segment.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "journal/drivers/segments/segment.h"

namespace gantry::journal::segments {

/// One zstd frame.
struct IndexEntry {
  uint64_t raw_offset = 0;
  uint64_t file_offset = 0;
  uint32_t raw_size = 0;
  uint32_t file_size = 0;
  uint64_t first_seq = 0;  ///< of the first record in it
};

/// The content of the skippable frame at the end of the file.
struct SegmentIndex {
  SegmentHeader header;
  SegmentExtent extent;
  std::vector<IndexEntry> entries;
};
std::string encode_index(const SegmentIndex& index);
/// `tail` is the end of the file, `file_size` its length. `data_loss` without a place: the caller knows the name.
Result<SegmentIndex> decode_index(std::string_view tail, uint64_t file_size);

/// The index of a compressed segment. GR0104 or GR0103 if the file is not one; `not_found`.
Result<SegmentIndex> read_index(Storage& storage, uint64_t number);
/// Raw bytes from `offset`: at least `want` of them unless the segment ends before, and to the end of a
/// zstd frame, since those come for free.
Result<std::string> read_compressed(Storage& storage, uint64_t number, uint64_t offset, uint64_t want);
/// The raw offset of a zstd frame that begins at or before the record `seq`.
Result<uint64_t> find_in_compressed(Storage& storage, uint64_t number, uint64_t seq);

/// Writes the compressed file of a sealed segment, durable under its name. Every record is verified on the
/// way: a damaged segment stays as it is and the error says so. The raw file is left alone. `cancelled`
/// soon after `stop` becomes true.
Result<void> compress(Storage& storage, const Segment& segment, const std::atomic<bool>& stop);

}  // namespace gantry::journal::segments
