// The live table and what undoes or forgets an end.
#include "requests/live_table.h"
#include "requests/wire_requeue.h"

namespace gantry::requests {

// The end that the record undoes may still be here, because it is not projected yet. Any other end, or none at all,
// means that somebody else was first.
bool LiveTable::make_room(const journal::Record& record) {
  auto carried = decode_carried(record.payload);
  if (!carried || purged_.contains(RequestId(record.entity))) return false;
  Entry* before = entry_of(record.entity);
  if (!before) return true;
  if (!before->state.finished() || before->final_seq != carried->requeued.ended_seq) return false;
  forget(*before);
  return true;
}

void LiveTable::carry_over(Entry& entry, const journal::Record& record) {
  auto carried = decode_carried(record.payload);
  if (!carried) return;
  entry.created_at = carried->created_at;
  entry.state.attempts = carried->requeued.attempts;
  entry.state.log = std::move(carried->log);
  entry.requeued = std::make_unique<Requeued>(carried->requeued);
  entry.requeued->at = record.time;
  keep_original(entry);
}

void LiveTable::keep_original(const Entry& entry) {
  if (entry.requeued->original) originals_.insert(entry.requeued->original->seq);
}

void LiveTable::purge(const journal::Record& record) {
  auto ids = decode_purged(record.payload);
  if (!ids) return;
  for (const RequestId& id : *ids) {
    Entry* entry = entry_of(id.bytes());
    if (entry && !entry->state.finished()) continue;
    if (purged_.emplace(id, record.seq).second) purged_order_.emplace_back(record.seq, id);
  }
}

void LiveTable::forget_purged(uint64_t seq) {
  while (!purged_order_.empty() && purged_order_.front().first <= seq) {
    purged_.erase(purged_order_.front().second);
    purged_order_.pop_front();
  }
}

bool LiveTable::is_purged(const RequestId& id) const {
  std::lock_guard lock(mutex_);
  return purged_.contains(id);
}

std::optional<uint64_t> LiveTable::accept_seq(const RequestId& id) const {
  std::lock_guard lock(mutex_);
  auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  return found->second->accept_seq;
}

void LiveTable::put_purged(Encoder& out) const {
  out.varint(purged_order_.size());
  for (const auto& [seq, id] : purged_order_) {
    out.varint(seq);
    out.id(id.bytes());
  }
}

// The end of a checkpoint: what few entries have.
bool LiveTable::get_tail(Decoder& in) {
  const uint64_t count = in.varint();
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    auto found = by_seq_.find(in.varint());
    Requeued requeued = get_requeued(in);
    if (found == by_seq_.end()) return false;
    Entry& entry = *found->second;
    entry.requeued = std::make_unique<Requeued>(requeued);
    keep_original(entry);
  }
  const uint64_t purged = in.varint();
  for (uint64_t i = 0; i < purged && in.ok(); ++i) {
    const uint64_t seq = in.varint();
    const RequestId id(in.id());
    if (purged_.emplace(id, seq).second) purged_order_.emplace_back(seq, id);
  }
  return in.ok();
}

}  // namespace gantry::requests
