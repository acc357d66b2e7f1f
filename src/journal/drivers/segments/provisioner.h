// Segment files made ahead: zero-filled and durable before the writer needs them, so that a commit never
// allocates, and one of them is the reserve for finishing work on a full disk.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "journal/journal.h"
#include "journal/storage.h"

namespace gantry::journal::segments {

/// A file of zeros with a number, not yet part of the log.
struct Prepared {
  uint64_t number = 0;
  uint64_t size = 0;
  std::shared_ptr<File> file;
};

/// Owns a helper thread between `start` and `stop`. Thread-safe.
class Provisioner {
 public:
  Provisioner(const Options& options, Storage& storage) : options_(options), storage_(storage) {}
  ~Provisioner() { stop(); }

  /// How many files are kept ready: the next segment and the reserve.
  static constexpr size_t target = 2;
  /// The first segments are small, so that a small installation's journal is; from number 5 on
  /// `segment_size` rules.
  static uint64_t size_of(uint64_t number, const Options& options);

  /// `ready` was found at recovery; files made from now on are numbered from `next_number`.
  void start(std::deque<Prepared> ready, uint64_t next_number);
  void stop();

  /// The next file, waiting for one that is being made. `accept` leaves the last one as the reserve; an
  /// error says why no more can be made.
  Result<Prepared> take(Priority priority);
  /// False if no file can be made and none is left.
  bool has_reserve() const;
  /// The last attempt to make a file failed.
  bool failing() const;
  Bytes on_disk() const;

 private:
  void run();
  Result<Prepared> make(uint64_t number);
  void report(const Error& error);

  const Options& options_;
  Storage& storage_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Prepared> ready_;
  uint64_t next_number_ = 1;
  bool had_reserve_ = false;      // since then the last file is kept; a first start need not wait for it
  std::optional<Error> failure_;  // why the last attempt failed
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace gantry::journal::segments
