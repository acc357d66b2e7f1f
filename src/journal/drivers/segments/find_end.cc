// The end of a segment that no successor describes: the active one, after a crash.
#include <algorithm>

#include "journal/drivers/segments/recovery.h"

namespace gantry::journal::segments {
namespace {

constexpr uint64_t chunk_size = 1 << 20;

/// A window on a file that grows and moves forward.
class Window {
 public:
  Window(File& file, uint64_t offset) : file_(file), offset_(offset) {}

  /// The bytes from `offset`, at least `want` of them unless the file ends before.
  Result<std::string_view> at(uint64_t offset, uint64_t want) {
    if (offset < offset_ || offset + want > offset_ + bytes_.size()) {
      bytes_.resize(std::max(want, chunk_size));
      offset_ = offset;
      GANTRY_TRY(size_t got, file_.read(offset, bytes_));
      bytes_.resize(got);
    }
    return std::string_view(bytes_).substr(std::min<uint64_t>(offset - offset_, bytes_.size()));
  }

 private:
  File& file_;
  uint64_t offset_;
  std::string bytes_;
};

struct Step {
  FrameStatus status = FrameStatus::zeros;
  Frame frame;
};

Result<Step> frame_at(Window& window, uint64_t offset, uint32_t salt, uint64_t limit) {
  Step step;
  GANTRY_TRY(std::string_view bytes, window.at(offset, frame_header_size));
  step.status = decode_frame(bytes, salt, step.frame);
  if (step.status != FrameStatus::truncated || bytes.size() < frame_header_size) return step;
  const auto size = get<uint32_t>(bytes.data() + 4);
  if (size > limit) return step;  // no write was ever this long
  GANTRY_TRY(bytes, window.at(offset, size));
  step.status = decode_frame(bytes, salt, step.frame);
  return step;
}

// A write begins only after everything before it was flushed. So if a frame that begins a write is found
// behind the end, the bytes at the end were durable once and are damaged now. Frames of the torn last write
// itself prove nothing: none of them but its first begins a write, and that one is at or before the end.
Result<void> check_nothing_follows(Window& window, const SegmentHeader& header, SegmentExtent extent) {
  const uint32_t salt = salt_crc(header.salt);
  const uint64_t stop = extent.end + 2 * header.group_limit;
  for (uint64_t offset = extent.end; offset < stop; offset += frame_alignment) {
    GANTRY_TRY(std::string_view bytes, window.at(offset, frame_header_size));
    if (bytes.size() < frame_header_size) return {};
    // Most of it is zeros or not our frame: look at the cheap fields first.
    if (get<uint64_t>(bytes.data()) == 0 || get<uint64_t>(bytes.data() + 8) <= extent.last_seq) continue;
    if ((get<uint8_t>(bytes.data() + 42) & flag_group_start) == 0) continue;
    GANTRY_TRY(Step step, frame_at(window, offset, salt, header.group_limit));
    if (step.status == FrameStatus::valid)
      return std::unexpected(
          damaged(header.number, extent.end,
                  fmt::format("a record is damaged or missing although record {} behind it was written later",
                              step.frame.seq)));
  }
  return {};
}

Result<bool> is_zero_behind(File& file, const SegmentHeader& header, uint64_t end) {
  std::string bytes(header.group_limit, '\0');
  GANTRY_TRY(size_t got, file.read(end, bytes));
  bytes.resize(got);
  return std::ranges::all_of(bytes, [](char byte) { return byte == 0; });
}

}  // namespace

Result<FoundEnd> find_end(File& file, const SegmentHeader& header, SegmentExtent from) {
  const uint32_t salt = salt_crc(header.salt);
  Window window(file, from.end);
  SegmentExtent whole = from;  // behind the last complete append
  SegmentExtent reached = from;
  std::optional<uint64_t> last_group;
  for (;;) {
    GANTRY_TRY(Step step, frame_at(window, reached.end, salt, header.group_limit));
    if (step.status != FrameStatus::valid || step.frame.seq != reached.last_seq + 1) break;
    if (step.frame.flags & flag_group_start) last_group = reached.end;
    reached = {.end = reached.end + padded(step.frame.size), .last_seq = step.frame.seq};
    if ((step.frame.flags & flag_batch_continues) == 0) whole = reached;
  }
  // From where the scan stopped: the frames of an incomplete batch may begin with the start of their write.
  GANTRY_TRY_VOID(check_nothing_follows(window, header, reached));
  GANTRY_TRY(bool zeros, is_zero_behind(file, header, whole.end));
  return FoundEnd{.extent = whole, .last_group = last_group, .clean = zeros && whole.end == reached.end};
}

}  // namespace gantry::journal::segments
