// One segment of the log: where its records are, whether its file is raw or compressed.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "journal/drivers/segments/format.h"
#include "journal/storage.h"

namespace gantry::journal::segments {

/// Which part of a segment is valid.
struct SegmentExtent {
  uint64_t end = header_size;  ///< behind the last valid frame
  uint64_t last_seq = 0;       ///< first_seq - 1 if there is no record
};

/// How the bytes are stored.
enum class Form { raw, compressed };

/// Thread-safe. The writer moves the end of the active one; readers follow. Only the active one keeps its
/// file open, so that a long history needs no descriptors.
class Segment {
 public:
  /// `file` of the active one, else null.
  Segment(Storage& storage, SegmentHeader header, SegmentExtent extent, Form form, std::shared_ptr<File> file);

  const SegmentHeader& header() const { return header_; }
  uint64_t number() const { return header_.number; }
  uint64_t first_seq() const { return header_.first_seq; }
  uint32_t salt_crc() const { return salt_crc_; }
  /// Readers load `end` first: what is below it is durable.
  uint64_t end() const { return end_.load(std::memory_order_acquire); }
  uint64_t last_seq() const { return last_seq_.load(std::memory_order_acquire); }
  Form form() const { return form_.load(std::memory_order_acquire); }
  /// Null unless it is the active one.
  std::shared_ptr<File> file() const;

  /// The writer made frames up to `extent` durable; the first of them is `group_seq` at `group_offset`.
  void advance(uint64_t group_offset, uint64_t group_seq, SegmentExtent extent);
  /// It has a successor: closes the file.
  void seal();
  /// The compressed file is durable: from now on the bytes come from there.
  void mark_compressed() { form_.store(Form::compressed, std::memory_order_release); }

  /// At least `want` bytes from `offset`, unless `end` comes first. `not_found` once it was deleted.
  Result<std::string> read(uint64_t offset, uint64_t want) const;
  /// Where to start a scan for `seq`: at or before its frame.
  uint64_t scan_start(uint64_t seq) const;
  /// The payload of the record at a location, verified and opened.
  Result<std::string> read_payload(Location location, PayloadCipher* cipher) const;

 private:
  struct Mark {
    uint64_t seq = 0;
    uint64_t offset = 0;
  };
  Result<std::string> read_raw(uint64_t offset, uint64_t want) const;

  Storage& storage_;
  SegmentHeader header_;
  uint32_t salt_crc_;
  std::atomic<uint64_t> end_;
  std::atomic<uint64_t> last_seq_;
  std::atomic<Form> form_;
  mutable std::mutex mutex_;
  std::shared_ptr<File> file_;
  std::vector<Mark> marks_;  // one group in each 64 KiB, of those written since the start
};

/// File names: `segments/00000000000000000001.log`, `.zst` once compressed.
inline constexpr std::string_view segment_directory = "segments";
std::string raw_name(uint64_t number);
std::string compressed_name(uint64_t number);

}  // namespace gantry::journal::segments
