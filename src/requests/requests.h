// Durable requests: what was accepted, what became of it, and what is to be delivered next.
//
//   Requests       the facade: accept, attempts, completion, queue, look-ups; one for the server
//   RequestState   the life of one request, pure (request_state.h)
//   change.h       what is done to requests that have ended: edit, requeue, purge
//   views.h        what goes in and comes out: requests as others see them, filters, keys
//   wire.h         the records in the journal
//   LiveTable      unfinished requests in memory: a fold over the journal (live_table.h)
//   History        finished requests in tables: a projection of it (history.h)
//
// Nothing here speaks HTTP. The proxy asks `accept` before it forwards anything, tells how each attempt ended, and
// takes the next due request of an agent from the queue. Every change is a record first; the tables follow. All
// reads look at the live table before the history, so a caller reads its own writes. Thread-safe. Calls that return
// a Task are for I/O threads; the others only touch memory.
//
// Example:
//
//   RequestId id = requests.make_id();
//   GANTRY_CO_TRY_VOID(co_await requests.accept({.id = id, .scope = scope, .head = head, .body = body}));
//   … forward …
//   GANTRY_CO_TRY_VOID(co_await requests.complete(id, scope, answer, std::move(answer_body)));
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/async.h"
#include "base/base.h"
#include "journal/journal.h"
#include "requests/change.h"
#include "requests/views.h"
#include "store/store.h"
#include "telemetry/telemetry.h"

namespace gantry::requests {

/// The kinds of this folder in the journal; their payloads are in wire.h.
inline constexpr journal::Kind server_started{0x0100};  ///< no payload: every attempt before it is interrupted
inline constexpr journal::Kind request_accepted{0x0101};
inline constexpr journal::Kind attempt_started{0x0102};
inline constexpr journal::Kind attempt_ended{0x0103};
inline constexpr journal::Kind request_completed{0x0104};
inline constexpr journal::Kind request_failed{0x0105};
inline constexpr journal::Kind request_cancelled{0x0106};
inline constexpr journal::Kind request_requeued{0x0107};
inline constexpr journal::Kind requests_purged{0x0108};  ///< names many; the entity is no id

/// The schema of this folder, for the composition root.
store::Migrations migrations();

/// Bounds of the requests of a server.
struct Options {
  /// Longer bodies are blobs.
  Bytes inline_limit = kibibytes(64);
  /// Requests of one agent that wait for delivery; more are refused with `exhausted`.
  size_t pending_limit = 1'000'000;
  /// Finished requests of agents that no longer exist are kept this long.
  Duration orphan_retention = std::chrono::days(30);
};

/// Who wants to know that a request waits for delivery. Called on the journal's thread with no lock held; must not
/// block.
class QueueListener {
 public:
  virtual ~QueueListener() = default;
  /// An agent has a request that is due, now or later.
  virtual void queued(const AgentKey& agent) = 0;
};

/// What `Requests` is built on; all outlive it.
struct Parts {
  journal::Journal& journal;
  store::Database& database;
  BlockingPool& blocking;
  Clock& clock;
  Random& random;
  telemetry::Logger& logger;
};

class LiveTable;
class History;
class KeyDesk;
class ChangeDesk;
class ChangeHold;

/// See the head of this file.
class Requests {
 public:
  /// Registers its fold and its projection; before `journal.open`.
  Requests(Parts parts, Options options);
  ~Requests();

  /// Before `journal.open`. Each hears of every queue.
  void add_listener(QueueListener& listener);
  /// After `journal.open`: what was processing when the server went away is pending again.
  Task<Result<void>> start();

  RequestId make_id();
  const Options& options() const;
  journal::Blobs& blobs();

  // ---- The life of a request. Each returns when it is durable.

  /// `exhausted` if the agent's queue is full, or the caller has its fair share of it; `unavailable` if the journal
  /// cannot write: then the request must not be forwarded.
  Task<Result<void>> accept(Acceptance acceptance);
  /// Begins delivery number `number` of a claimed request.
  Task<Result<void>> begin_attempt(RequestId id, Scope scope, AttemptRecord record);
  /// The request is pending again and no longer claimed.
  Task<Result<void>> end_attempt(RequestId id, Scope scope, AttemptEndedRecord record);
  Task<Result<void>> complete(RequestId id, Scope scope, CompletedRecord record, std::string inline_body);
  /// The request is a dead letter.
  Task<Result<void>> bury(RequestId id, Scope scope, FailedRecord record);
  /// It never runs, or its answer no longer counts; whoever delivers it must be told by the caller of this. `conflict`
  /// if it has ended otherwise; success if it was cancelled before.
  Task<Result<void>> cancel(Scope scope, RequestId id, std::string reason);
  /// Accepts a copy of a recorded request as a new one.
  Task<Result<RequestId>> replay(Scope scope, RequestId id, std::string principal);
  /// Every pending request of an agent that was removed becomes a dead letter.
  Task<Result<size_t>> bury_all(AgentId agent, Scope scope, std::string reason);

