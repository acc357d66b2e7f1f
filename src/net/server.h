// The HTTP/1.1 server: limits, keep-alive, streaming both ways, graceful drain.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "async/async.h"
#include "net/message.h"
#include "net/socket.h"

namespace gantry::net {

class ClientConnection;
class Connection;  // private: connection.h

/// Bounds of one server. A violation is answered as problem+json where an answer is still possible.
struct Limits {
  size_t max_header_bytes = size_t{64} << 10;   ///< request line and fields: 431, or 414 if the line alone is longer
  size_t max_header_count = 200;                ///< 431
  uint64_t max_body_bytes = uint64_t{1} << 30;  ///< 413; per exchange: Exchange::set_body_limit
  size_t max_connections = 10'000;              ///< 503 and close above
  size_t max_drain_bytes = size_t{256} << 10;   ///< unread body that is read and dropped to keep the connection
  Duration header_timeout = std::chrono::seconds(10);      ///< from the first byte to the whole head: 408
  Duration keep_alive_timeout = std::chrono::seconds(75);  ///< between two requests: close
  Duration body_idle_timeout = std::chrono::seconds(60);   ///< no byte of the body: 408 if nothing was answered
  Duration write_idle_timeout = std::chrono::seconds(60);  ///< the peer takes no byte: abort
  Duration linger_timeout = std::chrono::seconds(2);       ///< so long a refused upload may go on before the close
};

/// Runs as long as it lives: calls `on_gone` once, on the connection's thread, when the client closed, broke the
/// connection, or the drain deadline passed. At most one at a time for each exchange.
class ClientWatch {
 public:
  ClientWatch(ClientWatch&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  ClientWatch& operator=(ClientWatch&&) = delete;
  ~ClientWatch();

 private:
  friend class Exchange;
  explicit ClientWatch(Connection* connection) : connection_(connection) {}
  Connection* connection_;
};

/// One request and its answer. Owned by its connection; valid until Handler::handle has ended.
///
/// Answer by `respond`, or by `start` and then any of `send_body`, `flush`, `finish`. A failure of those means that the
/// client cannot be answered any more (`cancelled`: it has gone; `timeout`: it takes nothing): just return.
/// An exchange that was started but not finished when the handler returns is aborted, never ended cleanly.
class Exchange {
 public:
  explicit Exchange(Connection& connection) : connection_(connection) {}
  Exchange(const Exchange&) = delete;

  const RequestHead& request() const;
  /// `127.0.0.1:40312`; `unix` for a Unix socket.
  std::string peer() const;
  Executor executor() const;

  /// Bytes of body that this exchange accepts, instead of Limits::max_body_bytes. Before the first read.
  void set_body_limit(uint64_t bytes);
  /// The next piece of the body, valid until the next read; empty at its end. Sends `100 Continue` first if the client
  /// waits for it. `exhausted` GR0604 above the limit, `timeout` GR0605, `invalid` for a broken chunk, `cancelled` if
  /// the client has gone. Once it failed it stays failed.
  Task<Result<std::string_view>> read_some();
  /// A piece that is here already, without waiting; empty if there is none. With `body_complete` a small request costs
  /// no coroutine: its body came with its head.
  Result<std::string_view> read_ready();
  /// The whole body, at most `limit` bytes (`exhausted` GR0604 above).
  Task<Result<std::string>> read_all(size_t limit);
  /// True once the body was read to its end (at once for a request without a body).
  bool body_complete() const;
  /// Valid after the end of the body.
  Headers request_trailers() const;

  /// The whole answer in one write. Adds Content-Length, Date if missing, and Connection as needed.
  Task<Result<void>> respond(int status, Headers headers, std::string_view body);
  /// Prepares the head; it goes out with the first body piece, flush or finish. `headers` are copied; fields that tell
  /// about framing or the connection are left out and written by us. A chunked answer to HTTP/1.0 becomes until_close;
  /// 204, 304 and answers to HEAD carry no body whatever is sent. `invalid` for a field that may not go on the wire.
  Result<void> start(int status, Headers headers, Framing framing);
  /// The same for an answer that is passed on: reason and fields of `head` but hop-by-hop ones and those of which
  /// `extra` has the name, then `extra`. A 101 is passed with its Upgrade; then call `tunnel`.
  Result<void> start_forward(const ResponseHead& head, Headers extra);
  Task<Result<void>> send_body(std::string_view piece);
  /// Sends what was prepared, for a stream whose first piece may be long in coming.
  Task<Result<void>> flush();
  /// The last piece (may be empty) and the trailers (chunked only) in one write. Fewer bytes than the announced length
  /// abort the connection.
  Task<Result<void>> finish(std::string_view last = {}, Headers trailers = {});
  /// True once a final head was prepared: nothing but its body can be sent now.
  bool started() const;
  bool finished() const;
  /// Breaks the connection: the peer never takes a truncated answer for a whole one.
  void abort();

  /// After a 101: bytes go both ways with back-pressure until both ends closed, one broke, or nothing moved for `idle`.
  Task<Result<void>> tunnel(ClientConnection& upstream, Duration idle);

  /// True once the client closed or broke the connection. Free of charge, but blind while body bytes are unread.
  bool client_gone() const;
  [[nodiscard]] ClientWatch watch_client(std::function<void()> on_gone);
  /// True while the server drains: long answers should end soon.
  bool draining() const;

 private:
  Connection& connection_;
};

/// What the server calls for each request, on the connection's thread, many at once. It must end when the client is
/// gone: whatever else it waits for, it watches (`watch_client`).
class Handler {
 public:
  virtual ~Handler() = default;
  virtual Task<void> handle(Exchange& exchange) = 0;
};

/// Where and how to listen.
struct ServerOptions {
  Endpoint listen = {"127.0.0.1", 0};
  std::shared_ptr<TlsServer> tls = {};  ///< set: TLS only
  Limits limits = {};
};

/// What a server works with; all outlive it.
struct ServerParts {
  IoThreads& threads;
  Clock& clock;
  Handler& handler;
};

/// A listening server. start, stop and the rest are for one owner, not on an I/O thread.
class Server {
 public:
  Server(ServerOptions options, ServerParts parts);
  ~Server();  ///< stops at once if it still runs

  /// Binds and accepts; the I/O threads must run. `conflict` GR0601 if the address is in use.
  Result<void> start();
  /// Where it listens, with the real port.
  Endpoint local_endpoint() const;
  /// No new connections; idle ones are closed; exchanges in flight end with `Connection: close`, and what is left after
  /// `patience` is aborted. Returns when every handler has ended. Idempotent.
  void stop(Duration patience);
  /// Open connections.
  size_t connections() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace gantry::net
