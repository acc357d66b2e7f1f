// The inbound pipe: every request to an agent passes through here (SPEC section 4).
//
//   journaled     method in `persistence.methods`: accepted (durable), forwarded, its answer recorded, then answered
//   pass-through  every other method, and WebSocket: forwarded at once, nothing stored
//
// A journaled request lives in two places: the coroutine of the caller that waits for its answer, and the queue of
// its agent (requests/). If an instance is free the caller's coroutine delivers it at once; otherwise it lines up, and
// the dispatcher hands it a lease when its turn comes. A caller that leaves, or that was told 202, is not missed: the
// dispatcher then delivers in the background and the answer is recorded. The last byte of an answer is held back until
// the answer is durable, so that what a caller has seen complete is never executed again.
//
// Owned by the composition root: construct before `journal.open`, `start` after it, `close` and `join` before the
// journal stops. `handle` runs on the connection's I/O thread.
//
// Example:
//
//   proxy::Proxy proxy(parts, {});
//   …
//   co_await proxy.handle(exchange, {.scope = scope, .principal = "root", .agent = "bot", .target = "/work?x=1"});
#pragma once

#include <memory>
#include <string>

#include "agents/agents.h"
#include "async/async.h"
#include "base/base.h"
#include "net/net.h"
#include "requests/requests.h"
#include "telemetry/telemetry.h"

namespace gantry::proxy {

/// Bounds and times of the proxy.
struct Options {
  /// A longer request body is refused with 413.
  Bytes request_body_limit = gibibytes(1);
  /// What is recorded of an answer; the caller gets all of it in any case.
  Bytes answer_record_limit = mebibytes(256);
  /// Requests in flight over all agents, those that wait with their caller included; more get 503.
  size_t max_in_flight = 16'384;
  /// How long a caller waits for a busy agent, or for the next attempt, before it is told 202.
  Duration patience = std::chrono::minutes(5);
  /// The longest `Prefer: wait`.
  Duration longest_wait = std::chrono::minutes(10);
  /// Callers of one agent that wait for their turn; more get 429.
  size_t max_waiting = 10'000;
  /// Background deliveries at once, over all agents.
  size_t max_background = 4'096;
  /// Between two tries to write a record that the journal refused.
  Duration journal_retry = std::chrono::milliseconds(500);
  /// How often retention and blob collection run.
  Duration housekeeping_every = std::chrono::minutes(10);
  net::PoolOptions pool;
};

/// What the proxy is built on; all outlive it.
struct Parts {
  agents::Agents& agents;
  requests::Requests& requests;
  IoThreads& threads;
  BlockingPool& blocking;
  Clock& clock;
  Random& random;
  telemetry::Logger& logger;
};

/// Who calls which agent, as the server found out from path and key.
struct Call {
  Scope scope;
  /// Of callers without a key.
  static constexpr std::string_view anonymous = "anonymous";
  std::string principal;
  std::string agent;
  std::string target;  ///< path and query as the agent shall see them
  /// Whether `Authorization` is the caller's own for the agent, or held our key, which no agent may see.
  enum class Authorization { of_agent, of_gantry } authorization = Authorization::of_agent;
};

/// See the head of this file.
class Proxy {
 public:
  /// Registers as listener of agents and requests.
  Proxy(Parts parts, Options options);
  ~Proxy();

  /// Starts delivering what waits. After the journal is open and agents have started.
  void start();
  /// No more deliveries begin and callers that wait are told 202; attempts that have not ended after `patience` are
  /// interrupted and go out again after the next start. Returns at once.
  void close(Duration patience);
  /// After `close`: returns when every delivery has ended. Idempotent. Not from an I/O thread.
  void join();

  /// Serves one exchange, to its end.
  Task<void> handle(net::Exchange& exchange, Call call);

  /// Takes a request back: one that waits never runs, one that runs has its connection closed. Its caller is told.
  /// `not_found`; `conflict` if it has ended. Durable when it returns.
  Task<Result<void>> cancel(Scope scope, RequestId id, std::string principal);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace gantry::proxy
