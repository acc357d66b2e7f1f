// fuzz: journal
//
// The parsers of the journal's files. The first byte chooses one; the rest is its input, which a disk may have damaged
// in any way. Besides not crashing: what is accepted comes out the same when it is encoded and parsed again.
#include <cstdint>
#include <string>
#include <string_view>

#include "journal/drivers/segments/checkpoint.h"
#include "journal/drivers/segments/compressed.h"
#include "journal/drivers/segments/deletions.h"
#include "journal/drivers/segments/recovery.h"

namespace {

using namespace gantry;
using namespace gantry::journal;
using namespace gantry::journal::segments;

/// A file whose content is the input.
class TextFile final : public File {
 public:
  explicit TextFile(std::string_view text) : text_(text) {}
  Result<size_t> read(uint64_t offset, std::span<char> out) override {
    if (offset >= text_.size()) return size_t{0};
    return text_.copy(out.data(), out.size(), offset);
  }
  Result<void> write(uint64_t, std::string_view) override { return {}; }
  Result<void> sync() override { return {}; }
  Result<void> fill_with_zeros(uint64_t) override { return {}; }
  Result<uint64_t> size() override { return uint64_t{text_.size()}; }

 private:
  std::string_view text_;
};

void fuzz_header(std::string_view input) {
  SegmentHeader header;
  if (decode_header(input, header) != HeaderStatus::valid) return;
  SegmentHeader again;
  GANTRY_CHECK(decode_header(encode_header(header), again) == HeaderStatus::valid);
  GANTRY_CHECK(again.number == header.number && again.salt == header.salt && again.previous_end == header.previous_end);
}

void fuzz_frame(std::string_view input) {
  Frame frame;
  if (decode_frame(input, salt_crc(0), frame) != FrameStatus::valid) return;
  GANTRY_CHECK(frame.size <= input.size() && frame.payload.size() < frame.size);
  std::ignore = RecordMaker().make(frame, 1, header_size);
}

// Segments that are mostly right: the input is laid over one with three records.
void fuzz_segment(std::string_view input) {
  const SegmentHeader header{.number = 1, .first_seq = 1, .salt = 0, .group_limit = 4096};
  std::string bytes = encode_header(header);
  for (uint64_t seq = 1; seq <= 3; ++seq)
    encode_frame({.kind = Kind{1}, .scope = Scope::standard(), .head = "payload"},
                 {.seq = seq, .flags = flag_group_start, .salt_crc = salt_crc(0)}, bytes);
  if (input.size() >= 2) {
    const size_t at = header_size + (static_cast<uint8_t>(input[0]) | static_cast<uint8_t>(input[1]) << 8) % 512;
    input.remove_prefix(2);
    bytes.resize(std::max(bytes.size(), at + input.size()));
    input.copy(bytes.data() + at, input.size());
  }
  TextFile file(bytes);
  auto found = find_end(file, header, {.end = header_size, .last_seq = 0});
  if (found) GANTRY_CHECK(found->extent.end <= bytes.size() + frame_alignment);
}

void fuzz_checkpoint(std::string_view input) {
  auto checkpoint = decode_checkpoint(input);
  if (checkpoint) GANTRY_CHECK(encode_checkpoint(*checkpoint) == input);
}

void fuzz_index(std::string_view input) {
  auto index = decode_index(input, input.size());
  if (index) GANTRY_CHECK(decode_index(encode_index(*index), input.size()).has_value());
}

void fuzz_deletions(std::string_view input) {
  auto deletions = Deletions::parse(input);
  if (deletions) GANTRY_CHECK(Deletions::parse(deletions->text()).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // SAFETY: every object may be read through char.
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr void (*parsers[])(std::string_view) = {fuzz_header,     fuzz_frame, fuzz_segment,
                                                   fuzz_checkpoint, fuzz_index, fuzz_deletions};
  parsers[data[0] % std::size(parsers)](input);
  return 0;
}
