// Bytes both ways after a 101: WebSocket and whatever else was agreed on.
#include "net/client_state.h"
#include "net/connection.h"

namespace gantry::net {
namespace {

/// What both directions share: when anything moved last.
struct Activity {
  SteadyTime last;
  Duration idle;
};

/// One direction, until its source ends or either side breaks. The frame of `Connection::tunnel` owns all arguments.
template <class Reader>
Task<void> pump(Reader& reader, StreamRef from, StreamRef to, Activity& activity) {
  for (;;) {
    reader.accept_ready();
    auto step = reader.next();
    if (!step.has_value()) break;
    if (*step == Step::end) {
      to->shutdown_send();  // the other direction may go on
      co_return;
    }
    if (*step == Step::piece) {
      Gather gather;
      gather.add(reader.piece());
      auto written = co_await to->write(gather, activity.idle);
      if (!written.has_value()) break;
      activity.last = from->local().now();
      continue;
    }
    reader.ask();
    if (from->has_outcome()) continue;
    SteadyTime deadline = after(activity.last, activity.idle);
    if (from->local().now() >= deadline) break;
    from->set_read_deadline(deadline);
    co_await from->wait_read();
    from->set_read_deadline(SteadyTime::max());
  }
  // Broken or idle for too long: neither side may take this for a clean end.
  from->abort();
  to->abort();
}

}  // namespace

Task<Result<void>> Connection::tunnel(ClientConnection& upstream, Duration idle) {
  GANTRY_CO_TRY_VOID(co_await send({}));
  answer_.finished = true;
  answer_.keep_alive = false;
  ClientState& other = *upstream.state_;
  reader_.become_raw();
  other.reader().become_raw();
  other.stream().set_deadline(SteadyTime::max());
  Activity activity{stream_->local().now(), idle};
  co_await join_both(pump(reader_, stream_, other.stream_ref(), activity),
                     pump(other.reader(), other.stream_ref(), stream_, activity));
  co_return Result<void>();
}

}  // namespace gantry::net