  // ---- Requests that have ended. Each change and its entry in the audit trail are durable together.

  /// A dead letter or a cancelled request is pending again under its id, with a new set of attempts. GR0414 if it is
  /// neither or somebody else was first; GR0416 for an edit that cannot be; GR0501 if its agent is gone.
  Task<Result<void>> requeue(Scope scope, RequestId id, Requeue how);
  /// Those that fit (dead letters, unless the filter says otherwise), the oldest first, `pause` apart; at most
  /// `filter.limit`.
  Task<Result<Batch>> requeue_many(Scope scope, Filter filter, Requeue how, Duration pause);
  /// Forgets a finished request, its answer and its key. GR0414 if it has not ended.
  Task<Result<void>> purge(Scope scope, RequestId id, std::string principal);
  /// As `requeue_many`.
  Task<Result<Batch>> purge_many(Scope scope, Filter filter, std::string principal);

  // ---- Idempotency keys: they live as long as their request is kept.

  /// Atomic: of many at once exactly one is told `mine`.
  Task<Result<KeyClaim>> claim_key(KeyName name, crypto::Digest fingerprint);
  /// After `mine`, whatever became of the request.
  void release_key(const KeyName& name);
  /// Waits while a key is `busy`; false if the deadline came first.
  Task<bool> wait_key(KeyName name, SteadyTime deadline);

  // ---- The queue.

  /// The next due request of an agent, claimed.
  std::optional<Due> claim_due(const AgentId& agent, Time now, Order order);
  /// Gives a claimed request back, not before `not_before`.
  void unclaim(const RequestId& id, Time not_before);
  /// When the next pending request of an agent is due; nullopt if none waits.
  std::optional<Time> next_due(const AgentId& agent, Order order);
  /// True if a request of the agent waits, claimed ones not counted: a new one must line up behind it.
  bool has_waiting(const AgentId& agent) const;
  /// An instance became ready: what waits because another one failed goes out at once.
  void forget_backoff(const AgentId& agent);
  /// The wall clock was set back by this much: requests that wait for a retry do not wait longer for it.
  void clock_went_back(Duration by);
  /// Requests that wait although their deadline has passed, at most `limit`, claimed: they are
  /// to be buried, or unclaimed.
  std::vector<Overdue> take_overdue(Time now, size_t limit);
  std::optional<Time> next_deadline() const;
  /// Agents with waiting requests.
  std::vector<AgentKey> waiting_agents() const;

  // ---- Look-ups.

  /// `not_found` in this scope.
  Task<Result<RequestView>> get(Scope scope, RequestId id);
  /// Of a request that is not in the history yet; memory only.
  std::optional<Status> live_status(const RequestId& id) const;
  Task<Result<Page>> list(Scope scope, Filter filter);
  Task<Result<StoredRequest>> load_request(RequestView view);
  /// As its caller sent it; only for one that was edited since.
  Task<Result<StoredRequest>> load_original(RequestView view);
  /// `conflict` if it is not completed.
  Task<Result<StoredAnswer>> load_answer(RequestView view);
  /// Waits until it is finished; false if the deadline came first.
  Task<bool> wait_finished(RequestId id, SteadyTime deadline);
  /// Of the whole server.
  Counts counts() const;
  /// The unfinished ones of an agent.
  Counts counts(const AgentId& agent) const;

  // ---- Housekeeping.

  /// Forgets finished requests of an agent that are beyond what is kept; how many. The audit trail knows first.
  Task<Result<int64_t>> expire(Scope scope, std::string agent, Keep keep);
  /// Names of agents that the history knows in this scope.
  Task<Result<std::vector<std::string>>> known_agents(Scope scope);
  /// Deletes blobs that no request refers to. Blocks.
  Result<journal::BlobUsage> collect_blobs();

 private:
  Task<Result<journal::Appended>> append(journal::Kind kind, RequestId id, Scope scope, std::string head,
                                         std::string body, journal::Priority priority);
  // requeue.cc and purge.cc
  Task<Result<AgentId>> may_requeue(RequestView view, Requeue how);
  Task<Result<void>> add_requeue(RequestView view, Requeue how, std::vector<journal::Entry>& entries);
  Task<Result<void>> add_requeue_of(Scope scope, RequestId id, Requeue how, ChangeHold& hold,
                                    std::vector<journal::Entry>& entries);
  Task<Result<void>> requeue_page(Scope scope, std::vector<RequestView> page, Requeue& how, Duration pause,
                                  Batch& batch);
  Task<Result<Body>> keep_body(Scope scope, std::string body);
  Task<Result<RequestView>> may_purge(Scope scope, RequestId id, ChangeHold& hold);
  Task<Result<void>> append_purge(Scope scope, std::vector<RequestView> views, std::string principal);

  Parts parts_;
  Options options_;
  std::unique_ptr<ChangeDesk> desk_;
  std::unique_ptr<LiveTable> live_;
  std::unique_ptr<History> history_;
  std::unique_ptr<KeyDesk> keys_;
};

}  // namespace gantry::requests
