// A connected byte stream: TCP, Unix, or TLS on either; with deadlines and no exceptions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "async/async.h"

namespace gantry::net {

/// Where to listen or to connect: `127.0.0.1:8081`, `[::1]:8081`, `localhost:0`, `unix:/run/x.sock`.
struct Endpoint {
  std::string host;   ///< name or address; empty for a Unix socket
  uint16_t port = 0;  ///< 0: the kernel picks one (listening only)
  std::string unix_path = {};

  static Result<Endpoint> parse(std::string_view text);
  std::string to_string() const;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// Certificate and key of a TLS server: TLS 1.2 or newer, ALPN `http/1.1`. Immutable, shared, thread-safe.
class TlsServer;
struct TlsServerOptions {
  std::string certificate_file;  ///< PEM, the chain with the leaf first
  std::string key_file;          ///< PEM
};
Result<std::shared_ptr<TlsServer>> load_tls_server(const TlsServerOptions& options);

/// What a TLS client trusts. Immutable, shared, thread-safe.
class TlsClient;
struct TlsClientOptions {
  enum class Verify { peer_and_name, nothing };
  Verify verify = Verify::peer_and_name;
  std::string ca_file = {};  ///< PEM, trusted besides the machine's trust store; empty: only that
};
Result<std::shared_ptr<TlsClient>> load_tls_client(const TlsClientOptions& options);

class Stream;  // private: stream.h

/// One connected stream, bound to the io_context it was made on. One reader and one writer at a time, which may be two
/// coroutines. Failures: `timeout` a deadline passed, `cancelled` closed by this side, `unavailable` the peer broke it.
class Socket {
 public:
  Socket();
  explicit Socket(Stream* stream);
  Socket(Socket&&) noexcept;
  Socket& operator=(Socket&&) noexcept;
  ~Socket();

  /// Takes ownership of a connected stream socket, also when it fails.
  static Result<Socket> adopt(Executor executor, int fd);

  explicit operator bool() const { return stream_ != nullptr; }
  /// Reads what there is, at least a byte; 0 is the peer's clean end. `into` must live until the call ends.
  Task<Result<size_t>> read_some(std::span<char> into);
  /// Writes all of both by gather writes.
  Task<Result<void>> write(std::string_view first, std::string_view second = {});
  /// Ends our side of the stream (TCP FIN); reading goes on.
  void shutdown_send();
  /// Ends both sides; waiting calls return `cancelled`. Idempotent.
  void close();
  /// Closes so that the peer sees a broken stream (TCP RST), never a clean end.
  void abort();

  /// How long one read or write may make no progress. Default: no bound.
  void set_idle(Duration read, Duration write);
  /// When everything on this socket fails with `timeout`; SteadyTime::max() for never.
  void set_deadline(SteadyTime at);

  Stream& stream() { return *stream_; }
  /// Forgets the stream without closing it: somebody else holds it now.
  void release();

 private:
  Stream* stream_ = nullptr;  // counted
};

/// Says whether an address may be connected to: 4 bytes of IPv4 or 16 of IPv6, in network order.
using AddressCheck = std::function<Result<void>(std::span<const uint8_t> address)>;

/// How long connecting may take and who must be there.
struct ConnectOptions {
  SteadyTime deadline = SteadyTime::max();
  /// Asked of each address after the name was resolved, right before it is connected to; empty: any. A name whose
  /// addresses are all refused fails with the last refusal.
  AddressCheck check = {};
  std::shared_ptr<TlsClient> tls = {};  ///< set: TLS with SNI and verification of the endpoint's host
};

/// Connects on the caller's io_context. `unavailable` with GR0608 if nothing listens there.
Task<Result<Socket>> connect(Endpoint endpoint, ConnectOptions options);

/// Connects a socket that exists already, perhaps in another network namespace, to a numeric address by a non-blocking
/// connect on the caller's io_context. Takes ownership of the fd, also when it fails.
Task<Result<Socket>> connect_socket(int fd, Endpoint endpoint, SteadyTime deadline);

/// Runs two tasks at once on the caller's io_context; returns when both have ended. For full-duplex streaming.
Task<void> join_both(Task<void> first, Task<void> second);

}  // namespace gantry::net
