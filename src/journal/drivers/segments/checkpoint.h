// Checkpoints: the state of all folds at one point of the log, so that a start reads only what came after.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "journal/journal.h"
#include "journal/storage.h"

namespace gantry::journal::segments {

struct FoldState {
  std::string name;
  std::string bytes;
};

struct Checkpoint {
  uint64_t seq = 0;      ///< the last record that is in the states
  uint64_t segment = 0;  ///< the next record is here, or in a later segment
  uint64_t offset = 0;
  Time time;  ///< of the record `seq`
  std::vector<FoldState> folds;
};

/// One that is being made: its folds go on while their states are taken.
struct OpenCheckpoint {
  Checkpoint checkpoint;  ///< without `folds`
  struct Part {
    std::string name;
    std::unique_ptr<Fold::Snapshot> snapshot;
  };
  std::vector<Part> parts;
};

std::string encode_checkpoint(const Checkpoint& checkpoint);
/// GR0104 or GR0103. Never trusts its input.
Result<Checkpoint> decode_checkpoint(std::string_view bytes);

/// The same with the states sealed, for the scope of the server; what recovery looks at first stays readable.
Result<std::string> seal_checkpoint(std::string encoded, PayloadCipher& cipher);
/// Undoes it; what is not sealed, or damaged, comes back as it is. GR1002 if it is sealed and there is no cipher.
Result<std::string> open_checkpoint(std::string bytes, PayloadCipher* cipher);

/// The files `checkpoints/<seq>.ckpt`: the two newest are kept. Owns a thread between `start` and `stop`
/// that writes them, so that the writer of the log never waits for that. Thread-safe.
class Checkpoints {
 public:
  Checkpoints(const Options& options, Storage& storage) : options_(options), storage_(storage) {}
  ~Checkpoints() { stop(); }

  static constexpr std::string_view directory = "checkpoints";
  static constexpr size_t kept = 2;

  /// The names of all, newest first.
  Result<std::vector<std::string>> list() const;
  Result<Checkpoint> load(const std::string& name) const;
  /// `newest_seq`, `oldest_seq`: of what recovery found valid; 0 if nothing.
  void start(uint64_t newest_seq, uint64_t oldest_seq);
  /// Writes what was submitted and ends.
  void stop();

  /// Hands one over; false (and nothing happens) while the previous one is still being written.
  bool submit(OpenCheckpoint checkpoint);
  bool busy() const;
  /// Blocks until nothing is being written; the error of the last one, if it failed.
  Result<void> wait();

  uint64_t newest_seq() const { return newest_seq_.load(std::memory_order_acquire); }
  /// Recovery may have to begin behind this one: what is not older must be kept.
  uint64_t oldest_seq() const { return oldest_seq_.load(std::memory_order_acquire); }
  uint64_t written() const { return written_.load(std::memory_order_relaxed); }
  /// Of the last one that was written; 0 before the first.
  Bytes last_size() const { return {last_size_.load(std::memory_order_relaxed)}; }

 private:
  void run();
  static Checkpoint complete(OpenCheckpoint open);
  Result<void> write(const Checkpoint& checkpoint);
  void prune();

  const Options& options_;
  Storage& storage_;
  std::atomic<uint64_t> newest_seq_ = 0;
  std::atomic<uint64_t> oldest_seq_ = 0;
  std::atomic<uint64_t> written_ = 0;
  std::atomic<uint64_t> last_size_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<OpenCheckpoint> next_;
  bool writing_ = false;
  bool stopping_ = false;
  std::optional<Error> failure_;
  std::thread thread_;
};

}  // namespace gantry::journal::segments
