// Watches how much the workspaces hold: no quota of the file system is available to everybody, so this
// measures, often when the disk fills and seldom when nothing changes.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "base/base.h"
#include "os/os.h"

namespace gantry::sandbox::bubblewrap {

struct UsageWatchOptions {
  Duration interval = std::chrono::seconds(2);           ///< between two walks of one tree, at least
  Duration longest_interval = std::chrono::seconds(30);  ///< of a tree that does not change
  Duration tick = std::chrono::milliseconds(200);
  /// A walk may take this share of the time, so that big trees are measured less often.
  uint32_t busy_divisor = 20;
  /// So much less free space on a disk, and all trees on it are measured at once.
  Bytes alarm = mebibytes(32);
};

/// One thread of its own; it sleeps while there is nothing to watch. Thread-safe.
class UsageWatch {
 public:
  using Exceeded = std::function<void()>;
  /// The processes that may hold files of a tree; called from the watching thread.
  using Processes = std::function<std::vector<pid_t>()>;
  UsageWatch(Clock& clock, UsageWatchOptions options);
  ~UsageWatch();
  void stop();

  /// Calls `exceeded` once, from the watching thread, when the tree holds more than `limit`.
  void add(InstanceId id, os::Fd root, Bytes limit, Processes processes, Exceeded exceeded);
  void remove(InstanceId id);
  /// What the last walk found.
  Bytes last(InstanceId id) const;

 private:
  struct Tree {
    std::shared_ptr<os::Fd> root;
    Bytes limit;
    Processes processes;
    Exceeded exceeded;
    Bytes bytes;
    uint64_t entries = 0;
    Duration interval{};
    SteadyTime due;
    uint64_t device = 0;
  };
  void run();
  bool disk_fills(std::map<uint64_t, uint64_t>& free_at_alarm);
  std::optional<InstanceId> next_due(SteadyTime now) const;
  void measure(InstanceId id, std::unique_lock<std::mutex>& lock);

  Clock& clock_;
  const UsageWatchOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::map<InstanceId, Tree> trees_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace gantry::sandbox::bubblewrap
