// The audit trail: who did what to stored requests, and when. It never holds a credential or the content of a request.
//
//   Entry      one deed: principal, action, subject, details
//   to_record  the entry as a record of the journal, to be appended together with the record of the deed itself
//   write_row  the record as a row of the table, in the transaction of the projection that removes what it is about
//   Trail      records entries of its own and lists all of them
//
// Why a folder of its own: entries outlive the requests that they are about, and have a retention of their own. What
// removes or changes a request appends both records at once, so that nothing is removed without an entry. It has no
// projection of its own, because each one reads the whole journal: that of requests/ writes the rows.
//
// The composition root makes one Trail. Thread-safe; its calls are for I/O threads.
//
// Example:
//
//   GANTRY_CO_TRY_VOID(co_await trail.record(scope, {.principal = "root", .action = "request.replay",
//                                                    .subject = id.to_string(), .details = {{"copy", copy}}}));
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "async/async.h"
#include "base/base.h"
#include "journal/journal.h"
#include "json/json.h"
#include "store/store.h"

namespace gantry::audit {

/// The kind of its record; the payload is a JSON object (docs/internals/request-records.md).
inline constexpr journal::Kind audit_entry{0x0701};

/// The schema of this folder, for the composition root.
store::Migrations migrations();

/// One deed.
struct Entry {
  std::string principal;  ///< who; `gantry` for what the server does by itself
  std::string action;     ///< `request.requeue`
  std::string subject;    ///< what was touched: the id of a request, or the name of an agent
  json::Object details;   ///< never contents, never credentials
};

/// An entry in the trail.
struct Recorded {
  uint64_t seq = 0;  ///< of its record
  Time at;
  Entry entry;
};

/// What `list` shows; empty texts are no condition.
struct Filter {
  std::string action;
  std::string subject;
  std::string principal;
  Time since;  ///< the epoch for all
  size_t limit = 100;
  uint64_t before_seq = 0;  ///< the cursor: newest first, only older ones
};
struct Page {
  std::vector<Recorded> entries;
  uint64_t next = 0;  ///< the cursor of the next page, 0 at the end
};

/// The entry as a record of the journal. The deed is its neighbour in `Journal::append_many`.
journal::Entry to_record(const Scope& scope, const Entry& entry);
/// `data_loss` if the payload is no entry.
Result<Entry> from_payload(std::string_view payload);

/// Writes the row of a record of the kind `audit_entry`, once however often it is called, and leaves the session in its
/// scope.
Result<> write_row(store::Session& session, const Recorded& recorded, const Scope& scope);

/// Bounds of the trail.
struct Options {
  Duration retention = std::chrono::days(90);
  /// Of all scopes; the oldest go first.
  uint64_t max_entries = 1'000'000;
  /// The same principal that reads the same thing again within this time is recorded once.
  Duration read_window = std::chrono::minutes(1);
  /// How often old entries are removed, at most: when something is recorded.
  Duration prune_every = std::chrono::hours(1);
};

/// What it is built on; all outlive it.
struct Parts {
  journal::Journal& journal;
  store::Database& database;
  Clock& clock;
};

/// See the head of this file.
class Trail {
 public:
  Trail(Parts parts, Options options) : parts_(parts), options_(options) {}

  /// Durable when it returns.
  Task<Result<void>> record(Scope scope, Entry entry);
  /// The same for a read, unless this principal read the same within `read_window`.
  Task<Result<void>> record_read(Scope scope, Entry entry);
  /// Newest first; with everything that was durable when it was called, if the projection is not far behind.
  Task<Result<Page>> list(Scope scope, Filter filter);

 private:
  bool was_read_lately(const std::string& what);
  bool must_prune();
  Task<Result<void>> prune();
  Task<void> until_projected(uint64_t seq);

  Parts parts_;
  Options options_;
  std::mutex mutex_;
  std::map<std::string, Time> reads_;  ///< the latest; bounded
  Time pruned_at_;
};

}  // namespace gantry::audit
