// Dead letters that go out again, under the id that they have.
#include <algorithm>

#include "audit/audit.h"
#include "requests/change_desk.h"
#include "requests/edit.h"
#include "requests/history.h"
#include "requests/wire_requeue.h"

namespace gantry::requests {
namespace {

// Requeued by one append: so much may have to be read into memory, 64 KiB for each at most.
constexpr size_t portion = 64;

Error not_dead(const RequestView& view) {
  return Error(ErrorId::GR0414, fmt::format("request {} is {}", view.id, to_string(view.state.status)))
      .with_hint(view.state.finished() ? fmt::format("gantry requests replay {} sends a copy of it", view.id)
                                       : fmt::format("gantry requests cancel {} takes it back", view.id));
}

Error held_by_another(const RequestId& id) {
  return Error(ErrorId::GR0414, fmt::format("somebody else changes request {} in this moment", id))
      .with_hint(fmt::format("gantry requests show {}", id));
}

// An end that came from outside may have left somebody behind who delivers, or is about to. Who delivered it to its end
// begins the reason with what became of the last attempt.
bool was_cut_off(const RequestState& state) {
  return state.status == Status::cancelled || state.log.empty() || state.log.back().outcome == Outcome::interrupted ||
         !state.reason.starts_with(state.log.back().detail);
}

// Then a number is passed over: what the one who was left behind still writes fits nothing any more.
Carried carried_of(const RequestView& view, const Edit& edit) {
  const uint32_t attempts = view.state.attempts + (was_cut_off(view.state) ? 1 : 0);
  Carried carried{.requeued = {.at = {}, .ended_seq = view.final_seq, .attempts = attempts, .original = {}},
                  .created_at = view.created_at,
                  .log = view.state.log};
  if (view.requeued) carried.requeued.original = view.requeued->original;
  if (!edit.empty() && !carried.requeued.original)
    carried.requeued.original = Original{.seq = view.accept_seq, .at = view.accepted_at, .blob = {}};
  return carried;
}

audit::Entry entry_of(const RequestView& view, const AcceptedRecord& before, const Requeue& how) {
  audit::Entry entry{.principal = how.principal, .action = "request.requeue", .subject = view.id.to_string()};
  entry.details["agent"] = view.agent;
  entry.details["status"] = to_string(view.state.status);
  entry.details["attempts"] = view.state.attempts;
  entry.details["not_before"] =
      how.not_before == Time{} ? json::Value(nullptr) : json::Value(format_time(how.not_before));
  entry.details["changed"] = describe(how.edit, before);
  return entry;
}

}  // namespace

Task<Result<AgentId>> Requests::may_requeue(RequestView view, Requeue how) {
  if (view.state.status != Status::failed && view.state.status != Status::cancelled)
    co_return std::unexpected(not_dead(view));
  if (!is_agent_queue(view.agent))
    co_return std::unexpected(Error(ErrorId::GR0414, fmt::format("request {} is a delivery of {}", view.id, view.agent))
                                  .with_hint(fmt::format("gantry webhooks replay {} {}",
                                                         view.agent.substr(view.agent.find(':') + 1), view.id)));
  std::optional<AgentId> agent = how.agent_of(view.scope, view.agent);
  if (!agent)
    co_return std::unexpected(Error(ErrorId::GR0501, fmt::format("there is no agent '{}' any more", view.agent))
                                  .with_hint("deploy it again, then requeue"));
  if (live_->waiting(*agent) >= options_.pending_limit)
    co_return fail(ErrorId::GR0402, "{} requests for agent '{}' wait already", options_.pending_limit, view.agent);
  co_return *agent;
}

// The record of the requeue and its entry in the audit trail.
Task<Result<void>> Requests::add_requeue(RequestView view, Requeue how, std::vector<journal::Entry>& entries) {
  GANTRY_CO_TRY(AgentId agent, co_await may_requeue(view, how));
  GANTRY_CO_TRY(StoredRequest stored, co_await load_request(view));
  GANTRY_CO_TRY(AcceptedRecord record, edited(stored.record, how.edit));
  record.agent_id = agent;
  record.first_instance.reset();
  record.conditions.deadline = renewed_deadline(record.conditions, view.requeued ? view.requeued->at : view.created_at,
                                                std::max(parts_.clock.now(), how.not_before));
  record.conditions.not_before = how.not_before;
  std::string body(record.body.blob ? std::string_view{} : record.body.inline_bytes);
  if (how.edit.body) {
    GANTRY_CO_TRY(record.body, co_await keep_body(view.scope, *how.edit.body));
    body = record.body.blob ? std::string{} : *how.edit.body;
    record.body.inline_bytes = body;
  }
  Carried carried = carried_of(view, how.edit);
  if (carried.requeued.original && carried.requeued.original->seq == view.accept_seq)
    carried.requeued.original->blob = stored.record.body.blob;
  std::string head;
  encode(carried, head);
  encode(record, head);
  entries.push_back(audit::to_record(view.scope, entry_of(view, stored.record, how)));
  entries.push_back({.kind = request_requeued,
                     .scope = view.scope,
                     .entity = view.id.bytes(),
                     .head = std::move(head),
                     .body = std::move(body),
                     .priority = journal::Priority::accept});
  co_return Result<void>{};
}

Task<Result<Body>> Requests::keep_body(Scope scope, std::string body) {
  Body kept{.size = body.size()};
  if (kept.size <= options_.inline_limit.count) co_return kept;
  GANTRY_CO_TRY(auto blob, co_await parts_.blocking.run([this, &scope, &body]() -> Result<journal::BlobRef> {
    GANTRY_TRY(auto writer, parts_.journal.blobs().create(scope));
    GANTRY_TRY_VOID(writer->write(body));
    return writer->finish();
  }));
  if (!blob) co_return std::unexpected(std::move(blob).error().wrap("store the new body"));
  kept.blob = blob->id;
  co_return kept;
}

Task<Result<void>> Requests::requeue(Scope scope, RequestId id, Requeue how) {
  GANTRY_CO_TRY_VOID(check_edit(how.edit));
  ChangeHold hold(*desk_);
  if (!hold.take(id)) co_return std::unexpected(held_by_another(id));
  GANTRY_CO_TRY(RequestView view, co_await get(scope, id));
  std::vector<journal::Entry> entries;
  GANTRY_CO_TRY_VOID(co_await add_requeue(view, how, entries));
  auto done = co_await parts_.journal.append_many(std::move(entries));
  if (!done) co_return std::unexpected(std::move(done).error().wrap("journal the requeue"));
  co_return Result<void>{};
}

// All of them are durable when this returns; their times space them out.
Task<Result<Batch>> Requests::requeue_many(Scope scope, Filter filter, Requeue how, Duration pause) {
  Batch batch;
  size_t left = std::min(filter.limit, most_changed_at_once);
  if (pause > Duration{} && how.not_before == Time{}) how.not_before = parts_.clock.now();
  filter.sequence = Filter::Sequence::oldest_first;
  if (!filter.status) filter.status = Status::failed;
  // What ends again meanwhile must not come around a second time.
  const uint64_t until = parts_.journal.durable_seq();
  do {
    filter.limit = std::min(left, portion);
    GANTRY_CO_TRY(Page page, co_await list(scope, filter));
    if (std::erase_if(page.requests, [until](const RequestView& view) { return view.accept_seq > until; }) > 0)
      page.next = 0;
    left -= page.requests.size();
    Batch before = batch;
    auto done = co_await requeue_page(scope, std::move(page.requests), how, pause, batch);
    if (!done) {
      if (before.done == 0) co_return std::unexpected(std::move(done).error());
      // What was done is said; who goes on behind it meets the error again.
      before.first_error = done.error().reason();
      co_return before;
    }
    filter.after_seq = batch.next = page.next;
  } while (batch.next != 0 && left > 0);
  co_return batch;
}

Task<Result<void>> Requests::requeue_page(Scope scope, std::vector<RequestView> page, Requeue& how, Duration pause,
                                          Batch& batch) {
  ChangeHold hold(*desk_);
  std::vector<journal::Entry> entries;
  size_t count = 0;
  for (const RequestView& listed : page) {
    auto added = co_await add_requeue_of(scope, listed.id, how, hold, entries);
    if (!added) {
      if (added.error().code() == Code::exhausted) co_return added;
      if (batch.skipped++ == 0) batch.first_error = added.error().reason();
      continue;
    }
    ++count;
    if (pause > Duration{}) {
      batch.last_at = how.not_before;
      how.not_before += pause;
      batch.next_at = how.not_before;
    }
  }
  auto done = co_await parts_.journal.append_many(std::move(entries));
  if (!done) co_return std::unexpected(std::move(done).error().wrap("journal the requeue"));
  batch.done += count;
  co_return Result<void>{};
}

Task<Result<void>> Requests::add_requeue_of(Scope scope, RequestId id, Requeue how, ChangeHold& hold,
                                            std::vector<journal::Entry>& entries) {
  if (!hold.take(id)) co_return std::unexpected(held_by_another(id));
  // Again: another may have changed it since it was listed.
  GANTRY_CO_TRY(RequestView view, co_await get(scope, id));
  co_return co_await add_requeue(view, how, entries);
}

Task<Result<StoredRequest>> Requests::load_original(RequestView view) {
  GANTRY_CHECK(view.requeued && view.requeued->original);
  view.accepted_at = view.requeued->original->at;
  return load_request(std::move(view));
}

}  // namespace gantry::requests
