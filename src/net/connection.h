// One connection of the server: reads a request, lets the handler answer, goes on to the next. Private to net/.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "net/reader.h"
#include "net/server.h"
#include "net/wire.h"

namespace gantry::net {

class Connection;

/// What the connections of one server share on one I/O thread.
struct Shard {
  const ServerOptions& options;
  ServerParts parts;
  std::atomic<size_t> connections = 0;  // written by its thread, read by the acceptor for placing
  Connection* first = nullptr;
  bool draining = false;

  Shard(const ServerOptions& its_options, ServerParts its_parts) : options(its_options), parts(its_parts) {}
  /// On its thread: idle connections end, the others after their exchange.
  void drain();
  /// On its thread: all end now.
  void abort_all();
};

class Connection final : private StreamListener {
 public:
  Connection(StreamRef stream, Shard& shard);
  ~Connection();
  Connection(const Connection&) = delete;

  /// Everything from the handshake to the close.
  Task<void> serve();
  /// Answers 503 and closes: there are too many.
  Task<void> refuse_as_surplus();

  const RequestHead& request() const { return reader_.head(); }
  std::string peer() const;
  Executor executor() const { return stream_->executor(); }
  void set_body_limit(uint64_t bytes) { reader_.set_body_limit(bytes); }
  Result<std::string_view> read_ready();
  Task<Result<std::string_view>> read_some();
  bool body_complete() const { return reader_.complete(); }
  Headers trailers() const { return reader_.trailers(); }

  Result<void> start(int status, std::string_view reason, const OutgoingFields& fields, Framing framing);
  Task<Result<void>> send(std::string_view piece);
  Task<Result<void>> finish(std::string_view last, Headers trailers);
  bool started() const { return answer_.started; }
  bool finished() const { return answer_.finished; }
  void abort();
  Task<Result<void>> tunnel(ClientConnection& upstream, Duration idle);

  bool client_gone();
  void watch(std::function<void()> on_gone);
  void unwatch() { on_gone_ = nullptr; }
  bool draining() const { return shard_.draining; }

 private:
  friend struct Shard;

  /// The answer of the current exchange.
  struct Answer {
    Framing framing;
    uint64_t sent_bytes = 0;
    bool started = false;
    bool finished = false;
    bool bodyless = false;  // HEAD, 204, 304, 101: what is sent as body is dropped
    bool keep_alive = false;
    bool continued = false;  // 100 was sent
  };

  Task<bool> read_request();
  Task<bool> settle();
  Task<bool> drain_body();
  Task<void> refuse(Error error);
  Task<void> linger();
  Task<Result<void>> send_continue();
  Task<Result<void>> write(Gather gather);
  Task<Result<void>> write_slowly(Gather gather);
  Task<Result<std::string_view>> read_slowly();
  Result<void> prepare_end(std::string_view last, Headers trailers);
  bool keeps_alive(Framing framing) const;
  Framing framing_for_peer(int status, Framing wanted) const;
  Result<void> count(size_t bytes);
  std::unexpected<Error> broken(const Error& cause);
  void on_stream_event() override;
  void tell_gone();
  void kill();

  Shard& shard_;
  const Limits& limits_;
  StreamRef stream_;
  RequestReader reader_;
  Exchange exchange_{*this};
  Answer answer_;
  std::string out_;   // head and chunk header of the next write
  std::string tail_;  // what follows the piece
  std::function<void()> on_gone_;
  Connection* previous_ = nullptr;
  Connection* next_ = nullptr;
};

}  // namespace gantry::net
