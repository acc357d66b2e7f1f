// A disk in memory that fails, tears and loses power on command: for tests of everything that is on a journal.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "journal/storage.h"

namespace gantry::journal {

/// What goes wrong at an operation.
enum class FaultKind {
  none,
  fail,  ///< it returns an error and does nothing; a sync also forgets what it should have flushed
  tear,  ///< it returns an error and is half done: some sectors are written, or the name is changed
  cut,   ///< as `tear`, and the power is gone: every later operation fails until `restore_power`
};

struct Fault {
  FaultKind kind = FaultKind::none;
  uint64_t at = 0;      ///< the first operation, counted from 0
  uint64_t length = 1;  ///< how many operations in a row
  int number = 5;       ///< errno: EIO, ENOSPC, EROFS, …
};

/// What a power cut does to data that was not flushed.
enum class Loss {
  some,  ///< any subset of the sectors and of the names survives
  none,  ///< only the process died; the kernel writes the rest
};

/// The content survives its Storages. Thread-safe. An operation is a call that changes something.
class MemoryDisk {
 public:
  explicit MemoryDisk(uint64_t seed = 1) : random_(seed) {}

  /// A process's view. Many may exist, one after the other.
  std::unique_ptr<Storage> storage();
  void plan(Fault fault);
  /// Files that would make the sum of all sizes larger fail with ENOSPC; writes inside a file do not.
  void set_capacity(uint64_t bytes);
  uint64_t used() const;
  uint64_t operations() const;
  bool is_cut() const;
  /// After a cut, or instead of one: handles of earlier storages are dead, unflushed data is lost or not.
  void restore_power(Loss loss);

  /// Inverts bits of a byte, now and durably: bit rot.
  void corrupt(const std::string& name, uint64_t offset, uint8_t mask);
  /// The content of a file; empty if there is none.
  std::string content(const std::string& name) const;
  std::vector<std::string> names(const std::string& directory) const;
  void remove_file(const std::string& name);

 private:
  friend class MemoryFile;
  friend class MemoryStorage;
  static constexpr uint64_t sector_size = 512;

  struct Node {
    std::string now;
    std::string durable;
    std::set<uint64_t> dirty;  // sectors
    Time modified;
  };
  using NodePtr = std::shared_ptr<Node>;
  /// A change of a name that `sync_directory` has not made durable.
  struct Change {
    std::string directory;
    std::string removed;  // or empty
    std::string added;    // or empty
    NodePtr node;         // of `added`; null for a directory
  };
  struct Names {
    std::map<std::string, NodePtr> files;
    std::set<std::string> directories;
  };

  FaultKind step();
  bool has_room(const Node& node, uint64_t new_size) const;
  uint64_t sum_of_sizes() const;
  Result<void> fail_now() const;
  void change(Change change);
  static void apply(const Change& change, Names& names);
  void write(Node& node, uint64_t offset, std::string_view bytes);
  void write_torn(Node& node, uint64_t offset, std::string_view bytes);
  void flush(Node& node, bool all);
  void lose(Node& node);

  mutable std::mutex mutex_;
  SeededRandom random_;
  SystemClock clock_;
  Fault fault_;
  uint64_t capacity_ = ~uint64_t{0};
  uint64_t operations_ = 0;
  uint64_t generation_ = 0;  // of storages; older ones are dead
  bool cut_ = false;
  Names now_;
  Names durable_;
  std::vector<Change> pending_;
};

}  // namespace gantry::journal
