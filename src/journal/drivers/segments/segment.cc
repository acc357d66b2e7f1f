#include "journal/drivers/segments/segment.h"

#include <algorithm>

#include "journal/drivers/segments/compressed.h"

namespace gantry::journal::segments {
namespace {

constexpr uint64_t mark_distance = 64 << 10;

}  // namespace

std::string raw_name(uint64_t number) { return fmt::format("{}/{:020}.log", segment_directory, number); }
std::string compressed_name(uint64_t number) { return fmt::format("{}/{:020}.zst", segment_directory, number); }

Segment::Segment(Storage& storage, SegmentHeader header, SegmentExtent extent, Form form, std::shared_ptr<File> file)
    : storage_(storage),
      header_(header),
      salt_crc_(segments::salt_crc(header.salt)),
      end_(extent.end),
      last_seq_(extent.last_seq),
      form_(form),
      file_(std::move(file)) {}

std::shared_ptr<File> Segment::file() const {
  std::lock_guard lock(mutex_);
  return file_;
}

void Segment::advance(uint64_t group_offset, uint64_t group_seq, SegmentExtent extent) {
  // Only the writer changes marks_ of the active segment, so that it may look without the lock.
  if (marks_.empty() || group_offset - marks_.back().offset >= mark_distance) {
    std::lock_guard lock(mutex_);
    marks_.push_back({group_seq, group_offset});
  }
  last_seq_.store(extent.last_seq, std::memory_order_release);
  end_.store(extent.end, std::memory_order_release);
}

void Segment::seal() {
  std::lock_guard lock(mutex_);
  file_.reset();
}

Result<std::string> Segment::read(uint64_t offset, uint64_t want) const {
  if (form() == Form::compressed) return read_compressed(storage_, number(), offset, want);
  auto bytes = read_raw(offset, want);
  // It may have been compressed, and the raw file removed, since the look at its form.
  if (!bytes && bytes.error().code() == Code::not_found && form() == Form::compressed)
    return read_compressed(storage_, number(), offset, want);
  return bytes;
}

Result<std::string> Segment::read_raw(uint64_t offset, uint64_t want) const {
  const uint64_t stop = end();
  if (offset >= stop) return std::string();
  std::shared_ptr<File> open = file();
  if (!open) {
    GANTRY_TRY(open, storage_.open(raw_name(number()), OpenMode::read));
  }
  std::string bytes(std::min(want, stop - offset), '\0');
  GANTRY_TRY(size_t got, open->read(offset, bytes));
  if (got < bytes.size()) return std::unexpected(damaged(number(), offset + got, "the file is too short"));
  return bytes;
}

uint64_t Segment::scan_start(uint64_t seq) const {
  // What cannot be found out here, the scan from the beginning will.
  if (form() == Form::compressed) return find_in_compressed(storage_, number(), seq).value_or(header_size);
  std::lock_guard lock(mutex_);
  auto behind = std::ranges::upper_bound(marks_, seq, {}, &Mark::seq);
  return behind == marks_.begin() ? header_size : std::prev(behind)->offset;
}

Result<std::string> Segment::read_payload(Location location, PayloadCipher* cipher) const {
  if (location.offset + uint64_t{location.size} > end())
    return fail(Code::not_found, "segment {} has no record at offset {}", number(), location.offset);
  GANTRY_TRY(std::string bytes, read(location.offset, location.size));
  Frame frame;
  const FrameStatus status = decode_frame(bytes, salt_crc_, frame);
  if (status != FrameStatus::valid || frame.size != location.size)
    return std::unexpected(damaged(number(), location.offset, "the record does not have its checksum"));
  if ((frame.flags & flag_sealed) == 0) return std::string(frame.payload);
  RecordMaker maker(cipher);
  GANTRY_TRY(Record record, maker.make(frame, number(), location.offset));
  return std::string(record.payload);
}

}  // namespace gantry::journal::segments
