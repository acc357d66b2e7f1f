// Requests that are not journaled: forwarded at once, both bodies streaming, nothing stored.
#include <algorithm>

#include "proxy/state.h"

namespace gantry::proxy {
namespace {

// Both directions of one forwarded exchange. The request is pumped beside the answer only if it has a body that is
// not here yet.
struct Relay {
  net::Exchange& exchange;
  net::ClientConnection& upstream;
  std::string_view id_text;
  Clock& clock;
  Duration timeout;
  std::optional<Error> request_error = {};
  std::optional<Error> answer_error = {};
};

Task<void> pump_request(Relay& relay) {
  while (!relay.exchange.body_complete()) {
    auto piece = co_await relay.exchange.read_some();
    if (!piece) {
      // The caller broke off: the program must not take a part for the whole.
      relay.request_error = piece.error();
      relay.upstream.close();
      co_return;
    }
    if (piece->empty()) break;
    if (!co_await relay.upstream.send_body(*piece)) co_return;
  }
  static_cast<void>(co_await relay.upstream.finish({}, relay.exchange.request_trailers()));
}

Task<Result<void>> pump_answer_body(Relay& relay) {
  for (;;) {
    relay.upstream.set_deadline(relay.clock.steady() + relay.timeout);
    GANTRY_CO_TRY(std::string_view piece, relay.upstream.read_ready());
    if (piece.empty() && !relay.upstream.complete()) {
      GANTRY_CO_TRY_VOID(co_await relay.exchange.flush());
      GANTRY_CO_TRY(piece, co_await relay.upstream.read_some());
    }
    if (relay.upstream.complete()) co_return co_await relay.exchange.finish(piece, relay.upstream.trailers());
    GANTRY_CO_TRY_VOID(co_await relay.exchange.send_body(piece));
  }
}

Task<void> pump_answer(Relay& relay) {
  auto head = co_await relay.upstream.read_head();
  if (!head) {
    relay.answer_error = head.error();
    co_return;
  }
  if (auto begun = relay.exchange.start_forward(*head, {{"Gantry-Request-Id", relay.id_text}}); !begun) {
    relay.answer_error = begun.error();
    relay.upstream.close();
    co_return;
  }
  if (head->status == 101) {
    relay.upstream.set_deadline(SteadyTime::max());
    static_cast<void>(co_await relay.exchange.tunnel(relay.upstream, std::chrono::hours(1)));
    relay.upstream.close();
    co_return;
  }
  if (auto done = co_await pump_answer_body(relay); !done) relay.answer_error = done.error();
  if (relay.answer_error || !relay.upstream.reusable()) relay.upstream.close();
}

}  // namespace

Task<void> Proxy::State::pass_through(net::Exchange& exchange, Call call, std::shared_ptr<agents::Route> route) {
  auto lease = route->try_acquire(agents::OnNone::give_up);
  if (!lease) {
    Preference preference = parse_preference(exchange.request().headers, options_.longest_wait);
    const Audience audience = call.principal == Call::anonymous ? Audience::anybody : Audience::keyed;
    auto waited = co_await wait_for_slot(exchange, route, audience, preference);
    if (!waited) {
      co_await net::respond_error(exchange, waited.error(), parts_.requests.make_id().to_string());
      co_return;
    }
    lease.emplace(std::move(*waited));
  }
  co_await forward(exchange, std::move(call), std::move(route), std::move(*lease));
}

// A route only knows whether it may send: what the agent does, and why, its supervisor knows.
std::string Proxy::State::state_in_words(const agents::Route& route, Audience audience) const {
  if (audience == Audience::anybody) return std::string(to_string(route.availability()));
  const auto agent = parts_.agents.get(route.scope(), route.name());
  if (!agent) return std::string(to_string(route.availability()));
  std::string words(to_string(agent->status));
  std::string reason = agent->reason;
  for (const auto& instance : agent->instances)
    if (reason.empty()) reason = instance.reason;
  if (!reason.empty()) words += ": " + reason;
  // Ready, and all of it busy.
  if (agent->ready > 0)
    words += fmt::format(", and its {} ready {} all they can", agent->ready,
                         agent->ready == 1 ? "instance does" : "instances do");
  return words;
}

Task<Result<agents::Lease>> Proxy::State::wait_for_slot(net::Exchange& exchange, std::shared_ptr<agents::Route> route,
                                                        Audience audience, Preference preference) {
  agents::Availability availability = route->availability();
  Duration patience = availability == agents::Availability::ready ? options_.patience : Duration{};
  // Behind an open circuit breaker it would wait for nothing that it can know of.
  if (route->reopens_at()) patience = Duration{};
  if (preference.wait) patience = *preference.wait;
  auto unavailable = [&] {
    if (route->reopens_at())
      return Error(ErrorId::GR0403,
                   fmt::format("agent '{}' failed too often: its circuit breaker is open", route->name()))
          .with_hint(fmt::format("gantry inspect {} and gantry logs {} show why; requests are let through again soon",
                                 route->name(), route->name()));
    return Error(ErrorId::GR0403, fmt::format("agent '{}' is {}", route->name(), state_in_words(*route, audience)))
        .with_hint(fmt::format("gantry inspect {} shows why; a caller can wait with the header Prefer: wait=30",
                               route->name()));
  };
  if (patience == Duration{}) co_return std::unexpected(unavailable());
  GANTRY_CO_TRY(auto waiter, dispatcher_.enlist_passing(route));
  auto watch = exchange.watch_client([waiter] { waiter->wake(); });
  co_await waiter->wait(parts_.clock.steady() + patience);
  auto grant = dispatcher_.leave(route, waiter, std::nullopt);
  if (!grant) co_return std::unexpected(unavailable());
  co_return std::move(grant->lease);
}

Task<void> Proxy::State::forward(net::Exchange& exchange, Call call, std::shared_ptr<agents::Route> route,
                                 agents::Lease lease) {
  net::RequestHead head = exchange.request();
  std::vector<net::Header> without_key;
  if (call.authorization == Call::Authorization::of_gantry) {
    for (const net::Header& header : head.headers)
      if (!equals_ignoring_case(header.name, "authorization")) without_key.push_back(header);
    head.headers = without_key;
  }
  std::string id_text = parts_.requests.make_id().to_string();
  std::string key = lease.target().instance().to_string();
  Duration timeout = route->spec()->timeout;
  std::string traceparent;
  std::vector<net::Header> extra{{"Gantry-Request-Id", id_text}, {"Gantry-Attempt", "1"}};
  if (!head.headers.find("traceparent")) {
    traceparent = make_traceparent(parts_.random);
    extra.push_back({"traceparent", traceparent});
  }
  bool has_body = !exchange.body_complete();
  exchange.set_body_limit(UINT64_MAX);
  std::optional<Error> failure;
  for (int round = 0; round < 2; ++round) {
    net::ClientConnection upstream = round == 0 ? pool_.take(key) : net::ClientConnection();
    if (!upstream) {
      auto opened = co_await open_connection(lease.target(), timeout);
      if (!opened) {
        failure = opened.error();
        lease.report(agents::Went::badly);
        break;
      }
      upstream = std::move(*opened);
    }
    upstream.set_deadline(parts_.clock.steady() + timeout);
    if (auto begun = upstream.start_forward(head, call.target, extra); !begun) {
      failure = begun.error();
      break;
    }
    // Nobody waits for this answer but its caller.
    auto watch = exchange.watch_client([&upstream] { upstream.close(); });
    Relay relay{exchange, upstream, id_text, parts_.clock, timeout};
    if (has_body) {
      co_await net::join_both(pump_request(relay), pump_answer(relay));
    } else {
      static_cast<void>(co_await upstream.finish());
      co_await pump_answer(relay);
    }
    failure = relay.request_error ? relay.request_error : relay.answer_error;
    if (!failure) {
      lease.report(agents::Went::well);
      if (upstream.reusable()) pool_.give(key, std::move(upstream));
      co_return;
    }
    if (relay.answer_error && !exchange.client_gone())
      lease.report(relay.answer_error->code() == Code::timeout ? agents::Went::badly : agents::Went::died);
    // A connection that the program had closed while it was idle: nothing of the request was lost with it.
    if (has_body || !upstream.stale() || exchange.started()) break;
  }
  if (exchange.started()) {
    exchange.abort();
    co_return;
  }
  if (failure->code() == Code::unavailable && failure->id() != ErrorId::GR0606)
    failure = Error(ErrorId::GR0404, failure->reason());
  if (failure->code() == Code::timeout) failure = Error(ErrorId::GR0405, "no answer in " + format_duration(timeout));
  co_await net::respond_error(exchange, std::move(*failure).wrap(fmt::format("call agent '{}'", route->name())),
                              id_text);
}

}  // namespace gantry::proxy
