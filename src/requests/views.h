// Requests as others see them, and what they are asked with. Part of the door (requests.h).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/base.h"
#include "journal/journal.h"
#include "requests/request_state.h"
#include "requests/wire.h"

namespace gantry::requests {

/// Where the request stands as its caller sent it, if it was edited since.
struct Original {
  uint64_t seq = 0;
  journal::Location at;
  std::optional<journal::BlobId> blob;
};

/// What a request knows of its life before it was requeued, the last time.
struct Requeued {
  Time at;
  uint64_t ended_seq = 0;  ///< of the record that had ended it
  uint32_t attempts = 0;   ///< begun before
  std::optional<Original> original = {};
};

/// A request as listings and `requests show` see it.
struct RequestView {
  RequestId id;
  Scope scope;
  AgentId agent_id;
  std::string agent;
  std::string method;
  std::string target;
  std::optional<RequestId> replay_of;
  std::string key;  ///< the Idempotency-Key; empty for none
  Time created_at;
  uint64_t accept_seq = 0;
  uint64_t final_seq = 0;                     ///< of the record that ended it; 0 while it is unfinished
  journal::Location accepted_at;              ///< of its AcceptedRecord
  std::optional<journal::Location> final_at;  ///< of its CompletedRecord, when completed
  std::optional<Requeued> requeued = {};      ///< in look-ups of one request; listings leave it out
  RequestState state;
};

/// An Idempotency-Key: each agent has names of its own for each scope of callers.
struct KeyName {
  Scope scope;
  AgentId agent;
  std::string key;
  friend auto operator<=>(const KeyName&, const KeyName&) = default;
};

/// The request that was accepted under a key.
struct KeyHolder {
  RequestView request;
  crypto::Digest fingerprint{};
};

/// Whether a key is the caller's to use. While `mine`, everybody else finds it `busy` until `release_key`.
struct KeyClaim {
  enum class State {
    mine,   ///< nobody used it: accept the request, then release
    held,   ///< by `holder`
    other,  ///< by `holder`, for another request
    busy,   ///< somebody is accepting a request under it in this moment
  };
  State state = State::busy;
  std::optional<RequestView> holder = {};
};

/// The `accept` of a request whose head is encoded already.
struct Acceptance {
  /// Of its agent: more waiting requests are refused. 0 for the server's own bound.
  size_t queue_limit = 0;
  RequestId id;
  Scope scope;
  AcceptedRecord record;
  std::string inline_body;  ///< becomes part of the record
};

/// A recorded request or answer with the payload that its views point into.
struct StoredRequest {
  std::shared_ptr<const std::string> payload;  ///< shared: its bytes stay where the views point, also when moved
  AcceptedRecord record;
};
struct StoredAnswer {
  std::shared_ptr<const std::string> payload;
  CompletedRecord record;
};

/// What `list` shows. Empty texts and times are no condition.
struct Filter {
  enum class Queues { all, of_agents };
  enum class Sequence { newest_first, oldest_first };

  std::string agent;
  std::optional<Status> status;
  size_t limit = 100;
  /// The cursor: only older ones (newest first), or only younger ones (oldest first); 0 from the start.
  uint64_t before_seq = 0;
  uint64_t after_seq = 0;
  Sequence sequence = Sequence::newest_first;
  Queues queues = Queues::all;  ///< without `agent`: whether deliveries of webhooks are listed, too
  Time created_before;
  Time created_after;
  std::string key;     ///< the whole Idempotency-Key
  std::string path;    ///< with `*` or `?` a pattern for the whole path, else its beginning
  std::string reason;  ///< a part of the reason, in any case
  std::string text;    ///< a part of target, reason, key or id, in any case
};
struct Page {
  std::vector<RequestView> requests;
  /// The cursor of the next page, 0 at the end. A page may hold fewer than `limit`, even none: a look has a bound.
  uint64_t next = 0;
};

/// What `matches` looks at.
struct Traits {
  RequestId id;
  std::string_view agent;
  std::string_view target;
  std::string_view key;
  std::string_view reason;
  Status status = Status::pending;
  Time created_at;
};
/// Every condition of the filter but its cursors.
bool matches(const Filter& filter, const Traits& traits);

/// What is kept of the finished requests of an agent: what is beyond any of the bounds goes, the oldest first.
struct Keep {
  Time since;          ///< those that ended at or after this
  uint64_t count = 0;  ///< 0 for no bound
  Bytes bytes{};       ///< of their records and blobs; 0 for no bound
};

/// How many requests are in each state.
struct Counts {
  uint64_t pending = 0;
  uint64_t processing = 0;
  uint64_t completed = 0;
  uint64_t failed = 0;
  uint64_t cancelled = 0;
};

/// Whether requests of an agent go out strictly in the order in which they were accepted (`concurrency: 1`), so
/// that one that waits for its next attempt holds back those behind it.
enum class Order { strict, relaxed };

/// The next request to deliver, claimed: nobody else gets it until its attempt has ended or `unclaim`.
struct Due {
  RequestId id;
  uint32_t attempts = 0;  ///< begun so far
  uint32_t failures = 0;
  uint32_t refusals = 0;  ///< connections that nobody took
  Time deadline{};        ///< the epoch for none
};

/// An agent as its queue knows it.
struct AgentKey {
  AgentId id;
  Scope scope;
  std::string name;
};

/// A request that waits although its deadline has passed.
struct Overdue {
  RequestId id;
  AgentKey agent;
  uint32_t attempts = 0;
};

/// False for a queue whose receiver is no agent (`webhook:NAME`): names of agents have no colon.
inline bool is_agent_queue(std::string_view name) { return !name.contains(':'); }

}  // namespace gantry::requests
