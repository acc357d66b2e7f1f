// Idempotency keys: one execution for one key, and the recorded answer for everybody who comes with it later.
#include <algorithm>

#include "proxy/state.h"

namespace gantry::proxy {
namespace {

// Tells another request under the same key.
crypto::Digest fingerprint_of(const Inbound& inbound) {
  const crypto::Digest& body = inbound.body_digest;
  std::string text = fmt::format("{}\n{}\n", inbound.method, inbound.call.target);
  // SAFETY: bytes of a digest seen as char.
  text.append(reinterpret_cast<const char*>(body.data()), body.size());
  return crypto::sha256(crypto::bytes_of(text));
}

}  // namespace

Task<bool> Proxy::State::claim_key(net::Exchange& exchange, Inbound& inbound) {
  const requests::KeyName name{inbound.call.scope, inbound.route->agent(), *inbound.asked.key};
  inbound.fingerprint = fingerprint_of(inbound);
  const SteadyTime deadline = parts_.clock.steady() + inbound.preference.wait.value_or(Duration{});
  for (;;) {
    auto claim = co_await parts_.requests.claim_key(name, inbound.fingerprint);
    if (!claim) {
      co_await net::respond_error(exchange, claim.error(), inbound.id_text);
      co_return false;
    }
    switch (claim->state) {
      case requests::KeyClaim::State::mine:
        co_return true;
      case requests::KeyClaim::State::other:
        co_await net::respond_error(
            exchange,
            Error(ErrorId::GR0407, fmt::format("the key '{}' was used for {}", name.key, claim->holder->id))
                .with_hint("it had another method, path or body; use a new key for a new request"),
            inbound.id_text);
        co_return false;
      case requests::KeyClaim::State::held:
        co_await answer_held(exchange, inbound, std::move(claim->holder), deadline);
        co_return false;
      case requests::KeyClaim::State::busy:
        // The first one is being written in this moment.
        if (co_await parts_.requests.wait_key(name, deadline)) break;
        co_await answer_held(exchange, inbound, std::nullopt, deadline);
        co_return false;
    }
  }
}

Task<void> Proxy::State::answer_held(net::Exchange& exchange, Inbound& inbound,
                                     std::optional<requests::RequestView> holder, SteadyTime deadline) {
  if (holder && !holder->state.finished() && co_await parts_.requests.wait_finished(holder->id, deadline)) {
    auto view = co_await parts_.requests.get(inbound.call.scope, holder->id);
    if (view) holder = std::move(*view);
  }
  if (!holder || !holder->state.finished()) {
    std::string id = holder ? holder->id.to_string() : "";
    Error error(ErrorId::GR0408,
                fmt::format("the first request with the key '{}' is not finished", *inbound.asked.key));
    co_await net::respond_error(
        exchange, std::move(error).with_hint("try again later, or wait for its answer with the header Prefer: wait=30"),
        id);
    co_return;
  }
  std::string id = holder->id.to_string();
  co_await answer_again(exchange, std::move(*holder), std::move(id));
}

// The recorded answer, byte for byte. A dead letter has none: then what its caller was told.
Task<void> Proxy::State::answer_again(net::Exchange& exchange, requests::RequestView view, std::string id_text) {
  if (view.state.status != requests::Status::completed) {
    const bool cancelled = view.state.status == requests::Status::cancelled;
    Error error(cancelled ? ErrorId::GR0406 : ErrorId::GR0404, view.state.reason);
    std::string body = net::problem_json(error.with_hint("gantry requests show " + id_text), id_text);
    co_await exchange.respond(
        net::status_of(error),
        {{"Content-Type", "application/problem+json"}, {"Gantry-Request-Id", id_text}, {"Idempotent-Replayed", "true"}},
        body);
    co_return;
  }
  auto stored = co_await parts_.requests.load_answer(view);
  if (!stored) {
    co_await net::respond_error(exchange, stored.error(), id_text);
    co_return;
  }
  const requests::CompletedRecord& answer = stored->record;
  if (!answer.body.complete) {
    co_await net::respond_error(
        exchange, Error(Code::data_loss, "only the beginning of the answer was recorded: it was too long"), id_text);
    co_return;
  }
  std::vector<net::Header> headers(answer.headers.begin(), answer.headers.end());
  headers.push_back({"Gantry-Request-Id", id_text});
  headers.push_back({"Idempotent-Replayed", "true"});
  if (auto begun = exchange.start(answer.status, headers, net::Framing::length(answer.body.size)); !begun) {
    co_await net::respond_error(exchange, begun.error(), id_text);
    co_return;
  }
  BodySource source(parts_.requests, parts_.blocking, answer.body);
  if (source.is_inline()) {
    static_cast<void>(co_await exchange.finish(source.inline_bytes()));
    co_return;
  }
  for (;;) {
    auto piece = co_await source.next();
    if (!piece) {
      exchange.abort();
      co_return;
    }
    if (piece->empty()) break;
    if (!co_await exchange.send_body(*piece)) co_return;
  }
  static_cast<void>(co_await exchange.finish());
}

}  // namespace gantry::proxy
