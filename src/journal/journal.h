// The durable log: everything that Gantry promises is a record in it before anybody is told.
//
// An append is a group commit: many coroutines hand in entries, one writer thread writes and flushes
// them together, applies the folds, and resumes the appenders. State is a fold over the log (Fold), the
// relational history a projection of it (Projection), a live stream a Reader. Startup reads the newest
// checkpoint and the tail behind it, never the whole log. Bodies too long for a record are blobs,
// written before the record that names them. docs/internals/journal-format.md has the bytes. The composition root makes
// one journal, registers folds and projections, opens it after the I/O threads' objects exist and stops it before the
// I/O threads end. `append` from any io_context; blocking calls (`read`, Reader, Blobs) from threads that may wait.
//
// If the disk refuses (full, read-only, broken), appends fail with `unavailable` and the journal keeps
// trying by itself; an entry that failed with GR0101 will never appear, one that failed with GR0102
// (the disk kept even the cancellation from being written) may appear after a restart.
//
// Example:
//
//   auto journal = make_segments({.directory = data / "journal"}, clock, random);
//   journal->add(live_requests);                     // a Fold
//   GANTRY_TRY_VOID(journal->open());                // live_requests is now as it was before the crash
//   …
//   GANTRY_CO_TRY(Appended receipt, co_await journal->append({.kind = request_accepted, .scope = scope,
//       .entity = id.bytes(), .head = encode(request), .body = std::move(body)}));
//   …
//   journal->stop();
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "async/async.h"
#include "base/base.h"
#include "journal/blobs.h"
#include "journal/cipher.h"
#include "journal/fold.h"
#include "journal/options.h"
#include "journal/record.h"

namespace gantry::journal {

/// A cursor over the durable records, in order. One thread at a time; it may outlive no journal.
class Reader {
 public:
  virtual ~Reader() = default;
  /// At most `limit` records, without waiting; none at the durable end. The views are valid until the
  /// next call. Records that retention deleted are passed over: the next `seq` tells. `data_loss`
  /// GR0103 names segment and offset of a damaged record; the cursor stays before it.
  virtual Result<std::span<const Record>> next(size_t limit) = 0;
  /// Blocks until a record behind the cursor is durable; false after `patience` or `stop()`.
  virtual bool wait(Duration patience) = 0;
};

/// How a segment is stored.
enum class SegmentState { active, sealed, compressed };
std::string_view to_string(SegmentState state);

/// One segment; sizes are bytes.
struct SegmentInfo {
  uint64_t number = 0;
  SegmentState state = SegmentState::active;
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;  ///< first_seq - 1 if it holds none
  Bytes content;          ///< of its records, uncompressed
  Bytes on_disk;
};

/// How far a projection is behind the log.
struct Lag {
  std::string projection;
  uint64_t reached = 0;
  uint64_t records = 0;  ///< durable and not projected
  /// Above `lag_limit`: new work should wait (back-pressure is the caller's decision).
  bool lagging = false;
  /// Why the last batch failed; empty while all is well.
  std::string failure;
};

/// What uses space and how the log is doing; for `gantry doctor --storage` and the metrics.
struct Usage {
  std::vector<SegmentInfo> segments;
  Bytes segments_on_disk;
  Bytes prepared_on_disk;  ///< zero-filled ahead, and the reserve for a full disk
  Bytes checkpoints_on_disk;
  BlobUsage blobs;
};

/// Counters since `open`.
struct Stats {
  uint64_t records = 0;
  uint64_t bytes = 0;   ///< of frames
  uint64_t groups = 0;  ///< writes, each with one flush
  uint64_t failed_groups = 0;
  uint64_t checkpoints = 0;
  Duration flush_time{};  ///< spent in write and flush
  size_t queued = 0;      ///< now
};

/// Can it write? `reserve`: the disk is full and only `Priority::finish` is accepted. `down`: nothing is.
enum class Health { ready, reserve, down };
std::string_view to_string(Health health);

/// The door. Thread-safe, except that `add`, `open` and `stop` belong to the owner's thread.
class Journal {
 public:
  virtual ~Journal() = default;

  /// Registers; the object outlives the journal. Before `open` only.
  virtual void add(Fold& fold) = 0;
  virtual void add(Projection& projection) = 0;
  /// Locks the directory, restores the folds, starts the threads. Blocks. Call it once; after an error
  /// the journal can only be destroyed. GR0104 if a newer Gantry
  /// wrote the files, GR0103 if they are damaged, GR1002 if they are sealed and the options have no cipher,
  /// GR0001 if another process has them open.
  virtual Result<void> open() = 0;
  /// Commits what is queued, writes a checkpoint, joins the threads. Idempotent. Later appends fail
  /// with `unavailable`. The I/O threads of waiting appenders must still run.
  virtual void stop() = 0;

  /// Resumes the caller when the entry is durable and folded. `unavailable` GR0101 (not stored) or
  /// GR0102 (perhaps stored), `exhausted` GR0105 (too many wait), `invalid` (too long).
  virtual Task<Result<Appended>> append(Entry entry) = 0;
  /// All or nothing, in this order, adjacent in the log.
  virtual Task<Result<std::vector<Appended>>> append_many(std::vector<Entry> entries) = 0;

  /// The payload of the record at a location, verified. Blocks. `not_found` if its segment was
  /// deleted, `data_loss` GR0103 if it is damaged.
  virtual Result<std::string> read(Location location) = 0;
  /// A cursor whose first record is `from_seq`, or the first one that exists behind it.
  virtual std::unique_ptr<Reader> reader(uint64_t from_seq) = 0;
  /// The first sequence that is still there (1 in a new journal).
  virtual uint64_t first_seq() const = 0;
  /// The last durable and folded sequence; 0 in a new journal.
  virtual uint64_t durable_seq() const = 0;
  /// Waits without a thread until `durable_seq() >= seq`; false if the deadline or `stop()` came first.
  virtual Task<bool> until_durable(uint64_t seq, SteadyTime deadline) = 0;

  virtual std::vector<Lag> lag() const = 0;
  virtual Health health() const = 0;
  virtual Stats stats() const = 0;
  /// Walks the directories. Blocks.
  virtual Result<Usage> usage() = 0;
  virtual Blobs& blobs() = 0;

  /// Writes a checkpoint now and deletes what nobody needs. Blocks until both are done.
  virtual Result<void> tidy_up() = 0;
};

/// The embedded driver: segment files in one directory. `clock` and `random` outlive it.
std::unique_ptr<Journal> make_segments(Options options, Clock& clock, Random& random);
/// The format of the files that this driver writes, and the newest that it reads (else GR0104).
uint32_t segments_format();

}  // namespace gantry::journal
