// Listing the live table: a portion at a time, because the journal's writer waits for the lock.
#include "requests/live_table.h"

namespace gantry::requests {
namespace {

constexpr size_t portion = 2'000;
// Looked at by one call; a filter that fits nothing must not walk a million entries.
constexpr size_t most = 200'000;

}  // namespace

LiveTable::Found LiveTable::list(const Scope& scope, const Filter& filter) const {
  Found found;
  const bool newest_first = filter.sequence == Filter::Sequence::newest_first;
  uint64_t cursor = newest_first ? filter.before_seq : filter.after_seq;
  for (size_t looked = 0; looked < most; looked += portion)
    if (!list_some(scope, filter, cursor, found)) return found;
  found.scanned_to = cursor;
  return found;
}

// False once there is nothing more to look at. `cursor` is the last one that was looked at.
bool LiveTable::list_some(const Scope& scope, const Filter& filter, uint64_t& cursor, Found& found) const {
  std::lock_guard lock(mutex_);
  const bool newest_first = filter.sequence == Filter::Sequence::newest_first;
  auto at = newest_first && cursor == 0 ? by_seq_.end()
            : newest_first              ? by_seq_.lower_bound(cursor)
                                        : by_seq_.upper_bound(cursor);
  for (size_t i = 0; i < portion; ++i) {
    if (found.views.size() == filter.limit || at == (newest_first ? by_seq_.begin() : by_seq_.end())) return false;
    if (newest_first) --at;
    const Entry& entry = *at->second;
    cursor = at->first;
    if (!newest_first) ++at;
    if (*entry.scope != scope || purged_.contains(entry.id)) continue;
    if (matches(filter, {.id = entry.id,
                         .agent = *entry.agent,
                         .target = entry.target,
                         .key = entry.key,
                         .reason = entry.state.reason,
                         .status = entry.state.status,
                         .created_at = entry.created_at}))
      found.views.push_back(view_of(entry));
  }
  return true;
}

}  // namespace gantry::requests
