// What the projection does for records that undo or forget an end, and for those of the audit trail. Private to
// history*.cc.
#pragma once

#include <array>

#include "audit/audit.h"
#include "requests/live_table.h"

namespace gantry::requests {

/// The third step of the schema: what rows know of a life before (`Requeued`).
extern const std::string_view requeue_schema;

/// Of one batch, in the order of the log.
struct Removals {
  struct Removal {
    Scope scope;
    RequestId id;
    uint64_t seq = 0;  ///< of the record
  };
  struct Deed {
    Scope scope;
    audit::Recorded recorded;
  };
  std::vector<Removal> requeued;
  std::vector<Removal> purged;
  std::vector<Deed> deeds;

  void note(const journal::Record& record);
};

/// How many rows went, by their status.
using Gone = std::array<uint64_t, 5>;
/// Before the rows of the batch are inserted: an id has one row.
Result<> take_requeued(store::Session& session, const Removals& removals, Gone& gone);
/// After that: a row may be of this batch.
Result<> take_purged(store::Session& session, const Removals& removals, Gone& gone);
Result<> write_deeds(store::Session& session, const Removals& removals);
/// The session is in the scope of the row.
Result<> insert_requeued(store::Session& session, const RequestView& view);
Result<std::optional<Requeued>> find_requeued(store::Session& session, uint64_t accept_seq);
/// True if a request as it was before it was edited is in this part of the log.
Result<bool> has_original(store::Session& session, uint64_t first_seq, uint64_t last_seq);
Result<bool> has_original(store::Session& session, const journal::BlobId& blob);

}  // namespace gantry::requests
