#include "requests/known_keys.h"

#include <cstring>

namespace gantry::requests {
namespace {

constexpr size_t bits_for_each = 16;
constexpr size_t bits_of_block = 512;
constexpr int probes = 6;
constexpr int64_t portion = 10'000;

// An agent belongs to one scope, so its id stands for both.
uint64_t hash_of(const AgentId& agent, std::string_view key) {
  uint64_t low = 0, high = 0;
  std::memcpy(&low, agent.bytes().data(), sizeof low);
  std::memcpy(&high, agent.bytes().data() + sizeof low, sizeof high);
  uint64_t hash = std::hash<std::string_view>()(key);
  for (uint64_t word : {low, high}) hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL, hash ^= hash >> 32;
  return hash;
}

// Six times nine bits of the lower half, spread over 64.
template <class Visit>
void each_probe(uint64_t hash, Visit visit) {
  uint64_t bits = (hash & 0xffffffffULL) * 0xff51afd7ed558ccdULL;
  bits ^= bits >> 33;
  for (int i = 0; i < probes; ++i, bits >>= 9) visit((bits >> 6) & 7, uint64_t{1} << (bits & 63));
}

}  // namespace

KeyFilter::KeyFilter(size_t capacity) : blocks_(capacity * bits_for_each / bits_of_block + 1), capacity_(capacity) {}

bool KeyFilter::add(uint64_t hash) {
  Block& block = blocks_[block_of(hash)];
  bool changed = false;
  each_probe(hash, [&](size_t word, uint64_t bit) {
    changed |= (block[word] & bit) == 0;
    block[word] |= bit;
  });
  if (changed) ++added_;
  return changed;
}

bool KeyFilter::may_hold(uint64_t hash) const {
  const Block& block = blocks_[block_of(hash)];
  bool all = true;
  each_probe(hash, [&](size_t word, uint64_t bit) { all &= (block[word] & bit) != 0; });
  return all;
}

bool KnownKeys::may_hold(const KeyName& name) const {
  const uint64_t hash = hash_of(name.agent, name.key);
  std::lock_guard lock(mutex_);
  return !filter_ || filter_->may_hold(hash);
}

void KnownKeys::add(const AgentId& agent, std::string_view key) {
  const uint64_t hash = hash_of(agent, key);
  std::lock_guard lock(mutex_);
  if (filter_) filter_->add(hash);
  if (next_) next_->add(hash);
}

// Retention takes keys away and the filter keeps them, so even one of the largest size is filled anew when twice its
// capacity was added. Only the thread that writes rows changes the two filters, so that it may look at them without the
// lock, and makes and frees them outside of it.
bool KnownKeys::begin_if_needed() {
  size_t capacity = first_;
  if (const KeyFilter* newest = next_ ? next_.get() : filter_.get()) {
    const bool largest = newest->capacity() >= most;
    if (next_ && (largest || next_->added() <= next_->capacity())) return true;
    if (newest->added() <= newest->capacity() * (largest ? 2 : 1)) return false;
    capacity = std::min(newest->capacity() * 4, most);
  }
  // One that turned out too small while it was filled is given up for a larger one.
  reading_.reset();
  auto larger = std::make_unique<KeyFilter>(capacity);
  std::lock_guard lock(mutex_);
  next_.swap(larger);
  return true;
}

Result<> KnownKeys::read_some(store::Database& database) {
  if (!begin_if_needed()) return {};
  if (!reading_) {
    GANTRY_TRY(auto scopes, database.scopes());
    reading_.emplace().scopes = std::move(scopes);
  }
  if (reading_->scope < reading_->scopes.size()) {
    GANTRY_TRY(const bool all, read_portion(database, *reading_));
    if (all) *reading_ = {.scopes = std::move(reading_->scopes), .scope = reading_->scope + 1, .agent = {}, .key = {}};
    if (reading_->scope < reading_->scopes.size()) return {};
  }
  reading_.reset();
  std::unique_ptr<KeyFilter> before;
  {
    std::lock_guard lock(mutex_);
    before = std::exchange(filter_, std::move(next_));
  }
  return {};
}

// True if there are no more rows in this scope.
Result<bool> KnownKeys::read_portion(store::Database& database, Reading& reading) {
  struct Row {
    AgentId agent;
    std::string key;
  };
  auto rows = database.read_blocking(reading.scopes[reading.scope], [&](store::Session& session) {
    return session.list<Row>(
        "SELECT agent_id, key FROM requests WHERE scope = :scope AND key IS NOT NULL AND (agent_id, key) > (?, ?)"
        " ORDER BY agent_id, key LIMIT ?",
        {reading.agent, reading.key, portion},
        [](const store::Row& row) { return Row{row.id<AgentId>(0), row.string(1)}; });
  });
  if (!rows) return std::unexpected(std::move(rows).error());
  for (const Row& row : *rows) add(row.agent, row.key);
  if (std::ssize(*rows) < portion) return true;
  reading.agent = rows->back().agent;
  reading.key = std::move(rows->back().key);
  return false;
}

}  // namespace gantry::requests
