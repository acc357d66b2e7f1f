// Taking a request back: first the record, then whoever works on it is told.
#include "proxy/state.h"

namespace gantry::proxy {

Task<Result<void>> Proxy::State::cancel(Scope scope, RequestId id, std::string reason) {
  GANTRY_CO_TRY(requests::RequestView view, co_await parts_.requests.get(scope, id));
  GANTRY_CO_TRY_VOID(co_await parts_.requests.cancel(scope, id, std::move(reason)));
  // Nobody knows on which thread it is delivered.
  for (size_t i = 0; i < parts_.threads.size(); ++i)
    asio::post(parts_.threads.executor(i), [attempts = attempts_[i], id] { attempts->cancel(id); });
  dispatcher_.wake(view.agent_id, id);
  co_return Result<void>{};
}

// `Gantry-Cancel-On-Disconnect`. What ended in the same moment stays as it ended.
Task<void> Proxy::State::cancel_for_caller(Scope scope, RequestId id) {
  auto cancelled = co_await cancel(std::move(scope), id, "the caller left");
  if (!cancelled && cancelled.error().code() != Code::conflict)
    parts_.logger.warn("a request whose caller left could not be cancelled", telemetry::field("request", id),
                       telemetry::field("error", cancelled.error()));
}

std::optional<net::ClientWatch> Proxy::State::watch_leaving(net::Exchange& exchange, const Inbound& inbound) {
  if (!inbound.asked.cancel_on_disconnect) return std::nullopt;
  return exchange.watch_client([this, scope = inbound.call.scope, id = inbound.id] {
    tasks_.spawn(parts_.threads.executor(IoThreads::current().value_or(0)), cancel_for_caller(scope, id));
  });
}

Task<void> Proxy::State::answer_cancelled(net::Exchange& exchange, const Inbound& inbound) {
  Error error(ErrorId::GR0406, fmt::format("request {} was cancelled", inbound.id_text));
  co_await net::respond_error(
      exchange, std::move(error).with_hint(fmt::format("gantry requests show {} says by whom", inbound.id_text)),
      inbound.id_text);
}

}  // namespace gantry::proxy
