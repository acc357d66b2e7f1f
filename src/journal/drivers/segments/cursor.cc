#include "journal/drivers/segments/cursor.h"

#include <algorithm>

namespace gantry::journal::segments {
namespace {

constexpr uint64_t chunk_size = 1 << 20;

}  // namespace

Result<std::span<const Record>> Cursor::next(size_t limit, uint64_t last_seq) {
  records_.clear();
  maker_.forget();
  while (records_.empty() && limit > 0 && seq_ <= last_seq) {
    if (!position()) break;
    auto more = fill();
    if (!more && was_deleted(more.error())) continue;
    if (!more) return std::unexpected(std::move(more).error());
    if (!*more) break;
    const uint64_t before = offset_;
    GANTRY_TRY_VOID(take(limit, last_seq));
    if (offset_ == before) break;
  }
  return std::span<const Record>(records_);
}

// Goes on to the next segment at the end of one. False at the end of the log.
bool Cursor::position() {
  if (!segment_) {
    segment_ = catalog_.containing(seq_);
    if (!segment_) return false;
    offset_ = segment_->scan_start(seq_);
    buffer_.clear();
  }
  for (;;) {
    if (offset_ < segment_->end()) return true;
    // Asked before `end` is looked at again: a segment with a successor no longer grows.
    SegmentPtr next = catalog_.next(segment_->number());
    if (offset_ < segment_->end()) return true;
    if (!next) return false;
    segment_ = std::move(next);
    offset_ = header_size;
    buffer_.clear();
  }
}

// Retention took the segment away before it was read: goes on behind it.
bool Cursor::was_deleted(const Error& error) {
  if (error.code() != Code::not_found || catalog_.find(segment_->number())) return false;
  segment_ = nullptr;
  return true;
}

// Makes the frame at offset_ whole in the buffer. False if nothing is there.
Result<bool> Cursor::fill() {
  const uint64_t buffer_end = buffer_offset_ + buffer_.size();
  uint64_t want = chunk_size;
  if (!buffer_.empty() && offset_ < buffer_end) {
    // Is the rest of the buffer a whole frame?
    std::string_view rest = std::string_view(buffer_).substr(offset_ - buffer_offset_);
    if (rest.size() >= frame_header_size) {
      const uint64_t size = padded(get<uint32_t>(rest.data() + 4));
      if (size <= rest.size()) return true;
      want = std::max(want, size);
    }
  }
  for (;;) {
    GANTRY_TRY(buffer_, segment_->read(offset_, want));
    buffer_offset_ = offset_;
    if (buffer_.size() < frame_header_size) return !buffer_.empty();
    const uint64_t size = padded(get<uint32_t>(buffer_.data() + 4));
    // Larger than what is there to read: take() finds out that the size is wrong.
    if (size <= buffer_.size() || size > segment_->end() - offset_) return true;
    want = size;
  }
}

Result<void> Cursor::take(size_t limit, uint64_t last_seq) {
  const uint64_t end = segment_->end();
  for (bool first = true; records_.size() < limit && offset_ < end; first = false) {
    if (offset_ - buffer_offset_ >= buffer_.size()) return {};
    std::string_view rest = std::string_view(buffer_).substr(offset_ - buffer_offset_);
    // The end of the chunk; a first frame that is not whole is damaged, since fill() read all there is.
    if (!first && (rest.size() < frame_header_size || padded(get<uint32_t>(rest.data() + 4)) > rest.size())) return {};
    Frame frame;
    FrameStatus status = decode_frame(rest, segment_->salt_crc(), frame);
    if (status == FrameStatus::valid && offset_ + padded(frame.size) > end) status = FrameStatus::truncated;
    if (status != FrameStatus::valid) {
      // What came before it is handed out first.
      if (!records_.empty()) return {};
      return std::unexpected(bad_frame(status));
    }
    if (frame.seq > last_seq) return {};
    if (frame.seq >= seq_) {
      auto record = maker_.make(frame, segment_->number(), offset_);
      if (!record && !records_.empty()) return {};
      if (!record) return std::unexpected(std::move(record).error());
      records_.push_back(*std::move(record));
      seq_ = frame.seq + 1;
    }
    offset_ += padded(frame.size);
  }
  return {};
}

Error Cursor::bad_frame(FrameStatus status) const {
  switch (status) {
    case FrameStatus::zeros:
      return damaged(segment_->number(), offset_, "zeros in the place of a record");
    case FrameStatus::truncated:
      return damaged(segment_->number(), offset_, "a record reaches over the end");
    default:
      return damaged(segment_->number(), offset_, "a record does not have its checksum");
  }
}

}  // namespace gantry::journal::segments
