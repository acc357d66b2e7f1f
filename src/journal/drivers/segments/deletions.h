// Which segment numbers are no longer part of the log, so that a file that is missing for another reason is
// noticed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "journal/drivers/segments/format.h"
#include "journal/storage.h"

namespace gantry::journal::segments {

/// Deleted segments, adjacent ones together, and what their headers said about the log before them. The file
/// `deleted`. A value; one thread at a time.
class Deletions {
 public:
  static constexpr std::string_view file_name = "deleted";

  /// `first` to `last` are gone; the log before them ends in `previous` (0: nowhere) at `previous_end`.
  struct Range {
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t previous = 0;
    uint64_t previous_end = 0;
    uint64_t first_seq = 0;
  };

  /// Empty if there is no file. GR0103, GR0104.
  static Result<Deletions> load(Storage& storage);
  static Result<Deletions> parse(std::string_view text);
  std::string text() const;
  /// Durable before any of the files is removed.
  Result<void> store(Storage& storage) const;

  /// The segment with this header, and what was abandoned between it and the one before it.
  void add(const SegmentHeader& header);
  bool empty() const { return ranges_.empty(); }
  /// Null if it is not deleted. Valid until the next `add`.
  const Range* find(uint64_t number) const;

 private:
  std::map<uint64_t, Range> ranges_;  // by first
};

}  // namespace gantry::journal::segments
