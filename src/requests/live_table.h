// Unfinished requests in memory: the fold over the journal, and the queues of the agents.
//
// An entry lives from its acceptance until its end is projected into the history; so look-ups by id find everything
// that the history does not hold yet. One mutex, held for well under a microsecond.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include "requests/agent_queue.h"
#include "requests/requests.h"

namespace gantry::requests {

class LiveTable final : public journal::Fold {
 public:
  LiveTable();
  ~LiveTable() override;
  void add_listener(QueueListener& listener) { listeners_.push_back(&listener); }

  // journal::Fold
  std::string_view name() const override { return "requests"; }
  void apply(const journal::Record& record) override;
  std::string checkpoint() override;
  std::unique_ptr<Snapshot> snapshot() override { return snapshot_in(entries_of_piece); }
  Result<void> restore(std::string_view bytes) override;
  void reset() override;
  bool needs(uint64_t first_seq, uint64_t last_seq) override;

  /// False if the queue of the agent is full, or a caller that has less than its share waits for the place.
  /// Else a place is kept for it until `arrived`.
  bool admit(const AgentId& agent, std::string_view caller, size_t most, Time now);
  void arrived(const AgentId& agent);
  std::optional<Due> claim_due(const AgentId& agent, Time now, Order order);
  void unclaim(const RequestId& id, Time not_before);
  std::optional<Time> next_due(const AgentId& agent, Time now, Order order);
  bool has_waiting(const AgentId& agent) const;
  size_t waiting(const AgentId& agent) const;
  std::vector<AgentKey> waiting_agents() const;
  /// Requests that failed with their instance are due at once: another one is ready.
  void forget_backoff(const AgentId& agent);
  /// The wall clock was set back: retries keep their pause. What callers put off keeps its time.
  void clock_went_back(Duration by);
  /// Requests that wait and whose deadline has passed, at most `limit`, claimed.
  std::vector<Overdue> take_overdue(Time now, size_t limit);
  /// The earliest deadline of those that are not finished.
  std::optional<Time> next_deadline() const;

  std::optional<RequestView> find(const RequestId& id) const;
  std::optional<Status> status(const RequestId& id) const;
  /// The request that holds an Idempotency-Key.
  std::optional<KeyHolder> find_key(const KeyName& name) const;
  /// At most `filter.limit` entries in the wanted order. `scanned_to` is set if it stopped before it had looked at all.
  struct Found {
    std::vector<RequestView> views;
    uint64_t scanned_to = 0;
  };
  Found list(const Scope& scope, const Filter& filter) const;
  /// Its place in the log if it is here: a row of the history with another one is of its life before.
  std::optional<uint64_t> accept_seq(const RequestId& id) const;
  /// It was purged, and the history does not know yet.
  bool is_purged(const RequestId& id) const;
  /// Ids of the unfinished requests of an agent, oldest first.
  std::vector<RequestId> unfinished(const AgentId& agent) const;
  bool refers_to(const journal::BlobId& blob) const;
  /// Of all agents, and of one.
  Counts counts() const;
  Counts counts(const AgentId& agent) const;
  Task<bool> wait_finished(RequestId id, SteadyTime deadline);

  /// Entries whose end is at or before `seq` are in the history: they are dropped here.
  void forget_projected(uint64_t seq);

  /// What the projection needs of a finished request; nullopt if it is not here.
  struct Finished {
    RequestView view;
    uint64_t final_seq = 0;
    crypto::Digest fingerprint{};
    std::optional<journal::BlobId> request_blob;
    std::optional<journal::BlobId> answer_blob;
    uint64_t blob_bytes = 0;  ///< of both
  };
  std::optional<Finished> finished(const RequestId& id) const;
  size_t size() const;
  /// `snapshot` in pieces of so many entries: half a millisecond's worth of the mutex, or what a test wants.
  static constexpr size_t entries_of_piece = 1'000;
  std::unique_ptr<Snapshot> snapshot_in(size_t entries);

 private:
  using Entry = LiveEntry;
  struct ByDeadline {
    bool operator()(const Entry* a, const Entry* b) const {
      return a->deadline != b->deadline ? a->deadline < b->deadline : a->accept_seq < b->accept_seq;
    }
  };

  void apply_locked(const journal::Record& record, std::optional<AgentKey>& queued);
  void accept(const journal::Record& record, std::optional<AgentKey>& queued);
  void restart_all(Time at);
  bool finish(Entry& entry, const journal::Record& record);
  void index(Entry& entry);
  // live_requeue.cc
  bool make_room(const journal::Record& record);
  void carry_over(Entry& entry, const journal::Record& record);
  void keep_original(const Entry& entry);
  void purge(const journal::Record& record);
  void forget_purged(uint64_t seq);
  void put_purged(Encoder& out) const;
  bool get_tail(Decoder& in);
  // live_checkpoint.cc
  class Pieces;
  void keep_for_snapshot(const Entry& entry);
  // live_list.cc
  bool list_some(const Scope& scope, const Filter& filter, uint64_t& cursor, Found& found) const;
  void forget(Entry& entry);
  Entry* entry_of(const IdBytes& id);
  void tell(const AgentKey& agent) const;
  RequestView view_of(const Entry& entry) const;
  AgentKey key_of(const Entry& entry) const;
  const Scope* intern(const Scope& scope);
  const std::string* intern(std::string_view name);
  AgentQueue& queue_of(const Entry& entry) { return queues_[entry.agent_id]; }

  mutable std::mutex mutex_;
  std::vector<QueueListener*> listeners_;  ///< complete before records are applied
  std::map<uint64_t, std::unique_ptr<Entry>> by_seq_;
  std::unordered_map<RequestId, Entry*> by_id_;
  std::map<KeyName, Entry*> by_key_;
  std::unordered_map<AgentId, AgentQueue> queues_;
  std::set<Entry*, ByDeadline> deadlines_;
  std::deque<std::pair<uint64_t, uint64_t>> ended_;  ///< (final seq, accept seq), in log order
  std::multiset<uint64_t> originals_;                ///< sequences of requests as they were before they were edited
  std::unordered_map<RequestId, uint64_t> purged_;
  std::deque<std::pair<uint64_t, RequestId>> purged_order_;
  std::set<Scope> scopes_;
  std::set<std::string, std::less<>> names_;  ///< of agents and callers
  std::unordered_map<RequestId, std::shared_ptr<Notifier>> watchers_;
  Pieces* snapshot_ = nullptr;  ///< the one that is being taken
};

}  // namespace gantry::requests
