// The bounds of a journal, all named, and what it tells its owner.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "base/base.h"
#include "journal/cipher.h"

namespace gantry::journal {

/// How loud a notice is.
enum class Severity { info, warning, error };
/// Called from the journal's threads, never with a lock held; must not call back into the journal.
using Notify = std::function<void(Severity, std::string_view text)>;

/// What happens to a sealed segment that is still needed.
enum class Compression { off, zstd };

/// What a journal is made with. The defaults are right for a server.
struct Options {
  /// Holds everything: `segments/`, `checkpoints/`, `blobs/`. Locked while open.
  std::filesystem::path directory;

  /// Size of a segment file. The first ones are smaller (4 MiB, doubling), so that a laptop's journal is.
  Bytes segment_size = mebibytes(64);
  /// A write is at most this long; the records of one `append_many` must fit. At most 1/4 segment.
  Bytes group_size = mebibytes(4);
  /// Longest head + body of one entry.
  Bytes entry_size = mebibytes(1);
  /// Waiting entries; above either bound `append` waits for room before it is queued.
  size_t queue_entries = 16'384;
  Bytes queue_size = mebibytes(64);
  /// Appends that wait for room; above it they fail with `exhausted` GR0105.
  size_t blocked_appends = 65'536;

  /// A checkpoint is written after this much log, or twice its own size if that is more, at each segment's end unless
  /// it is that large, and at `stop`.
  Bytes checkpoint_every = mebibytes(16);
  Compression compression = Compression::zstd;
  /// Sealed segments are compressed when they are this old and still needed.
  Duration compress_after = std::chrono::seconds(30);
  /// How often the housekeeping looks for segments to delete.
  Duration housekeeping_every = std::chrono::seconds(5);
  /// After a failed write: how often a new segment is tried.
  Duration probe_every = std::chrono::milliseconds(500);

  /// One call of `Projection::project`.
  size_t batch_records = 1'000;
  Bytes batch_size = mebibytes(4);
  /// How long a projector lets records gather before it takes them.
  Duration projection_linger = std::chrono::milliseconds(50);
  /// A projection that is further behind is `lagging`.
  uint64_t lag_limit = 1'000'000;

  /// Seals what is written from now on and opens what was sealed; outlives the journal. Null: records are stored as
  /// they are, and a directory with sealed ones is refused (GR1002).
  PayloadCipher* cipher = nullptr;

  Notify notify = [](Severity, std::string_view) {};
};

}  // namespace gantry::journal
