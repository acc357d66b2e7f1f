// Captured stdout and stderr. The shim writes them to `<instance_dir>/logs`, bounded and rotated, with
// no help of the daemon; this reads them. Part of the door (sandbox.h).
//
// A line of a log file is `<unix_ms> <o|e> <text>`; text is cut at 16 KiB. Files are `current.log`,
// `1.log` (the one before), `2.log`, …
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"

namespace gantry::sandbox {

/// Which of its two outputs a program wrote to.
enum class Stream { out, err };
/// `stdout` or `stderr`.
std::string_view to_string(Stream stream);

/// A place between two lines. Survives rotation; opaque. The default is before the first line.
struct LogCursor {
  uint64_t file = 0;  ///< identifies the file, also after it was renamed
  uint64_t file_time = 0;
  uint64_t offset = 0;

  bool operator==(const LogCursor&) const = default;
};

/// One captured line.
struct LogLine {
  Time time;
  Stream stream = Stream::out;
  std::string text;  ///< bytes as the program wrote them, without the line feed
  LogCursor at;      ///< where it begins
};

/// What to read.
struct LogQuery {
  std::optional<LogCursor> after;  ///< only what was written after this place: how to follow
  std::optional<Time> since;       ///< only lines at or after this time
  size_t max_lines = 1000;         ///< of one answer; the next one starts at `LogChunk::next`
  /// Bytes of the files that are looked at for one answer, about; it may then hold no line and still have `more`.
  size_t max_bytes = SIZE_MAX;
};

/// The answer to one query, oldest line first.
struct LogChunk {
  std::vector<LogLine> lines;
  LogCursor next;
  bool more = false;     ///< not all was looked at: `max_lines` or `max_bytes` was reached
  bool skipped = false;  ///< lines after the cursor were rotated away before they were read
};

/// Reads the logs of an instance; none are there yet: an empty chunk. Blocks on the disk. Trusts
/// nothing in the directory: opens only regular files, reads only bounded amounts.
Result<LogChunk> read_logs(const std::filesystem::path& instance_dir, const LogQuery& query);

/// The lines right before a place, newest first, out of at most about `max_bytes` of the files.
struct LogsBefore {
  std::vector<LogLine> lines;
  LogCursor next;     ///< ask for what is before this place
  LogCursor end;      ///< behind the newest whole line that was looked at
  bool more = false;  ///< there may be older lines
};
/// Reads backwards from `before`, or from the end of the newest whole line. Blocks; trusts nothing, as `read_logs`.
Result<LogsBefore> read_logs_before(const std::filesystem::path& instance_dir, const std::optional<LogCursor>& before,
                                    size_t max_bytes);

/// True if `read_logs` after this place may find something, told by the newest file alone: for polls. Blocks.
bool has_newer_logs(const std::filesystem::path& instance_dir, const LogCursor& after);

}  // namespace gantry::sandbox
