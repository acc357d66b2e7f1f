// One request of the live table; private to live_table.cc and live_checkpoint.cc.
#pragma once

#include "requests/live_table.h"

namespace gantry::requests {

/// Where a pending request is: waiting in its queue, or claimed by a delivery.
enum class Place : uint8_t { none, queued, claimed };

struct LiveTable::Entry {
  RequestId id;
  const Scope* scope = nullptr;
  AgentId agent_id;
  const std::string* agent = nullptr;
  std::string method;
  std::string target;
  std::optional<RequestId> replay_of;
  std::string key;  ///< the Idempotency-Key; empty for none
  crypto::Digest fingerprint{};
  Time created_at;
  uint64_t accept_seq = 0;
  uint64_t final_seq = 0;
  journal::Location accepted_at;
  journal::Location final_at;
  std::optional<journal::BlobId> request_blob;
  std::optional<journal::BlobId> answer_blob;
  RequestState state;
  std::unique_ptr<Requeued> requeued;
  Place place = Place::none;

  /// It waits for its first delivery's time and holds nobody back; one that waits for a retry keeps its turn.
  bool is_scheduled() const {
    return state.attempts == (requeued ? requeued->attempts : 0) && state.not_before != Time{};
  }
};

}  // namespace gantry::requests
