#include "webhooks/deliverer.h"

#include <algorithm>

namespace gantry::webhooks {
namespace {

// Without a reason to look earlier.
constexpr Duration longest_pause = std::chrono::seconds(60);

}  // namespace

Deliverer::Deliverer(Parts parts, Registry& registry, const Options& options)
    : parts_(parts), registry_(registry), options_(options) {
  for (size_t i = 0; i < parts.threads.size(); ++i) lanes_.push_back(std::make_shared<Lane>());
}

Deliverer::~Deliverer() = default;

void Deliverer::start() {
  {
    std::lock_guard lock(mutex_);
    started_ = true;
  }
  for (const requests::AgentKey& queue : parts_.requests.waiting_agents()) queued(queue);
  tasks_.spawn(parts_.threads.executor(0), run());
}

void Deliverer::close(Duration patience) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
  }
  changed_.notify();
  stopping_.notify();
  closing_.spawn(parts_.threads.executor(0), interrupt_after(patience));
}

void Deliverer::join() {
  tasks_.join();
  changed_.notify();
  closing_.join();
}

Task<void> Deliverer::interrupt_after(Duration patience) {
  SteadyTime deadline = parts_.clock.steady() + patience;
  for (;;) {
    auto ticket = changed_.ticket();
    {
      std::lock_guard lock(mutex_);
      if (in_flight_overall_ == 0) co_return;
    }
    if (!co_await changed_.wait(ticket, deadline)) break;
  }
  for (size_t i = 0; i < lanes_.size(); ++i)
    asio::post(parts_.threads.executor(i), [lane = lanes_[i]] {
      lane->interrupted = true;
      for (net::ClientConnection* call : lane->calls) call->close();
    });
}

bool Deliverer::closed() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

void Deliverer::queued(const requests::AgentKey& queue) {
  if (requests::is_agent_queue(queue.name)) return;
  {
    // Recovery of the journal tells, too.
    std::lock_guard lock(mutex_);
    if (!started_) return;
  }
  if (registry_.book()->find(queue.id)) return changed_.notify();
  // The webhook went away while this delivery was on its way in, or while the server was down.
  tasks_.spawn(parts_.threads.executor(0), bury_logged(queue));
}

Task<Result<void>> Deliverer::bury(requests::AgentKey queue) {
  auto buried = co_await parts_.requests.bury_all(queue.id, queue.scope, "the webhook was removed");
  if (!buried) co_return std::unexpected(std::move(buried).error());
  co_return Result<void>{};
}

Task<void> Deliverer::bury_logged(requests::AgentKey queue) {
  auto buried = co_await bury(queue);
  if (!buried)
    parts_.logger.error("deliveries of a removed webhook could not be ended", telemetry::field("queue", queue.name),
                        telemetry::field("error", buried.error()));
}

Task<void> Deliverer::run() {
  for (;;) {
    auto ticket = changed_.ticket();
    if (closed()) co_return;
    Duration pause = serve(*registry_.book());
    co_await changed_.wait(ticket, parts_.clock.steady() + pause);
  }
}

// Starts a call for every due delivery that has a slot; how long until the next one is due.
Duration Deliverer::serve(const Book& book) {
  std::vector<RecordPointer> all;
  for (const auto& [scope, shelf] : book.by_scope) all.insert(all.end(), shelf.begin(), shelf.end());
  Time now = parts_.clock.now();
  Duration pause = longest_pause;
  ++next_webhook_;
  for (size_t i = 0; i < all.size(); ++i) {
    const RecordPointer& record = all[(next_webhook_ + i) % all.size()];
    if (!record->webhook.enabled) continue;
    AgentId queue = queue_id(record->webhook.id);
    while (take_slot(queue)) {
      auto due = parts_.requests.claim_due(queue, now, requests::Order::relaxed);
      if (!due) {
        give_slot(queue);
        break;
      }
      tasks_.spawn(parts_.threads.executor(next_thread_++ % parts_.threads.size()), deliver(record, *due));
    }
    auto next = parts_.requests.next_due(queue, requests::Order::relaxed);
    if (next && *next > now) pause = std::min<Duration>(pause, *next - now);
  }
  return std::max<Duration>(pause, std::chrono::milliseconds(1));
}

bool Deliverer::take_slot(const AgentId& queue) {
  std::lock_guard lock(mutex_);
  if (closed_ || in_flight_overall_ >= options_.max_in_flight_overall) return false;
  size_t& count = in_flight_[queue];
  if (count >= options_.max_in_flight) return false;
  ++count;
  ++in_flight_overall_;
  return true;
}

void Deliverer::give_slot(const AgentId& queue) {
  std::lock_guard lock(mutex_);
  --in_flight_overall_;
  if (--in_flight_[queue] == 0) in_flight_.erase(queue);
}

Task<void> Deliverer::deliver(RecordPointer webhook, requests::Due due) {
  co_await attempt(webhook, due);
  give_slot(queue_id(webhook->webhook.id));
  changed_.notify();
}

