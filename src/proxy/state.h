// The proxy's insides: how an exchange is served. Private to this folder.
#pragma once

#include <atomic>
#include <functional>

#include "proxy/asked.h"
#include "proxy/attempt.h"
#include "proxy/dispatcher.h"
#include "proxy/prefer.h"

namespace gantry::proxy {

/// A journaled request in the hands of its caller's coroutine.
struct Inbound {
  RequestId id;
  std::string id_text;
  std::shared_ptr<agents::Route> route;
  std::shared_ptr<const core::AgentSpec> spec;
  Call call;
  Preference preference;
  Asked asked;
  crypto::Digest body_digest{};  ///< with a key
  crypto::Digest fingerprint{};  ///< with a key
  core::Retry policy;            ///< the agent's, with what the caller asked for
  Time deadline;                 ///< the epoch for none
  std::string_view method;
  net::Framing::Kind framing = net::Framing::Kind::none;
  std::vector<net::Header> headers;
  std::vector<net::Header> trailers;
  std::string traceparent;
  requests::Body body;
  std::string inline_body;  ///< what body.inline_bytes points to
};

/// What decides about a request after an attempt without an answer.
struct Delivery {
  core::Retry policy;
  uint32_t failures = 0;  ///< before this attempt
  uint32_t refusals = 0;
  Time deadline{};  ///< the epoch for none
};

class Proxy::State final : public Background {
 public:
  State(Parts parts, Options options);

  void start();
  void close(Duration patience);
  void join();
  Task<void> handle(net::Exchange& exchange, Call call);

  // Background
  Task<void> deliver(std::shared_ptr<agents::Route> route, agents::Lease lease, requests::Due due) override;

 private:
  // pass_through.cc
  Task<void> pass_through(net::Exchange& exchange, Call call, std::shared_ptr<agents::Route> route);
  Task<void> forward(net::Exchange& exchange, Call call, std::shared_ptr<agents::Route> route, agents::Lease lease);
  /// Reasons hold paths and names that are nothing for somebody without a key.
  enum class Audience { keyed, anybody };
  Task<Result<agents::Lease>> wait_for_slot(net::Exchange& exchange, std::shared_ptr<agents::Route> route,
                                            Audience audience, Preference preference);

  std::string state_in_words(const agents::Route& route, Audience audience) const;

  // journaled.cc
  Task<void> journaled(net::Exchange& exchange, Call call, std::shared_ptr<agents::Route> route);
  Task<Result<void>> take_body(net::Exchange& exchange, Inbound& inbound);
  Task<Result<void>> accept(const Inbound& inbound, const std::optional<agents::Lease>& lease);
  Task<void> carry(net::Exchange& exchange, Inbound& inbound, std::optional<agents::Lease> lease,
                   std::shared_ptr<Waiter> waiter);
  Task<std::optional<Waiter::Grant>> await_turn(net::Exchange& exchange, const Inbound& inbound,
                                                std::shared_ptr<Waiter> waiter, SteadyTime deadline);
  Task<Result<void>> answer_pending(net::Exchange& exchange, const Inbound& inbound);
  Task<void> answer_dead(net::Exchange& exchange, const Inbound& inbound, ErrorId id, std::string reason);
  Task<void> tell_cancelled(net::Exchange& exchange, const Inbound& inbound, const Attempt& attempt);
  void release_key(const Inbound& inbound);
  Duration patience_of(const Inbound& inbound) const;
  Outgoing outgoing(const Inbound& inbound, uint32_t number) const;

  // idempotency.cc
  /// True if the request is this caller's to accept under its key; else the exchange is answered.
  Task<bool> claim_key(net::Exchange& exchange, Inbound& inbound);
  Task<void> answer_again(net::Exchange& exchange, requests::RequestView view, std::string id_text);
  Task<void> answer_held(net::Exchange& exchange, Inbound& inbound, std::optional<requests::RequestView> holder,
                         SteadyTime deadline);

  // cancel.cc
  Task<Result<void>> cancel(Scope scope, RequestId id, std::string reason);
  Task<void> cancel_for_caller(Scope scope, RequestId id);
  /// While it lives, a caller that asked for it and leaves takes its request with it.
  std::optional<net::ClientWatch> watch_leaving(net::Exchange& exchange, const Inbound& inbound);
  Task<void> answer_cancelled(net::Exchange& exchange, const Inbound& inbound);
  friend class Proxy;

  // settle.cc
  enum class Settled { completed, pending, dead, cancelled, given_up };
  Task<Settled> settle(RequestId id, Scope scope, Delivery delivery, Attempt& attempt);
  using Write = std::function<Task<Result<void>>()>;
  Task<bool> write_until_durable(Write write, net::Exchange* client, std::string id_text);
  Task<Settled> settle_answer(RequestId id, Scope scope, Attempt& attempt, net::Exchange* client);
  Task<bool> begin(RequestId id, Scope scope, requests::AttemptRecord record);

  // housekeeping.cc
  Task<void> keep_house();
  Task<void> expire_all();
  core::Retention retention_of(const Scope& scope, const std::string& agent) const;

  AttemptParts attempt_parts(Scope scope) { return {parts_, options_, pool_, attempts_here(), std::move(scope)}; }
  std::shared_ptr<Attempts> attempts_here();
  Task<void> interrupt_after(Duration patience);

  Parts parts_;
  Options options_;
  net::Pool pool_;
  Dispatcher dispatcher_;
  std::vector<std::shared_ptr<Attempts>> attempts_;  ///< one for each I/O thread
  TaskGroup tasks_;
  TaskGroup closing_;
  std::atomic<bool> ended_ = false;
  std::atomic<size_t> in_flight_ = 0;
  Notifier stopping_;
};

/// `00-<32 hex>-<16 hex>-02`: a new trace with random ids, not sampled (W3C Trace Context level 2).
std::string make_traceparent(Random& random);

}  // namespace gantry::proxy
