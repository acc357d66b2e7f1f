// The HTTP/1.1 client side of one connection, and the pool of idle ones.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "async/async.h"
#include "net/message.h"
#include "net/socket.h"
#include "net/traffic.h"

namespace gantry::net {

class Connection;
class ClientState;  // private: client_state.h

/// Bounds of one client connection.
struct ClientLimits {
  size_t max_header_bytes = size_t{64} << 10;
  size_t max_header_count = 200;
  Duration read_idle_timeout = std::chrono::minutes(5);  ///< no byte of an answer that we wait for
  Duration write_idle_timeout = std::chrono::seconds(60);
};

/// One connection that carries one exchange after the other. For each: `start` or `start_forward`, then `send_body`s
/// and `finish`, then `read_head`, then `read_some` until it is empty. Reading may begin before sending has ended, in
/// another coroutine. A connection that is dropped half-way is closed.
///
/// Failures: `unavailable` the peer closed or broke it, GR0606 it does not speak HTTP; `timeout`; `cancelled`.
class ClientConnection {
 public:
  ClientConnection();  ///< empty
  explicit ClientConnection(Socket socket, ClientLimits limits = {});
  ClientConnection(ClientConnection&&) noexcept;
  ClientConnection& operator=(ClientConnection&&) noexcept;
  ~ClientConnection();
  explicit operator bool() const { return state_ != nullptr; }

  /// Prepares the head; it goes out with the first send. Fields about framing and the connection are left out and
  /// written by us; a missing Host is not added. `invalid` for what may not go on the wire.
  Result<void> start(std::string_view method, std::string_view target, Headers headers, Framing framing);
  /// The same for a request that is passed on: method and fields of `head` but hop-by-hop ones, Expect, `Gantry-*` and
  /// those of which `extra` has the name, then `extra`. Upgrade requests stay upgrade requests.
  Result<void> start_forward(const RequestHead& head, std::string_view target, Headers extra);
  Task<Result<void>> send_body(std::string_view piece);
  Task<Result<void>> flush();
  /// The last piece (may be empty) and the trailers (chunked only) in one write.
  Task<Result<void>> finish(std::string_view last = {}, Headers trailers = {});

  /// The final head, or 101; other 1xx are skipped. Its views live until the next `start`.
  Task<Result<ResponseHead>> read_head();
  /// The next piece of the body, valid until the next read; empty at its end. A body that is cut is an error.
  Task<Result<std::string_view>> read_some();
  /// A piece that is here already, without waiting; empty if there is none. Lets a proxy send head and body at once.
  Result<std::string_view> read_ready();
  /// True once the body was read to its end.
  bool complete() const;
  Headers trailers() const;

  /// True if the exchange is complete and the peer keeps the connection: give it to a pool or start again.
  bool reusable() const;
  /// After a failure: the connection had carried an exchange before, the peer closed it, and no byte of this answer
  /// had come. Such a request may be sent again on a fresh connection.
  bool stale() const;
  /// True once any byte of the current answer has arrived.
  bool response_began() const;

  /// Counts what goes over it from now on, also after it was pooled. Without TLS only.
  void count_into(std::shared_ptr<Traffic> traffic);
  /// When everything fails with `timeout`; SteadyTime::max() for never. Reset by the pool.
  void set_deadline(SteadyTime at);
  /// Waiting calls return `cancelled`. From the connection's thread.
  void close();

 private:
  friend class Connection;
  friend class Pool;
  std::unique_ptr<ClientState> state_;
};

/// Bounds of a pool.
struct PoolOptions {
  size_t max_idle_per_key = 512;  ///< on each I/O thread
  size_t max_idle = 1'024;        ///< on each I/O thread
  Duration idle_timeout = std::chrono::seconds(60);
};

/// Idle keep-alive connections by key (an instance, an origin), a shelf for each I/O thread: no locks. One that its
/// peer closes leaves the pool by itself. Destroy it after the I/O threads have stopped.
class Pool {
 public:
  Pool(IoThreads& threads, PoolOptions options = {});
  ~Pool();
  /// The most recently used connection of that key on the calling I/O thread; empty if there is none.
  ClientConnection take(std::string_view key);
  /// Keeps it if it is reusable and there is room, else closes it. On the connection's thread.
  void give(std::string_view key, ClientConnection connection);
  /// Closes all idle ones of a key, on every I/O thread: its peer is dead. From any thread.
  void close_all(std::string key);
  /// Idle ones on the calling I/O thread.
  size_t idle() const;

 private:
  struct Shelf;
  IoThreads& threads_;
  std::vector<std::shared_ptr<Shelf>> shelves_;
};

}  // namespace gantry::net
