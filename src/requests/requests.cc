#include "requests/requests.h"

#include "requests/change_desk.h"
#include "requests/history.h"
#include "requests/key_desk.h"
#include "requests/live_table.h"
#include "requests/wire_requeue.h"

namespace gantry::requests {

Requests::Requests(Parts parts, Options options)
    : parts_(parts),
      options_(options),
      desk_(std::make_unique<ChangeDesk>()),
      live_(std::make_unique<LiveTable>()),
      history_(std::make_unique<History>(parts.database, *live_)),
      keys_(std::make_unique<KeyDesk>(*live_, *history_)) {
  parts_.journal.add(*live_);
  parts_.journal.add(*history_);
}

Requests::~Requests() = default;

void Requests::add_listener(QueueListener& listener) { live_->add_listener(listener); }
RequestId Requests::make_id() { return RequestId::make(parts_.clock, parts_.random); }
const Options& Requests::options() const { return options_; }
journal::Blobs& Requests::blobs() { return parts_.journal.blobs(); }

Task<Result<journal::Appended>> Requests::append(journal::Kind kind, RequestId id, Scope scope, std::string head,
                                                 std::string body, journal::Priority priority) {
  return parts_.journal.append({.kind = kind,
                                .scope = std::move(scope),
                                .entity = id.bytes(),
                                .head = std::move(head),
                                .body = std::move(body),
                                .priority = priority});
}

Task<Result<void>> Requests::start() {
  auto done = co_await append(server_started, RequestId{}, Scope::standard(), {}, {}, journal::Priority::finish);
  if (!done) co_return std::unexpected(std::move(done).error().wrap("record the start of the server"));
  co_return Result<void>{};
}

Task<Result<void>> Requests::accept(Acceptance acceptance) {
  const AgentId agent = acceptance.record.agent_id;
  const bool waits = !acceptance.record.first_instance;
  if (waits) {
    const AcceptedRecord& record = acceptance.record;
    const size_t most =
        acceptance.queue_limit == 0 ? options_.pending_limit : std::min(acceptance.queue_limit, options_.pending_limit);
    if (!live_->admit(record.agent_id, record.principal, most, parts_.clock.now()))
      co_return fail(ErrorId::GR0402, "{} requests may wait for agent '{}'", most, record.agent);
  }
  std::string head;
  head.reserve(512);
  encode(acceptance.record, head);
  auto done = co_await append(request_accepted, acceptance.id, std::move(acceptance.scope), std::move(head),
                              std::move(acceptance.inline_body), journal::Priority::accept);
  if (waits) live_->arrived(agent);
  if (!done) co_return std::unexpected(std::move(done).error().wrap("journal the request"));
  co_return Result<void>{};
}

Task<Result<void>> Requests::begin_attempt(RequestId id, Scope scope, AttemptRecord record) {
  std::string head;
  encode(record, head);
  auto done = co_await append(attempt_started, id, std::move(scope), std::move(head), {}, journal::Priority::finish);
  if (!done) co_return std::unexpected(std::move(done).error().wrap("journal the attempt"));
  co_return Result<void>{};
}

Task<Result<void>> Requests::end_attempt(RequestId id, Scope scope, AttemptEndedRecord record) {
  std::string head;
  encode(record, head);
  auto done = co_await append(attempt_ended, id, std::move(scope), std::move(head), {}, journal::Priority::finish);
  if (!done) co_return std::unexpected(std::move(done).error().wrap("journal the end of the attempt"));
  co_return Result<void>{};
}

Task<Result<void>> Requests::complete(RequestId id, Scope scope, CompletedRecord record, std::string inline_body) {
  std::string head;
  head.reserve(512);
  encode(record, head);
  auto done = co_await append(request_completed, id, std::move(scope), std::move(head), std::move(inline_body),
                              journal::Priority::finish);
  if (!done) co_return std::unexpected(std::move(done).error().wrap("journal the answer"));
  co_return Result<void>{};
}

Task<Result<void>> Requests::bury(RequestId id, Scope scope, FailedRecord record) {
  std::string head;
  encode(record, head);
  auto done = co_await append(request_failed, id, std::move(scope), std::move(head), {}, journal::Priority::finish);
  if (!done) co_return std::unexpected(std::move(done).error().wrap("journal the dead letter"));
  co_return Result<void>{};
}

Task<Result<void>> Requests::cancel(Scope scope, RequestId id, std::string reason) {
  GANTRY_CO_TRY(RequestView view, co_await get(scope, id));
  if (!view.state.finished()) {
    std::string head;
    encode(FailedRecord{.number = view.state.attempts, .outcome = Outcome::cancelled, .reason = reason}, head);
    auto done = co_await append(request_cancelled, id, scope, std::move(head), {}, journal::Priority::finish);
    if (!done) co_return std::unexpected(std::move(done).error().wrap("journal the cancellation"));
    // It may have ended in the meantime: the first end counts.
    GANTRY_CO_TRY(view, co_await get(scope, id));
  }
  if (view.state.status == Status::cancelled) co_return Result<void>{};
  co_return fail(Code::conflict, "request {} is {} already", id, to_string(view.state.status));
}

Task<Result<KeyClaim>> Requests::claim_key(KeyName name, crypto::Digest fingerprint) {
  return keys_->claim(std::move(name), fingerprint);
}
void Requests::release_key(const KeyName& name) { keys_->release(name); }
Task<bool> Requests::wait_key(KeyName name, SteadyTime deadline) { return keys_->wait(std::move(name), deadline); }

Task<Result<RequestId>> Requests::replay(Scope scope, RequestId id, std::string principal) {
  GANTRY_CO_TRY(RequestView view, co_await get(scope, id));
  GANTRY_CO_TRY(StoredRequest stored, co_await load_request(view));
  AcceptedRecord record = stored.record;
  record.principal = principal;
  record.replay_of = id;
  // A key belongs to one request, and a time has passed; what else was asked for holds for the copy, too.
  record.conditions.deadline =
      renewed_deadline(record.conditions, view.requeued ? view.requeued->at : view.created_at, parts_.clock.now());
  record.conditions.key = {};
  record.conditions.not_before = {};
  record.first_instance.reset();
  RequestId copy = make_id();
  std::string body(record.body.inline_bytes);
  GANTRY_CO_TRY_VOID(
      co_await accept({.id = copy, .scope = scope, .record = std::move(record), .inline_body = std::move(body)}));
  co_return copy;
}

Task<Result<size_t>> Requests::bury_all(AgentId agent, Scope scope, std::string reason) {
  std::vector<RequestId> ids = live_->unfinished(agent);
  for (const RequestId& id : ids) {
    auto view = live_->find(id);
    if (!view || view->state.finished()) continue;
    GANTRY_CO_TRY_VOID(
        co_await bury(id, scope, {.number = view->state.attempts, .outcome = Outcome::interrupted, .reason = reason}));
  }
  co_return ids.size();
}

std::optional<Due> Requests::claim_due(const AgentId& agent, Time now, Order order) {
  return live_->claim_due(agent, now, order);
}
void Requests::unclaim(const RequestId& id, Time not_before) { live_->unclaim(id, not_before); }
std::optional<Time> Requests::next_due(const AgentId& agent, Order order) {
  return live_->next_due(agent, parts_.clock.now(), order);
}
bool Requests::has_waiting(const AgentId& agent) const { return live_->has_waiting(agent); }
void Requests::forget_backoff(const AgentId& agent) { live_->forget_backoff(agent); }
void Requests::clock_went_back(Duration by) { live_->clock_went_back(by); }
std::vector<Overdue> Requests::take_overdue(Time now, size_t limit) { return live_->take_overdue(now, limit); }
std::optional<Time> Requests::next_deadline() const { return live_->next_deadline(); }
std::vector<AgentKey> Requests::waiting_agents() const { return live_->waiting_agents(); }

Task<Result<RequestView>> Requests::get(Scope scope, RequestId id) {
  if (auto view = live_->find(id); view && view->scope == scope) co_return std::move(*view);
  GANTRY_CO_TRY(auto row, co_await history_->find(scope, id));
  // Between the two looks it may have been requeued: then its row is gone, or of its life before.
  if (auto view = live_->find(id); view && view->scope == scope) co_return std::move(*view);
  if (row && !live_->is_purged(id)) co_return std::move(*row);
  co_return fail(ErrorId::GR0401, "there is no request {}", id);
}

std::optional<Status> Requests::live_status(const RequestId& id) const { return live_->status(id); }

Task<Result<StoredRequest>> Requests::load_request(RequestView view) {
  GANTRY_CO_TRY(Result<std::string> payload,
                co_await parts_.blocking.run([this, at = view.accepted_at] { return parts_.journal.read(at); }));
  if (!payload) co_return std::unexpected(std::move(payload).error().wrap("read the recorded request"));
  StoredRequest stored{.payload = std::make_shared<const std::string>(std::move(*payload)), .record = {}};
  GANTRY_CO_TRY(stored.record, decode_accepted(accepted_part(*stored.payload)));
  co_return stored;
}

Task<Result<StoredAnswer>> Requests::load_answer(RequestView view) {
  if (!view.final_at)
    co_return fail(Code::conflict, "request {} has no recorded answer: it is {}", view.id,
                   to_string(view.state.status));
  GANTRY_CO_TRY(Result<std::string> payload,
                co_await parts_.blocking.run([this, at = *view.final_at] { return parts_.journal.read(at); }));
  if (!payload) co_return std::unexpected(std::move(payload).error().wrap("read the recorded answer"));
  StoredAnswer stored{.payload = std::make_shared<const std::string>(std::move(*payload)), .record = {}};
  GANTRY_CO_TRY(stored.record, decode_completed(*stored.payload));
  co_return stored;
}

Task<bool> Requests::wait_finished(RequestId id, SteadyTime deadline) { return live_->wait_finished(id, deadline); }

Counts Requests::counts() const {
  Counts counts = live_->counts();
  Counts ended = history_->counts();
  counts.completed = ended.completed;
  counts.failed = ended.failed;
  counts.cancelled = ended.cancelled;
  return counts;
}

Counts Requests::counts(const AgentId& agent) const { return live_->counts(agent); }

Task<Result<std::vector<std::string>>> Requests::known_agents(Scope scope) {
  return history_->agents(std::move(scope));
}

Result<journal::BlobUsage> Requests::collect_blobs() {
  return parts_.journal.blobs().collect(
      [this](const journal::BlobId& blob) {
        if (live_->refers_to(blob)) return true;
        auto stored = history_->refers_to(blob);
        return stored.value_or(true);
      },
      {});
}

}  // namespace gantry::requests
