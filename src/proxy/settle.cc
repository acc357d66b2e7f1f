// What happens after an attempt: its outcome becomes a record, however long the journal needs.
#include "proxy/state.h"

namespace gantry::proxy {
// A refused record is tried again until the journal takes it or the server stops: after a restart the request is then
// delivered again, which is what its caller was promised. A caller that waits is told at the first refusal.
Task<bool> Proxy::State::write_until_durable(Write write, net::Exchange* client, std::string id_text) {
  for (;;) {
    auto ticket = stopping_.ticket();
    auto written = co_await write();
    if (written) co_return true;
    if (written.error().code() != Code::unavailable && written.error().code() != Code::exhausted) {
      parts_.logger.error("a record cannot be written", telemetry::field("request", id_text),
                          telemetry::field("error", written.error()));
      co_return false;
    }
    if (client && !client->started()) co_await net::respond_error(*client, written.error(), id_text);
    client = nullptr;
    if (dispatcher_.closed()) co_return false;
    co_await stopping_.wait(ticket, parts_.clock.steady() + options_.journal_retry);
  }
}

Task<Proxy::State::Settled> Proxy::State::settle_answer(RequestId id, Scope scope, Attempt& attempt,
                                                        net::Exchange* client) {
  // The common case without the machinery of trying again.
  auto first = co_await parts_.requests.complete(id, scope, attempt.record(), attempt.inline_body());
  // Cancelled in the moment in which it was answered: that end came first.
  if (first && parts_.requests.live_status(id) == requests::Status::cancelled) co_return Settled::cancelled;
  if (first) co_return Settled::completed;
  if (client && !client->started()) co_await net::respond_error(*client, first.error(), id.to_string());
  Write write = [this, id, scope, &attempt] {
    return parts_.requests.complete(id, scope, attempt.record(), attempt.inline_body());
  };
  bool written = co_await write_until_durable(std::move(write), nullptr, id.to_string());
  co_return written ? Settled::completed : Settled::given_up;
}

Task<Proxy::State::Settled> Proxy::State::settle(RequestId id, Scope scope, Delivery delivery, Attempt& attempt) {
  uint32_t number = attempt.record().number;
  requests::Verdict verdict = requests::judge({.outcome = attempt.outcome(),
                                               .failures = delivery.failures,
                                               .refusals = delivery.refusals,
                                               .retry_after = attempt.retry_after(),
                                               .deadline = delivery.deadline},
                                              parts_.clock.now(), delivery.policy, parts_.random);
  Write write;
  std::string reason = attempt.detail();
  if (verdict.dead) {
    reason = fmt::format("{}; {}", attempt.detail(), verdict.why);
    write = [this, id, scope, number, &reason, &attempt] {
      return parts_.requests.bury(
          id, scope, {.number = number, .outcome = attempt.outcome(), .reason = reason, .detail = attempt.detail()});
    };
  } else {
    write = [this, id, scope, number, verdict, &attempt] {
      return parts_.requests.end_attempt(id, scope,
                                         {.number = number,
                                          .outcome = attempt.outcome(),
                                          .detail = attempt.detail(),
                                          .next_attempt_at = verdict.next_attempt_at});
    };
  }
  if (!co_await write_until_durable(std::move(write), nullptr, id.to_string())) co_return Settled::given_up;
  co_return verdict.dead ? Settled::dead : Settled::pending;
}

Task<bool> Proxy::State::begin(RequestId id, Scope scope, requests::AttemptRecord record) {
  auto begun = co_await parts_.requests.begin_attempt(id, scope, record);
  // A request that was cancelled after it was claimed has no attempt: it must not go out.
  co_return begun.has_value() && parts_.requests.live_status(id) == requests::Status::processing;
}

// A request that nobody waits for.
Task<void> Proxy::State::deliver(std::shared_ptr<agents::Route> route, agents::Lease lease, requests::Due due) {
  auto give_back = [&] { parts_.requests.unclaim(due.id, parts_.clock.now() + options_.journal_retry); };
  Scope scope = route->scope();
  auto view = co_await parts_.requests.get(scope, due.id);
  if (!view) {
    give_back();
    co_return;
  }
  auto stored = co_await parts_.requests.load_request(*view);
  if (!stored) {
    parts_.logger.error("an accepted request cannot be read back", telemetry::field("request", due.id),
                        telemetry::field("error", stored.error()));
    if (stored.error().code() == Code::data_loss)
      co_await parts_.requests.bury(
          due.id, scope,
          {.number = due.attempts, .outcome = requests::Outcome::interrupted, .reason = stored.error().reason()});
    else
      give_back();
    co_return;
  }
  uint32_t number = due.attempts + 1;
  if (!co_await begin(due.id, scope, {.number = number, .instance = lease.target().instance()})) {
    give_back();
    co_return;
  }
  const requests::AcceptedRecord& record = stored->record;
  auto spec = route->spec();
  Delivery delivery{.policy = record.conditions.retry.applied_to(spec->persistence.retry),
                    .failures = due.failures,
                    .refusals = due.refusals,
                    .deadline = due.deadline};
  Attempt attempt(attempt_parts(scope), lease.target(), rules_of(*spec, delivery.policy, due.deadline), nullptr);
  bool answered = co_await attempt.run({.id = due.id,
                                        .number = number,
                                        .method = record.method,
                                        .target = record.target,
                                        .headers = record.headers,
                                        .trailers = record.trailers,
                                        .framing = record.framing,
                                        .body = record.body});
  if (attempt.cancelled()) co_return;
  lease.report(attempt.went());
  if (answered) {
    co_await settle_answer(due.id, scope, attempt, nullptr);
    attempt.finish();
  } else {
    attempt.finish();
    co_await settle(due.id, scope, std::move(delivery), attempt);
  }
}

}  // namespace gantry::proxy
