// The bytes of a segment: its header and its frames. Pure; docs/internals/journal-format.md tells the same.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "journal/cipher.h"
#include "journal/record.h"

namespace gantry::journal::segments {

/// The format of a file. Sealed ones have a number of their own, so that a program that knows no sealing refuses them.
inline constexpr uint32_t plain_version = 1;
inline constexpr uint32_t sealed_version = 2;
/// The largest that is known; a file with a larger number is refused.
inline constexpr uint32_t format_version = sealed_version;

/// Two equal copies of 512 bytes, one disk sector each: a torn write damages at most one.
inline constexpr size_t header_copy_size = 512;
inline constexpr size_t header_size = 2 * header_copy_size;

/// What a segment says about itself, and where the log was before it.
struct SegmentHeader {
  uint32_t version = plain_version;  ///< `sealed_version`: all its payloads are sealed
  uint64_t number = 0;
  uint64_t first_seq = 0;
  /// The valid log before this segment ends in `previous` at `previous_end`; whatever else is behind that
  /// point, in that segment or in one with a number between, was abandoned. 0: this is the first segment.
  uint64_t previous = 0;
  uint64_t previous_end = 0;
  /// Random, part of every checksum: bytes of another segment, of an earlier use of the same blocks, or
  /// inside a payload can never be taken for a frame of this one.
  uint64_t salt = 0;
  /// No write to this segment is longer: how far behind a damaged frame its group can reach.
  uint64_t group_limit = 0;
  Time created;
};

/// `header_size` bytes.
std::string encode_header(const SegmentHeader& header);

/// What the first bytes of a segment file are.
enum class HeaderStatus {
  valid,
  unused,   ///< zeros, or torn by the very first write: no record in it was ever acknowledged
  newer,    ///< of a format version that this program does not know
  damaged,  ///< both copies
};
HeaderStatus decode_header(std::string_view bytes, SegmentHeader& out);

/// The fixed part of a frame; scope path and payload follow, then zeros up to a multiple of 8.
///   0 crc32c u32 (of salt and all that follows)   4 size u32 (without padding)   8 seq u64   16 time i64
///   24 entity 16 bytes   40 kind u16   42 flags u8   43 scope size u8
inline constexpr size_t frame_header_size = 44;
inline constexpr size_t frame_alignment = 8;

/// The frame begins a write: everything before it had been flushed.
inline constexpr uint8_t flag_group_start = 1;
/// The next frame belongs to the same `append_many`.
inline constexpr uint8_t flag_batch_continues = 2;

/// The payload was sealed by the PayloadCipher of the options.
inline constexpr uint8_t flag_sealed = 4;

/// Bytes in the segment, with padding, of a frame of `size` bytes.
constexpr uint64_t padded(uint64_t size) { return (size + frame_alignment - 1) & ~uint64_t{frame_alignment - 1}; }

/// Size of the frame of an entry, without padding.
uint64_t frame_size(const Entry& entry);

/// What the writer adds to an entry.
struct Stamp {
  uint64_t seq = 0;
  Time time;
  uint8_t flags = 0;
  uint32_t salt_crc = 0;  ///< from `salt_crc`
};
/// The checksum state that a segment's salt leads to.
uint32_t salt_crc(uint64_t salt);

/// Appends the padded frame to `out`.
void encode_frame(const Entry& entry, const Stamp& stamp, std::string& out);

/// A frame in its buffer.
struct Frame {
  uint32_t size = 0;
  uint64_t seq = 0;
  Time time;
  IdBytes entity{};
  Kind kind{};
  uint8_t flags = 0;
  std::string_view scope;
  std::string_view payload;
};

enum class FrameStatus {
  valid,
  zeros,      ///< nothing was written here
  truncated,  ///< `bytes` ends before the frame does (if its size can be believed)
  damaged,
};
/// Decodes the frame that `bytes` begins with; `out` points into `bytes`. Never trusts its input.
FrameStatus decode_frame(std::string_view bytes, uint32_t salt_crc, Frame& out);

/// The fields of a frame that this process has just encoded: nothing is checked.
void read_frame(std::string_view bytes, Frame& out);

/// What a payload is sealed as: the fields that name the record. Not its place, which is not known when it is sealed.
std::string seal_context(Kind kind, const IdBytes& entity);
/// The plaintext of a frame with `flag_sealed`. GR1002 without a cipher, GR0103 if it cannot be opened.
Result<std::string> open_payload(const Frame& frame, const Scope& scope, PayloadCipher* cipher, Location location);

/// Frames become Records; remembers the scope of the last one, which is mostly the next's.
class RecordMaker {
 public:
  explicit RecordMaker(PayloadCipher* cipher = nullptr) : cipher_(cipher) {}
  /// `data_loss` if the scope is none, which a valid checksum makes a defect of the writer. Sealed payloads are opened
  /// and kept here until `forget`.
  Result<Record> make(const Frame& frame, uint64_t segment, uint64_t offset);
  void forget() { opened_.clear(); }

 private:
  PayloadCipher* cipher_;
  std::string scope_path_;
  Scope scope_;
  std::deque<std::string> opened_;  // a deque: the records point into it
};

/// Little-endian fields at fixed places.
template <class T>
void put(char* at, T value) {
  for (size_t i = 0; i < sizeof value; ++i) at[i] = static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
}
template <class T>
T get(const char* at) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= uint64_t{static_cast<uint8_t>(at[i])} << (8 * i);
  return static_cast<T>(value);
}

/// `data_loss` GR0103 that names segment and offset.
Error damaged(uint64_t segment, uint64_t offset, std::string_view what);

}  // namespace gantry::journal::segments
