// The sequential scan over the durable records; what readers, projectors and recovery use.
#pragma once

#include <deque>
#include <span>
#include <string>
#include <vector>

#include "journal/drivers/segments/catalog.h"

namespace gantry::journal::segments {

/// One thread at a time.
class Cursor {
 public:
  /// `cipher` opens what is sealed; null if nothing may be.
  Cursor(const Catalog& catalog, PayloadCipher* cipher, uint64_t from_seq)
      : catalog_(catalog), seq_(from_seq), maker_(cipher) {}
  /// Starts at a frame that is known to be the first one behind `from_seq - 1`.
  Cursor(const Catalog& catalog, PayloadCipher* cipher, uint64_t from_seq, SegmentPtr segment, uint64_t offset)
      : catalog_(catalog), seq_(from_seq), segment_(std::move(segment)), offset_(offset), maker_(cipher) {}

  /// See Reader::next; nothing behind `last_seq`. A segment holds records that the folds do not know yet, so whoever
  /// runs beside the writer gives the durable point.
  Result<std::span<const Record>> next(size_t limit, uint64_t last_seq);
  /// The smallest sequence that the next call can return.
  uint64_t seq() const { return seq_; }

 private:
  bool position();
  bool was_deleted(const Error& error);
  Result<bool> fill();
  Result<void> take(size_t limit, uint64_t last_seq);
  Error bad_frame(FrameStatus status) const;

  const Catalog& catalog_;
  uint64_t seq_;
  SegmentPtr segment_;
  uint64_t offset_ = 0;  // of the next frame in segment_
  std::string buffer_;   // bytes of segment_ from buffer_offset_
  uint64_t buffer_offset_ = 0;
  RecordMaker maker_;
  std::vector<Record> records_;
};

}  // namespace gantry::journal::segments
