// State as a fold over the log, and relational tables as a projection of it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "journal/record.h"

namespace gantry::journal {

/// In-memory state that is a fold over the log. Register before `open`.
///
/// One thread at a time calls: the thread in `open`, then the writer thread. What other threads read
/// of the same state needs the fold's own lock, held shortly: the writer commits nothing meanwhile.
class Fold {
 public:
  virtual ~Fold() = default;
  /// Names its part of a checkpoint: static lifetime, never renamed, unique.
  virtual std::string_view name() const = 0;
  /// Every record, once, in order: right after it is durable and before its appender resumes, or
  /// during recovery. Same records, same state: no clock, no randomness in here.
  virtual void apply(const Record& record) = 0;
  /// The whole state, for `restore`. With its own format number inside.
  virtual std::string checkpoint() = 0;
  /// The state as it is in this moment, in pieces: another thread takes them while `apply` goes on.
  class Snapshot {
   public:
    virtual ~Snapshot() = default;
    /// Appends the next piece of what `checkpoint` would have returned; false if that was the last one.
    virtual bool append_to(std::string& out) = 0;
  };
  /// Called where `apply` is. At most one at a time, and it is gone before the fold is. For a fold whose `checkpoint`
  /// takes long: the writer commits nothing meanwhile. By default one piece, made at once.
  virtual std::unique_ptr<Snapshot> snapshot();
  /// Replaces the whole state. An error makes the journal try an older checkpoint, and refuse to
  /// open if there is none that every fold accepts.
  virtual Result<void> restore(std::string_view bytes) = 0;
  /// Back to the empty state: before an older checkpoint or the log's beginning is tried.
  virtual void reset() = 0;
  /// True while a record with `first_seq <= seq <= last_seq` may be read again by its Location.
  virtual bool needs(uint64_t first_seq, uint64_t last_seq) = 0;
};

/// Finished history in tables. The journal drives each projection on a thread of its own, in batches;
/// all calls but `needs` come from that thread. Register before `open`.
class Projection {
 public:
  virtual ~Projection() = default;
  virtual std::string_view name() const = 0;
  /// The last sequence whose effect is in the tables; 0 for none. Asked once, and after each error.
  virtual Result<uint64_t> reached() = 0;
  /// Applies a batch and stores the sequence reached in the same transaction; returns it. After an
  /// error nothing may have been applied; the batch comes again after a delay, forever.
  virtual Result<uint64_t> project(std::span<const Record> batch) = 0;
  /// True while the tables point into these records (a recorded answer that is read by Location) or
  /// retention keeps them. Called on the housekeeping thread; may block. An error means yes.
  /// Sequences that are not projected yet are needed without a question.
  virtual Result<bool> needs(uint64_t first_seq, uint64_t last_seq) = 0;
};

}  // namespace gantry::journal
