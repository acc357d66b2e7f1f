#include "requests/live_table.h"

#include <algorithm>

#include "requests/wire_requeue.h"

namespace gantry::requests {
namespace {

bool is_end(journal::Kind kind) {
  return kind == request_completed || kind == request_failed || kind == request_cancelled;
}

}  // namespace

LiveTable::LiveTable() = default;
LiveTable::~LiveTable() = default;

void LiveTable::apply(const journal::Record& record) {
  std::optional<AgentKey> queued;
  std::shared_ptr<Notifier> watcher;
  {
    std::lock_guard lock(mutex_);
    apply_locked(record, queued);
    if (is_end(record.kind) && !watchers_.empty()) {
      auto found = watchers_.find(RequestId(record.entity));
      if (found != watchers_.end()) watcher = found->second;
    }
  }
  if (watcher) watcher->notify();
  if (queued) tell(*queued);
}

void LiveTable::tell(const AgentKey& agent) const {
  for (QueueListener* listener : listeners_) listener->queued(agent);
}

void LiveTable::apply_locked(const journal::Record& record, std::optional<AgentKey>& queued) {
  if (record.kind == request_accepted || record.kind == request_requeued) return accept(record, queued);
  if (record.kind == requests_purged) return purge(record);
  if (record.kind == server_started) return restart_all(record.time);
  Entry* entry = entry_of(record.entity);
  if (!entry) return;
  if (record.kind == attempt_started) {
    auto attempt = decode_attempt(record.payload);
    // One that does not fit must not even take the request from who has claimed it.
    if (!attempt || entry->state.status != Status::pending || attempt->number != entry->state.attempts + 1) return;
    keep_for_snapshot(*entry);
    AgentQueue& queue = queue_of(*entry);
    queue.take(*entry);
    if (apply_attempt(entry->state, *attempt, record.time)) ++queue.processing;
  } else if (record.kind == attempt_ended) {
    auto ended = decode_attempt_ended(record.payload);
    keep_for_snapshot(*entry);
    if (!ended || !apply_attempt_ended(entry->state, *ended, record.time)) return;
    --queue_of(*entry).processing;
    queue_of(*entry).put(*entry);
    queued = key_of(*entry);
  } else if (is_end(record.kind)) {
    if (finish(*entry, record)) queued = key_of(*entry);
  }
}

void LiveTable::accept(const journal::Record& record, std::optional<AgentKey>& queued) {
  auto accepted = decode_accepted_summary(accepted_part(record.payload));
  if (!accepted || (record.kind == request_requeued && !make_room(record)) || by_id_.contains(RequestId(record.entity)))
    return;
  auto entry = std::make_unique<Entry>();
  entry->id = RequestId(record.entity);
  entry->scope = intern(record.scope);
  entry->agent_id = accepted->agent_id;
  entry->agent = intern(accepted->agent);
  entry->caller = intern(accepted->principal);
  entry->method = accepted->method;
  entry->target = accepted->target;
  entry->replay_of = accepted->replay_of;
  entry->created_at = record.time;
  entry->accept_seq = record.seq;
  entry->accepted_at = record.location;
  entry->request_blob = accepted->blob;
  entry->blob_bytes = accepted->blob ? accepted->body_size : 0;
  const Conditions& conditions = accepted->conditions;
  entry->key = conditions.key;
  entry->fingerprint = conditions.fingerprint;
  entry->order_key = conditions.order_key;
  entry->priority = conditions.priority;
  entry->deadline = conditions.deadline;
  entry->state.not_before = conditions.not_before;
  if (record.kind == request_requeued) carry_over(*entry, record);
  AgentQueue& queue = queue_of(*entry);
  if (accepted->first_instance) {
    apply_attempt(entry->state, {.number = 1, .instance = *accepted->first_instance}, record.time);
    ++queue.processing;
    queue.begin(*entry);
  } else {
    queue.put(*entry);
    queued = key_of(*entry);
  }
  index(*entry);
  by_seq_.emplace_hint(by_seq_.end(), record.seq, std::move(entry));
}

void LiveTable::restart_all(Time at) {
  for (auto& [seq, entry] : by_seq_) {
    if (entry->state.status != Status::processing) continue;
    keep_for_snapshot(*entry);
    apply_restart(entry->state, at);
    --queue_of(*entry).processing;
    queue_of(*entry).put(*entry);
  }
}

// True if another request with its order key may go out now.
bool LiveTable::finish(Entry& entry, const journal::Record& record) {
  keep_for_snapshot(entry);
  bool was_processing = entry.state.status == Status::processing;
  bool fits = false;
  if (record.kind == request_completed) {
    auto completed = decode_completed_summary(record.payload);
    fits = completed && apply_completed(entry.state, *completed, record.time);
    if (fits) {
      entry.final_at = record.location;
      entry.answer_blob = completed->blob;
      if (completed->blob) entry.blob_bytes += completed->body_size;
    }
  } else {
    auto failed = decode_failed(record.payload);
    auto apply = record.kind == request_cancelled ? apply_cancelled : apply_failed;
    const bool late = failed && entry.requeued && failed->number < entry.requeued->attempts;
    fits = failed && !late && apply(entry.state, *failed, record.time);
  }
  if (!fits) return false;
  AgentQueue& queue = queue_of(entry);
  queue.take(entry);
  if (was_processing) --queue.processing;
  const bool next = queue.finish(entry);
  if (entry.deadline != Time{}) deadlines_.erase(&entry);
  entry.final_seq = record.seq;
  ended_.emplace_back(record.seq, entry.accept_seq);
  return next;
}

void LiveTable::index(Entry& entry) {
  by_id_.emplace(entry.id, &entry);
  if (!entry.key.empty()) by_key_.insert_or_assign(KeyName{*entry.scope, entry.agent_id, entry.key}, &entry);
  if (entry.deadline != Time{} && !entry.state.finished()) deadlines_.insert(&entry);
}

void LiveTable::forget(Entry& entry) {
  keep_for_snapshot(entry);
  if (!entry.key.empty()) {
    auto found = by_key_.find(KeyName{*entry.scope, entry.agent_id, entry.key});
    if (found != by_key_.end() && found->second == &entry) by_key_.erase(found);
  }
  if (entry.requeued && entry.requeued->original) originals_.erase(originals_.find(entry.requeued->original->seq));
  by_id_.erase(entry.id);
  by_seq_.erase(entry.accept_seq);
}

LiveTable::Entry* LiveTable::entry_of(const IdBytes& id) {
  auto found = by_id_.find(RequestId(id));
  return found == by_id_.end() ? nullptr : found->second;
}

bool LiveTable::admit(const AgentId& agent, std::string_view caller, size_t most, Time now) {
  std::lock_guard lock(mutex_);
  return queues_[agent].admit(intern(caller), most, now);
}

void LiveTable::arrived(const AgentId& agent) {
  std::lock_guard lock(mutex_);
  queues_[agent].arrived();
}

std::optional<Due> LiveTable::claim_due(const AgentId& agent, Time now, Order order) {
  std::lock_guard lock(mutex_);
  auto found = queues_.find(agent);
  if (found == queues_.end()) return std::nullopt;
  const Entry* entry = found->second.claim(now, order);
  if (!entry) return std::nullopt;
  const auto refusals = std::ranges::count(entry->state.log, Outcome::refused, &Attempt::outcome);
  return Due{.id = entry->id,
             .attempts = entry->state.attempts,
             .failures = entry->state.failures,
             .refusals = static_cast<uint32_t>(refusals),
             .deadline = entry->deadline};
}

void LiveTable::unclaim(const RequestId& id, Time not_before) {
  std::optional<AgentKey> queued;
  {
    std::lock_guard lock(mutex_);
    Entry* entry = entry_of(id.bytes());
    if (!entry || entry->place != Place::claimed || entry->state.status != Status::pending) return;
    entry->back_at = not_before;
    queue_of(*entry).put(*entry);
    queued = key_of(*entry);
  }
  tell(*queued);
}

std::optional<Time> LiveTable::next_due(const AgentId& agent, Time now, Order order) {
  std::lock_guard lock(mutex_);
  auto found = queues_.find(agent);
  return found == queues_.end() ? std::nullopt : found->second.next_due(now, order);
}

void LiveTable::forget_backoff(const AgentId& agent) {
  std::lock_guard lock(mutex_);
  auto found = queues_.find(agent);
  if (found != queues_.end()) found->second.forget_backoff();
}

void LiveTable::clock_went_back(Duration by) {
  std::lock_guard lock(mutex_);
  for (auto& [agent, queue] : queues_) queue.clock_went_back(by);
}

std::vector<Overdue> LiveTable::take_overdue(Time now, size_t limit) {
  std::lock_guard lock(mutex_);
  std::vector<Overdue> late;
  for (Entry* entry : deadlines_) {
    if (entry->deadline > now || late.size() == limit) break;
    if (!entry->waits()) continue;
    queue_of(*entry).claim(*entry);
    late.push_back({.id = entry->id, .agent = key_of(*entry), .attempts = entry->state.attempts});
  }
  return late;
}

std::optional<Time> LiveTable::next_deadline() const {
  std::lock_guard lock(mutex_);
  // Those under way end by themselves: their attempt knows the deadline.
  for (const Entry* entry : deadlines_)
    if (entry->waits()) return entry->deadline;
  return std::nullopt;
}

bool LiveTable::has_waiting(const AgentId& agent) const {
  std::lock_guard lock(mutex_);
  auto found = queues_.find(agent);
  return found != queues_.end() && found->second.has_waiting();
}

size_t LiveTable::waiting(const AgentId& agent) const {
  std::lock_guard lock(mutex_);
  auto found = queues_.find(agent);
  return found == queues_.end() ? 0 : found->second.waiting();
}

std::vector<AgentKey> LiveTable::waiting_agents() const {
  std::lock_guard lock(mutex_);
  std::vector<AgentKey> agents;
  for (const auto& [agent, queue] : queues_)
    if (queue.waiting() > 0) agents.push_back(key_of(queue.any()));
  return agents;
}

AgentKey LiveTable::key_of(const Entry& entry) const {
  return {.id = entry.agent_id, .scope = *entry.scope, .name = *entry.agent};
}

RequestView LiveTable::view_of(const Entry& entry) const {
  RequestView view;
  view.id = entry.id;
  view.scope = *entry.scope;
  view.agent_id = entry.agent_id;
  view.agent = *entry.agent;
  view.method = entry.method;
  view.target = entry.target;
  view.replay_of = entry.replay_of;
  view.key = entry.key;
  view.created_at = entry.created_at;
  view.accept_seq = entry.accept_seq;
  view.accepted_at = entry.accepted_at;
  view.final_seq = entry.final_seq;
  if (entry.state.status == Status::completed) view.final_at = entry.final_at;
  if (entry.requeued) view.requeued = *entry.requeued;
  view.state = entry.state;
  return view;
}

std::optional<RequestView> LiveTable::find(const RequestId& id) const {
  std::lock_guard lock(mutex_);
  auto found = by_id_.find(id);
  if (found == by_id_.end() || purged_.contains(id)) return std::nullopt;
  return view_of(*found->second);
}

std::optional<Status> LiveTable::status(const RequestId& id) const {
  std::lock_guard lock(mutex_);
  auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  return found->second->state.status;
}

std::optional<KeyHolder> LiveTable::find_key(const KeyName& name) const {
  std::lock_guard lock(mutex_);
  auto found = by_key_.find(name);
  if (found == by_key_.end() || purged_.contains(found->second->id)) return std::nullopt;
  return KeyHolder{view_of(*found->second), found->second->fingerprint};
}

std::vector<RequestId> LiveTable::unfinished(const AgentId& agent) const {
  std::lock_guard lock(mutex_);
  std::vector<RequestId> ids;
  for (const auto& [seq, entry] : by_seq_)
    if (entry->agent_id == agent && !entry->state.finished()) ids.push_back(entry->id);
  return ids;
}

bool LiveTable::refers_to(const journal::BlobId& blob) const {
  std::lock_guard lock(mutex_);
  return std::any_of(by_seq_.begin(), by_seq_.end(), [&](const auto& item) {
    const Entry& entry = *item.second;
    return entry.request_blob == blob || entry.answer_blob == blob ||
           (entry.requeued && entry.requeued->original && entry.requeued->original->blob == blob);
  });
}

Counts LiveTable::counts() const {
  std::lock_guard lock(mutex_);
  Counts counts;
  for (const auto& [id, queue] : queues_) {
    counts.pending += queue.waiting() + queue.claimed();
    counts.processing += queue.processing;
  }
  return counts;
}

Counts LiveTable::counts(const AgentId& agent) const {
  std::lock_guard lock(mutex_);
  auto found = queues_.find(agent);
  if (found == queues_.end()) return {};
  return {.pending = found->second.waiting() + found->second.claimed(), .processing = found->second.processing};
}

Task<bool> LiveTable::wait_finished(RequestId id, SteadyTime deadline) {
  for (;;) {
    std::shared_ptr<Notifier> watcher;
    Notifier::Ticket ticket = 0;
    {
      std::lock_guard lock(mutex_);
      Entry* entry = entry_of(id.bytes());
      // Not here: projected into the history, so finished.
      if (!entry || entry->state.finished()) {
        watchers_.erase(id);
        co_return true;
      }
      auto& slot = watchers_[id];
      if (!slot) slot = std::make_shared<Notifier>();
      watcher = slot;
      ticket = watcher->ticket();
    }
    if (co_await watcher->wait(ticket, deadline)) continue;
    std::lock_guard lock(mutex_);
    // The last watcher that gives up takes the slot with it: the map and this one hold it.
    if (watcher.use_count() <= 2) watchers_.erase(id);
    co_return false;
  }
}

void LiveTable::forget_projected(uint64_t seq) {
  std::lock_guard lock(mutex_);
  while (!ended_.empty() && ended_.front().first <= seq) {
    auto found = by_seq_.find(ended_.front().second);
    if (found != by_seq_.end()) forget(*found->second);
    ended_.pop_front();
  }
  forget_purged(seq);
}

std::optional<LiveTable::Finished> LiveTable::finished(const RequestId& id) const {
  std::lock_guard lock(mutex_);
  auto found = by_id_.find(id);
  if (found == by_id_.end() || !found->second->state.finished()) return std::nullopt;
  const Entry& entry = *found->second;
  return Finished{.view = view_of(entry),
                  .final_seq = entry.final_seq,
                  .fingerprint = entry.fingerprint,
                  .request_blob = entry.request_blob,
                  .answer_blob = entry.answer_blob,
                  .blob_bytes = entry.blob_bytes};
}

size_t LiveTable::size() const {
  std::lock_guard lock(mutex_);
  return by_seq_.size();
}

bool LiveTable::needs(uint64_t first_seq, uint64_t last_seq) {
  std::lock_guard lock(mutex_);
  auto found = by_seq_.lower_bound(first_seq);
  if (found != by_seq_.end() && found->first <= last_seq) return true;
  auto original = originals_.lower_bound(first_seq);
  return original != originals_.end() && *original <= last_seq;
}

void LiveTable::reset() {
  std::lock_guard lock(mutex_);
  deadlines_.clear();
  queues_.clear();
  by_key_.clear();
  by_id_.clear();
  by_seq_.clear();
  ended_.clear();
  originals_.clear();
  purged_.clear();
  purged_order_.clear();
}

const Scope* LiveTable::intern(const Scope& scope) {
  auto found = scopes_.find(scope);
  return found != scopes_.end() ? &*found : &*scopes_.insert(scope).first;
}

const std::string* LiveTable::intern(std::string_view name) {
  auto found = names_.find(name);
  return found != names_.end() ? &*found : &*names_.emplace(name).first;
}

}  // namespace gantry::requests
