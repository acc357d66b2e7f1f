// Which Idempotency-Keys the history may hold: nearly every new key is told from memory, without a look at the disk.
// Private to requests/.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <vector>

#include "requests/views.h"
#include "store/store.h"

namespace gantry::requests {

/// A blocked Bloom filter: the bits of a key are in one cache line (Putze, Sanders, Singler: "Cache-, Hash- and
/// Space-Efficient Bloom Filters", 2007). 16 bits for each key of its capacity: about one wrong "maybe" in 500.
class KeyFilter {
 public:
  explicit KeyFilter(size_t capacity);

  /// False if it was there already, or seemed to be.
  bool add(uint64_t hash);
  /// False: it was never added.
  bool may_hold(uint64_t hash) const;

  size_t capacity() const { return capacity_; }
  size_t added() const { return added_; }

 private:
  using Block = std::array<uint64_t, 8>;
  size_t block_of(uint64_t hash) const { return (hash >> 32) % blocks_.size(); }

  std::vector<Block> blocks_;
  size_t capacity_;
  size_t added_ = 0;
};

/// Thread-safe. Before it has read what the tables hold it says "maybe" to everything; it grows with what is added.
class KnownKeys {
 public:
  static constexpr size_t first_capacity = 65'536;
  /// 64 MiB. With more keys than this the answers only become less often certain.
  static constexpr size_t most = size_t{1} << 25;

  explicit KnownKeys(size_t capacity = first_capacity) : first_(capacity) {}

  /// False if no row has this key; true is no answer.
  bool may_hold(const KeyName& name) const;
  /// Before a row can be found by it.
  void add(const AgentId& agent, std::string_view key);
  /// Reads the next rows, a few milliseconds' worth, if there are some to read. Blocks. One thread at a time, the one
  /// that writes rows. After an error the next call goes on.
  Result<> read_some(store::Database& database);

 private:
  /// How far the tables are read into the next filter.
  struct Reading {
    std::vector<Scope> scopes;
    size_t scope = 0;
    AgentId agent;
    std::string key;
  };
  bool begin_if_needed();
  Result<bool> read_portion(store::Database& database, Reading& reading);

  const size_t first_;
  std::optional<Reading> reading_;  ///< of the thread that writes rows

  mutable std::mutex mutex_;
  std::unique_ptr<KeyFilter> filter_;  ///< complete; null at first. Others than that thread look under mutex_
  std::unique_ptr<KeyFilter> next_;    ///< while it is filled; the same
};

}  // namespace gantry::requests