Task<std::optional<requests::StoredRequest>> Deliverer::load(RecordPointer webhook, requests::Due due) {
  const Scope& scope = webhook->webhook.scope;
  auto view = co_await parts_.requests.get(scope, due.id);
  if (!view) co_return std::nullopt;
  auto stored = co_await parts_.requests.load_request(*view);
  if (stored) co_return std::move(*stored);
  parts_.logger.error("a delivery cannot be read back", telemetry::field("delivery", due.id),
                      telemetry::field("error", stored.error()));
  if (stored.error().code() != Code::data_loss) co_return std::nullopt;
  requests::FailedRecord record{
      .number = due.attempts, .outcome = requests::Outcome::interrupted, .reason = stored.error().reason()};
  static_cast<void>(co_await parts_.requests.bury(due.id, scope, record));
  co_return std::nullopt;
}

Task<void> Deliverer::attempt(RecordPointer webhook, requests::Due due) {
  auto stored = co_await load(webhook, due);
  Result<void> begun = fail(Code::unavailable, "it cannot be read");
  if (stored) {
    requests::AttemptRecord record{.number = due.attempts + 1, .instance = InstanceId(webhook->webhook.id.bytes())};
    begun = co_await parts_.requests.begin_attempt(due.id, webhook->webhook.scope, record);
  }
  if (!begun) {
    parts_.requests.unclaim(due.id, parts_.clock.now() + options_.journal_retry);
    co_return;
  }
  Answer answer = co_await call(webhook, std::move(*stored));
  co_await settle(webhook, due, std::move(answer));
}

// A refused record is tried again until the journal takes it or the server stops; then the delivery goes out again
// after the next start, with the same webhook-id.
Task<void> Deliverer::write_until_durable(RequestId id, Write write) {
  RetryPlan plan{
      .backoff = {.policy = Backoff::Policy::fixed, .initial = options_.journal_retry},
      .again = [](const Error& error) { return error.code() == Code::unavailable || error.code() == Code::exhausted; },
      .sleep = [this](Duration pause) { return sleep_unless_closed(pause); },
      .clock = parts_.clock,
      .random = parts_.random};
  auto again = plan.again;
  auto written = co_await retry(std::move(plan), std::move(write));
  if (!written && !again(written.error()))
    parts_.logger.error("a record cannot be written", telemetry::field("delivery", id),
                        telemetry::field("error", written.error()));
}

// A close wakes it early, so that what waits is tried once more.
Task<bool> Deliverer::sleep_unless_closed(Duration pause) {
  auto ticket = stopping_.ticket();
  if (closed()) co_return false;
  co_await stopping_.wait(ticket, parts_.clock.steady() + pause);
  co_return true;
}

Task<void> Deliverer::settle(RecordPointer webhook, requests::Due due, Answer answer) {
  if (answer.outcome == requests::Outcome::completed)
    co_await record_answer(webhook, due, std::move(answer));
  else
    co_await record_failure(webhook, due, std::move(answer));
}

Task<void> Deliverer::record_answer(RecordPointer webhook, requests::Due due, Answer answer) {
  requests::CompletedRecord record;
  record.number = due.attempts + 1;
  record.status = static_cast<uint16_t>(answer.status);
  record.headers = {answer.headers.view().begin(), answer.headers.view().end()};
  record.body = {.inline_bytes = answer.body, .blob = {}, .size = answer.body.size(), .complete = answer.whole};
  Write write = [&] { return parts_.requests.complete(due.id, webhook->webhook.scope, record, answer.body); };
  co_await write_until_durable(due.id, std::move(write));
}

Task<void> Deliverer::record_failure(RecordPointer webhook, requests::Due due, Answer answer) {
  const Scope& scope = webhook->webhook.scope;
  uint32_t number = due.attempts + 1;
  requests::Verdict verdict =
      judge_answer(answer, due.failures + due.refusals, parts_.clock.now(), options_, parts_.random);
  requests::FailedRecord failed{.number = number, .outcome = answer.outcome, .reason = answer.detail};
  requests::AttemptEndedRecord ended{
      .number = number, .outcome = answer.outcome, .detail = answer.detail, .next_attempt_at = verdict.next_attempt_at};
  Write write = [&] {
    return verdict.dead ? parts_.requests.bury(due.id, scope, failed)
                        : parts_.requests.end_attempt(due.id, scope, ended);
  };
  co_await write_until_durable(due.id, std::move(write));
  if (verdict.dead)
    parts_.logger.warn("a delivery is a dead letter", telemetry::field("webhook", webhook->webhook.name),
                       telemetry::field("delivery", due.id), telemetry::field("reason", answer.detail));
  if (answer.status != gone_status) co_return;
  auto disabled = co_await disable(registry_, webhook, "the receiver answered 410 Gone", parts_.clock.now());
  parts_.logger.warn("webhook disabled", telemetry::field("webhook", webhook->webhook.name),
                     telemetry::field("reason", "the receiver answered 410 Gone"));
  if (!disabled)
    parts_.logger.error("a webhook could not be disabled", telemetry::field("webhook", webhook->webhook.name),
                        telemetry::field("error", disabled.error()));
}

}  // namespace gantry::webhooks
