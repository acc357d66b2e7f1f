// Taking a request back: first the record, then whoever works on it is told.
#include "proxy/state.h"

namespace gantry::proxy {

Task<Result<void>> Proxy::State::cancel(Scope scope, RequestId id, std::string principal) {
  GANTRY_CO_TRY(requests::RequestView view, co_await parts_.requests.get(scope, id));
  GANTRY_CO_TRY_VOID(co_await parts_.requests.cancel(scope, id, "cancelled by " + principal));
  // Nobody knows on which thread it is delivered.
  for (size_t i = 0; i < parts_.threads.size(); ++i)
    asio::post(parts_.threads.executor(i), [attempts = attempts_[i], id] { attempts->cancel(id); });
  dispatcher_.wake(view.agent_id, id);
  co_return Result<void>{};
}

Task<void> Proxy::State::answer_cancelled(net::Exchange& exchange, const Inbound& inbound) {
  Error error(ErrorId::GR0406, fmt::format("request {} was cancelled", inbound.id_text));
  co_await net::respond_error(
      exchange, std::move(error).with_hint(fmt::format("gantry requests show {} says by whom", inbound.id_text)),
      inbound.id_text);
}

}  // namespace gantry::proxy
