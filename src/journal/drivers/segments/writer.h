// The one thread that writes the log: takes what waits, writes and flushes it together, folds it, resumes
// the appenders. Everything about failed writes is here.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "journal/drivers/segments/catalog.h"
#include "journal/drivers/segments/checkpoint.h"
#include "journal/drivers/segments/durable_point.h"
#include "journal/drivers/segments/provisioner.h"
#include "journal/drivers/segments/queue.h"

namespace gantry::journal::segments {

/// What the writer works with. All outlive it.
struct WriterParts {
  const Options& options;
  Clock& clock;
  Random& random;
  Storage& storage;
  Catalog& catalog;
  Provisioner& provisioner;
  Checkpoints& checkpoints;
  DurablePoint& durable;
  const std::vector<Fold*>& folds;
};

/// Where the log ends when the writer starts.
struct LogEnd {
  uint64_t last_seq = 0;
  Time last_time;
  /// The active segment can be continued: behind its end are zeros.
  bool continues = false;
};

/// The version of a segment that is begun now.
uint32_t version_to_write(const Options& options);

class Writer {
 public:
  explicit Writer(WriterParts parts) : parts_(parts), queue_(parts_.options) {}

  void start(LogEnd end);
  /// Writes what is queued and a checkpoint, and ends.
  void stop();

  /// How much room one append may take; fits into the smallest segment.
  static uint64_t room_of_group(const Options& options);
  Queue& queue() { return queue_; }
  /// Runs between two groups and waits for it; false if the writer has ended.
  bool call(std::move_only_function<void()> job);
  /// Takes a checkpoint of the folds now. On the writer thread only.
  bool take_checkpoint();

  Health health() const;
  Stats stats() const;

 private:
  enum class Voided { yes, unknown };

  void run();
  void commit(std::vector<Pending*> group);
  Result<void> roll(Priority priority);
  void enter_catalog();
  SegmentHeader next_header(const Prepared& prepared);
  Result<void> write_group(const std::vector<Pending*>& group);
  Result<void> flush_buffer();
  void encode(const std::vector<Pending*>& group);
  void publish(const std::vector<Pending*>& group);
  bool checkpoint_is_due(bool fresh) const;
  void fold(const std::vector<Pending*>& group, uint64_t base);
  Voided abandon();
  Result<void> try_next_segment();
  void probe();
  void refuse_accepts(std::vector<Pending*>& group, const Error& error);
  static void refuse(std::vector<Pending*>& group, const Error& error);
  static void resume(const std::vector<Pending*>& group);
  uint64_t room() const;

  WriterParts parts_;
  Queue queue_;
  std::thread thread_;
  uint64_t last_seq_ = 0;
  Time last_time_;

  // The segment being written. `segment_` is null while `file_` is fresh: its header goes out with its
  // first group, and only then is it part of the log.
  std::shared_ptr<File> file_;
  SegmentPtr segment_;
  SegmentHeader header_;
  uint64_t file_size_ = 0;
  uint64_t end_ = 0;  // where the next byte of file_ goes
  uint32_t salt_crc_ = 0;
  std::string buffer_;
  RecordMaker maker_;
  uint64_t log_since_checkpoint_ = 0;

  std::optional<Error> down_;  // why nothing can be written; until `probe` succeeds
  std::atomic<Health> health_ = Health::ready;
  std::atomic<uint64_t> records_ = 0;
  std::atomic<uint64_t> bytes_ = 0;
  std::atomic<uint64_t> groups_ = 0;
  std::atomic<uint64_t> failed_groups_ = 0;
  std::atomic<int64_t> flush_ns_ = 0;
};

}  // namespace gantry::journal::segments
