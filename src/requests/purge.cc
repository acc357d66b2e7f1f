// Finished requests that somebody wants gone before their retention has passed, and the trail of what retention
// removes.
#include <algorithm>

#include "audit/audit.h"
#include "requests/change_desk.h"
#include "requests/history.h"
#include "requests/wire_requeue.h"

namespace gantry::requests {
namespace {

audit::Entry entry_of(const RequestView& view, const std::string& principal) {
  audit::Entry entry{.principal = principal, .action = "request.purge", .subject = view.id.to_string()};
  entry.details["agent"] = view.agent;
  entry.details["method"] = view.method;
  entry.details["status"] = to_string(view.state.status);
  entry.details["attempts"] = view.state.attempts;
  entry.details["created_at"] = format_time(view.created_at);
  entry.details["ended_at"] = format_time(view.state.ended_at);
  return entry;
}

}  // namespace

// One record names all of them, and each has an entry in the audit trail: all durable, or none.
Task<Result<void>> Requests::append_purge(Scope scope, std::vector<RequestView> views, std::string principal) {
  if (views.empty()) co_return Result<void>{};
  std::vector<journal::Entry> entries;
  std::vector<RequestId> ids;
  for (const RequestView& view : views) {
    ids.push_back(view.id);
    entries.push_back(audit::to_record(scope, entry_of(view, principal)));
  }
  entries.push_back(
      {.kind = requests_purged, .scope = scope, .head = encode_purged(ids), .priority = journal::Priority::finish});
  auto done = co_await parts_.journal.append_many(std::move(entries));
  if (!done) co_return std::unexpected(std::move(done).error().wrap("journal the purge"));
  co_return Result<void>{};
}

Task<Result<RequestView>> Requests::may_purge(Scope scope, RequestId id, ChangeHold& hold) {
  if (!hold.take(id)) co_return fail(ErrorId::GR0414, "somebody else changes request {} in this moment", id);
  GANTRY_CO_TRY(RequestView view, co_await get(scope, id));
  if (view.state.finished()) co_return view;
  co_return std::unexpected(Error(ErrorId::GR0414, fmt::format("request {} is {}: only what has ended can be purged",
                                                               id, to_string(view.state.status)))
                                .with_hint(fmt::format("gantry requests cancel {} takes it back first", id)));
}

Task<Result<void>> Requests::purge(Scope scope, RequestId id, std::string principal) {
  ChangeHold hold(*desk_);
  GANTRY_CO_TRY(RequestView view, co_await may_purge(scope, id, hold));
  std::vector<RequestView> views;
  views.push_back(std::move(view));
  co_return co_await append_purge(scope, std::move(views), std::move(principal));
}

Task<Result<Batch>> Requests::purge_many(Scope scope, Filter filter, std::string principal) {
  Batch batch;
  size_t left = std::min(filter.limit, most_changed_at_once);
  filter.sequence = Filter::Sequence::oldest_first;
  if (!filter.status) filter.status = Status::failed;
  do {
    filter.limit = std::min(left, purged_at_once);
    GANTRY_CO_TRY(Page page, co_await list(scope, filter));
    ChangeHold hold(*desk_);
    std::vector<RequestView> views;
    for (const RequestView& listed : page.requests) {
      auto view = co_await may_purge(scope, listed.id, hold);
      if (view)
        views.push_back(std::move(*view));
      else if (batch.skipped++ == 0)
        batch.first_error = view.error().reason();
    }
    left -= page.requests.size();
    const size_t count = views.size();
    GANTRY_CO_TRY_VOID(co_await append_purge(scope, std::move(views), principal));
    batch.done += count;
    filter.after_seq = batch.next = page.next;
  } while (batch.next != 0 && left > 0);
  co_return batch;
}

Task<Result<int64_t>> Requests::expire(Scope scope, std::string agent, Keep keep) {
  GANTRY_CO_TRY(History::Expired expired, co_await history_->find_expired(scope, agent, keep));
  if (expired.count == 0) co_return int64_t{0};
  // First the entry, then the deed: what is gone has an entry even after a crash in between.
  audit::Entry entry{.principal = "gantry", .action = "requests.expire", .subject = agent};
  entry.details["count"] = expired.count;
  entry.details["ended_before"] = format_time(keep.since);
  if (keep.count != 0) entry.details["kept_count"] = keep.count;
  if (keep.bytes.count != 0) entry.details["kept_bytes"] = keep.bytes.count;
  journal::Entry record = audit::to_record(scope, entry);
  auto done = co_await parts_.journal.append(std::move(record));
  if (!done) co_return std::unexpected(std::move(done).error().wrap("journal the retention"));
  co_return co_await history_->expire(std::move(scope), std::move(agent), keep, expired);
}

}  // namespace gantry::requests
