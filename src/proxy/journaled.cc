// Journaled requests: accepted first, then delivered by the caller's own coroutine, or later by whoever has the turn.
#include <algorithm>

#include "proxy/state.h"

namespace gantry::proxy {
namespace {

// The deadline of a caller that never comes is not "for ever", so that sums with it stay in range.
SteadyTime after(Clock& clock, Duration duration) { return clock.steady() + duration; }

}  // namespace

Task<void> Proxy::State::journaled(net::Exchange& exchange, Call call, std::shared_ptr<agents::Route> route) {
  const net::RequestHead& head = exchange.request();
  Inbound inbound;
  inbound.id = parts_.requests.make_id();
  inbound.id_text = inbound.id.to_string();
  inbound.route = route;
  inbound.spec = route->spec();
  inbound.call = std::move(call);
  inbound.preference = parse_preference(head.headers, options_.longest_wait);
  auto asked = parse_asked(head.headers, parts_.clock.now());
  if (asked && !asked->key && inbound.spec->persistence.require_key)
    asked = std::unexpected(Error(ErrorId::GR0409, fmt::format("agent '{}' wants an Idempotency-Key", route->name()))
                                .with_hint("send a new one with each new request, and the same one to repeat it"));
  if (!asked) {
    co_await net::respond_error(exchange, asked.error(), inbound.id_text);
    co_return;
  }
  inbound.asked = std::move(*asked);
  inbound.policy = inbound.asked.retry.applied_to(inbound.spec->persistence.retry);
  if (const Duration within = inbound.asked.deadline.value_or(inbound.policy.deadline); within != Duration{})
    inbound.deadline = std::max(parts_.clock.now(), inbound.asked.not_before) + within;
  inbound.method = head.method;
  inbound.framing = head.framing.kind;
  inbound.headers = passable(head.headers, net::Direction::request, inbound.call.authorization);
  if (!head.headers.find("traceparent")) {
    inbound.traceparent = make_traceparent(parts_.random);
    inbound.headers.push_back({"traceparent", inbound.traceparent});
  }
  if (auto taken = co_await take_body(exchange, inbound); !taken) {
    co_await net::respond_error(exchange, taken.error(), inbound.id_text);
    co_return;
  }
  if (inbound.asked.key && !co_await claim_key(exchange, inbound)) co_return;
  // Who comes while others wait lines up behind them, even if a slot is free in this moment. Who does not want to wait
  // at all leaves the delivery to the dispatcher, and so does who wants it later.
  std::optional<agents::Lease> lease;
  // One with an order key always lines up: only the queue knows who else has the key.
  const bool at_once =
      !inbound.preference.respond_async && inbound.asked.not_before == Time{} && inbound.asked.order_key.empty();
  if (at_once && !parts_.requests.has_waiting(route->agent())) lease = route->try_acquire(agents::OnNone::give_up);
  std::shared_ptr<Waiter> waiter;
  if (!lease && patience_of(inbound) > Duration{}) {
    // On the line before the request is accepted: the dispatcher may see it at once.
    auto enlisted = dispatcher_.enlist(route, inbound.id);
    if (!enlisted) {
      release_key(inbound);
      co_await net::respond_error(exchange, enlisted.error(), inbound.id_text);
      co_return;
    }
    waiter = *enlisted;
  }
  auto accepted = co_await accept(inbound, lease);
  release_key(inbound);
  if (!accepted) {
    if (waiter) dispatcher_.leave(route, waiter, inbound.id);
    co_await net::respond_error(exchange, accepted.error(), inbound.id_text);
    co_return;
  }
  co_await carry(exchange, inbound, std::move(lease), std::move(waiter));
}

Task<Result<void>> Proxy::State::take_body(net::Exchange& exchange, Inbound& inbound) {
  exchange.set_body_limit(options_.request_body_limit.count);
  Spool spool(parts_.requests, parts_.blocking, inbound.call.scope,
              {.keep = Bytes{UINT64_MAX}, .inline_limit = parts_.requests.options().inline_limit});
  if (inbound.asked.key) spool.digest_content();
  while (!exchange.body_complete()) {
    GANTRY_CO_TRY(std::string_view piece, co_await exchange.read_some());
    if (piece.empty()) break;
    GANTRY_CO_TRY_VOID(co_await spool.append(piece));
  }
  GANTRY_CO_TRY(inbound.body, co_await spool.finish());
  if (inbound.asked.key) inbound.body_digest = spool.take_digest();
  inbound.inline_body = std::move(spool.inline_bytes());
  inbound.body.inline_bytes = inbound.inline_body;
  inbound.trailers.assign(exchange.request_trailers().begin(), exchange.request_trailers().end());
  co_return Result<void>{};
}

Task<Result<void>> Proxy::State::accept(const Inbound& inbound, const std::optional<agents::Lease>& lease) {
  requests::AcceptedRecord record;
  record.agent_id = inbound.route->agent();
  record.agent = inbound.route->name();
  record.principal = inbound.call.principal;
  record.method = inbound.method;
  record.target = inbound.call.target;
  record.headers = inbound.headers;
  record.trailers = inbound.trailers;
  record.framing = inbound.framing;
  record.body = inbound.body;
  if (lease) record.first_instance = lease->target().instance();
  record.conditions.not_before = inbound.asked.not_before;
  record.conditions.order_key = inbound.asked.order_key;
  record.conditions.priority = inbound.asked.priority;
  record.conditions.deadline = inbound.deadline;
  record.conditions.retry = inbound.asked.retry;
  if (inbound.asked.key) {
    record.conditions.key = *inbound.asked.key;
    record.conditions.fingerprint = inbound.fingerprint;
  }
  std::string body = inbound.body.blob ? std::string{} : inbound.inline_body;
  co_return co_await parts_.requests.accept({.queue_limit = inbound.spec->queue.max,
                                             .id = inbound.id,
                                             .scope = inbound.call.scope,
                                             .record = std::move(record),
                                             .inline_body = std::move(body)});
}

void Proxy::State::release_key(const Inbound& inbound) {
  if (inbound.asked.key) parts_.requests.release_key({inbound.call.scope, inbound.route->agent(), *inbound.asked.key});
}

// How long the caller waits if the request cannot go out at once.
Duration Proxy::State::patience_of(const Inbound& inbound) const {
  if (inbound.preference.respond_async) return Duration{};
  if (inbound.preference.wait) return *inbound.preference.wait;
  if (inbound.asked.not_before != Time{}) return Duration{};
  // A busy agent is a matter of time; one that is not there is not (SPEC section 4, item 2).
  return inbound.route->availability() == agents::Availability::ready ? options_.patience : Duration{};
}

Outgoing Proxy::State::outgoing(const Inbound& inbound, uint32_t number) const {
  return {.id = inbound.id,
          .number = number,
          .method = inbound.method,
          .target = inbound.call.target,
          .headers = inbound.headers,
          .trailers = inbound.trailers,
          .framing = inbound.framing,
          .body = inbound.body};
}

// Delivers an accepted request as long as its caller is there, and leaves it to the dispatcher after that.
Task<void> Proxy::State::carry(net::Exchange& exchange, Inbound& inbound, std::optional<agents::Lease> lease,
                               std::shared_ptr<Waiter> waiter) {
  uint32_t number = 1;
  Delivery delivery{.policy = inbound.policy, .deadline = inbound.deadline};
  Duration patience = std::max(patience_of(inbound), lease ? options_.patience : Duration{});
  if (inbound.preference.wait) patience = *inbound.preference.wait;
  SteadyTime deadline = after(parts_.clock, patience);
  for (;;) {
    if (!lease) {
      std::optional<Waiter::Grant> grant;
      if (waiter) grant = co_await await_turn(exchange, inbound, waiter, deadline);
      waiter.reset();
      if (!grant) {
        co_await answer_pending(exchange, inbound);
        co_return;
      }
      number = grant->due.attempts + 1;
      delivery.failures = grant->due.failures;
      delivery.refusals = grant->due.refusals;
      lease.emplace(std::move(grant->lease));
      if (!co_await begin(inbound.id, inbound.call.scope, {.number = number, .instance = lease->target().instance()})) {
        parts_.requests.unclaim(inbound.id, parts_.clock.now() + options_.journal_retry);
        lease.reset();
        co_await answer_pending(exchange, inbound);
        co_return;
      }
    }
    Attempt attempt(attempt_parts(inbound.call.scope), lease->target(),
                    rules_of(*inbound.spec, inbound.policy, inbound.deadline), &exchange);
    bool answered = false;
    {
      auto leaving = watch_leaving(exchange, inbound);
      answered = co_await attempt.run(outgoing(inbound, number));
    }
    lease->report(attempt.went());
    if (answered && !attempt.cancelled()) {
      Settled settled = co_await settle_answer(inbound.id, inbound.call.scope, attempt, &exchange);
      if (settled == Settled::completed && attempt.cancelled()) settled = Settled::cancelled;
      if (settled == Settled::completed) co_await attempt.release();
      attempt.finish();
      if (settled == Settled::cancelled) co_await tell_cancelled(exchange, inbound, attempt);
      co_return;
    }
    if (attempt.cancelled()) {
      lease.reset();
      co_await tell_cancelled(exchange, inbound, attempt);
      co_return;
    }
    // On the line before the failure is recorded: the next turn may come at once.
    bool waits = !attempt.client_began() && attempt.client_present();
    if (waits)
      if (auto enlisted = dispatcher_.enlist(inbound.route, inbound.id)) waiter = *enlisted;
    attempt.finish();
    lease.reset();
    Settled settled = co_await settle(inbound.id, inbound.call.scope, delivery, attempt);
    if (attempt.client_began()) {
      if (waiter) dispatcher_.leave(inbound.route, waiter, inbound.id);
      exchange.abort();
      co_return;
    }
    if (settled == Settled::dead) {
      if (waiter) dispatcher_.leave(inbound.route, waiter, inbound.id);
      const bool late = attempt.outcome() == requests::Outcome::timeout;
      co_await answer_dead(exchange, inbound, late ? ErrorId::GR0405 : ErrorId::GR0404, attempt.detail());
      co_return;
    }
  }
}

Task<void> Proxy::State::answer_dead(net::Exchange& exchange, const Inbound& inbound, ErrorId id, std::string reason) {
  const bool too_late = inbound.deadline != Time{} && parts_.clock.now() >= inbound.deadline;
  Error error(too_late ? ErrorId::GR0415 : id, std::move(reason));
  co_await net::respond_error(
      exchange,
      std::move(error)
          .wrap(fmt::format("deliver request {} to agent '{}'", inbound.id_text, inbound.route->name()))
          .with_hint(fmt::format("it is a dead letter: gantry requests show {}", inbound.id_text)),
      inbound.id_text);
}

// A caller that got a part of the answer sees its connection break.
Task<void> Proxy::State::tell_cancelled(net::Exchange& exchange, const Inbound& inbound, const Attempt& attempt) {
  if (attempt.client_began())
    exchange.abort();
  else
    co_await answer_cancelled(exchange, inbound);
}

// Waits for the turn; nothing if the caller left, the deadline passed, or the request ended otherwise.
Task<std::optional<Waiter::Grant>> Proxy::State::await_turn(net::Exchange& exchange, const Inbound& inbound,
                                                            std::shared_ptr<Waiter> waiter, SteadyTime deadline) {
  auto watch = exchange.watch_client([waiter] { waiter->wake(); });
  co_await waiter->wait(deadline);
  if (inbound.asked.cancel_on_disconnect && exchange.client_gone())
    co_await cancel_for_caller(inbound.call.scope, inbound.id);
  co_return dispatcher_.leave(inbound.route, waiter, inbound.id);
}

Task<Result<void>> Proxy::State::answer_pending(net::Exchange& exchange, const Inbound& inbound) {
  auto view = co_await parts_.requests.get(inbound.call.scope, inbound.id);
  if (view && view->state.status == requests::Status::cancelled) {
    co_await answer_cancelled(exchange, inbound);
    co_return Result<void>{};
  }
  if (view && view->state.status == requests::Status::failed) {
    co_await answer_dead(exchange, inbound, ErrorId::GR0404, view->state.reason);
    co_return Result<void>{};
  }
  std::string status(view ? requests::to_string(view->state.status) : "pending");
  std::string location = "/v1/requests/" + inbound.id_text;
  std::string body = fmt::format(R"({{"request_id":"{}","status":"{}"}})", inbound.id_text, status);
  co_return co_await exchange.respond(
      202, {{"Content-Type", "application/json"}, {"Location", location}, {"Gantry-Request-Id", inbound.id_text}},
      body);
}

}  // namespace gantry::proxy
