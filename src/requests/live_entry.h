// One request of the live table; private to the live table and its queues.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "requests/views.h"

namespace gantry::requests {

/// Where a pending request is.
enum class Place : uint8_t {
  none,       ///< not pending
  due,        ///< it may go out
  retrying,   ///< it waits for its next attempt
  scheduled,  ///< it waits for its first delivery's time
  held,       ///< an earlier one with its order key has not finished
  claimed,    ///< a delivery has it
};

struct LiveEntry {
  RequestId id;
  const Scope* scope = nullptr;
  AgentId agent_id;
  const std::string* agent = nullptr;
  const std::string* caller = nullptr;  ///< the principal
  std::string method;
  std::string target;
  std::optional<RequestId> replay_of;
  std::string key;  ///< the Idempotency-Key; empty for none
  crypto::Digest fingerprint{};
  std::string order_key;  ///< empty for none
  uint8_t priority = usual_priority;
  Time deadline;  ///< the epoch for none
  Time created_at;
  uint64_t accept_seq = 0;
  uint64_t final_seq = 0;
  journal::Location accepted_at;
  journal::Location final_at;
  std::optional<journal::BlobId> request_blob;
  std::optional<journal::BlobId> answer_blob;
  uint64_t blob_bytes = 0;  ///< of both
  RequestState state;
  std::unique_ptr<Requeued> requeued;
  Place place = Place::none;
  Time back_at;  ///< given back by who had claimed it, not before this; not in the journal, a restart forgets it

  /// When it may go out; the epoch when at once.
  Time due_at() const { return std::max(state.not_before, back_at); }
  bool waits() const { return place != Place::none && place != Place::claimed; }
  /// It waits for its first delivery's time and holds nobody back; one that waits for a retry keeps its turn.
  bool is_scheduled() const {
    return state.attempts == (requeued ? requeued->attempts : 0) && state.not_before != Time{};
  }
};

}  // namespace gantry::requests
