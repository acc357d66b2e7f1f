#include "net/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <charconv>

#include "net/stream.h"

namespace gantry::net {
namespace {

using Resolver = asio::ip::basic_resolver<asio::ip::tcp, Executor>;

Result<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    return fail(Code::invalid, "'{}' is not a port (0 to 65535)", text.substr(0, 64));
  return port;
}

Error unreachable(const Endpoint& endpoint, std::string_view why) {
  return Error(ErrorId::GR0608, fmt::format("connect to {}: {}", endpoint.to_string(), why));
}

Error too_late(const Endpoint& endpoint) {
  return Error(Code::timeout, fmt::format("connect to {}: no answer in time", endpoint.to_string()));
}

/// Takes over the descriptor in all cases.
Task<Result<Socket>> connect_fd(int fd, AnyAddress address, Endpoint endpoint, SteadyTime deadline) {
  int on = 1;
  // SAFETY: a plain option; fails on Unix sockets, which need none.
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto stream = co_await Stream::connect(fd, address, deadline);
  if (stream.has_value()) co_return Socket(stream->get());
  if (stream.error().code() == Code::timeout) co_return std::unexpected(too_late(endpoint));
  co_return std::unexpected(unreachable(endpoint, stream.error().reason()));
}

Result<int> new_socket(int family) {
  // SAFETY: a plain socket; `connect_fd` takes it over.
  int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_errno("make a socket");
  return fd;
}

Task<Result<std::vector<asio::ip::tcp::endpoint>>> resolve(Endpoint endpoint, SteadyTime deadline) {
  error_code error;
  auto literal = asio::ip::make_address(endpoint.host, error);
  if (!error) co_return std::vector{asio::ip::tcp::endpoint(literal, endpoint.port)};
  // The resolver runs getaddrinfo on a thread of its own, which cannot be interrupted: the deadline of the whole
  // connection bounds what follows, the system's resolver configuration bounds this.
  Executor executor = co_await asio::this_coro::executor;
  Resolver resolver(executor);
  auto [failed, found] = co_await resolver.async_resolve(endpoint.host, std::to_string(endpoint.port), use_tuple);
  if (failed) co_return std::unexpected(unreachable(endpoint, failed.message()));
  if (IoLocal::of(executor).now() >= deadline) co_return std::unexpected(too_late(endpoint));
  std::vector<asio::ip::tcp::endpoint> addresses;
  for (const auto& entry : found) addresses.push_back(entry.endpoint());
  co_return addresses;
}

Result<void> check_address(const AddressCheck& check, const asio::ip::address& address) {
  if (!check) return {};
  return address.is_v4() ? check(address.to_v4().to_bytes()) : check(address.to_v6().to_bytes());
}

Task<Result<Socket>> connect_plain(Endpoint endpoint, SteadyTime deadline, AddressCheck check) {
  if (!endpoint.unix_path.empty()) {
    if (endpoint.unix_path.size() >= sizeof(sockaddr_un::sun_path))
      co_return fail(Code::invalid, "the socket path '{}' is longer than the system allows", endpoint.unix_path);
    GANTRY_CO_TRY(int fd, new_socket(AF_UNIX));
    asio::local::stream_protocol::endpoint address(endpoint.unix_path);
    co_return co_await connect_fd(fd, AnyAddress(address), endpoint, deadline);
  }
  GANTRY_CO_TRY(auto addresses, co_await resolve(endpoint, deadline));
  Result<Socket> last = std::unexpected(unreachable(endpoint, "the name has no address"));
  for (const auto& address : addresses) {
    if (auto allowed = check_address(check, address.address()); !allowed) {
      last = std::unexpected(std::move(allowed).error());
      continue;
    }
    GANTRY_CO_TRY(int fd, new_socket(address.protocol().family()));
    last = co_await connect_fd(fd, AnyAddress(address), endpoint, deadline);
    if (last.has_value() || last.error().code() == Code::timeout) break;
  }
  co_return last;
}

/// Both halves of join_both: the second one's end wakes the first one's waiter.
struct Join {
  ParkedCoroutine waiter;
  bool ended = false;
};

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view text) {
  Endpoint endpoint;
  if (text.starts_with("unix:")) {
    endpoint.unix_path = text.substr(5);
    if (endpoint.unix_path.empty()) return fail(Code::invalid, "'unix:' lacks a path");
    return endpoint;
  }
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0)
    return fail(Code::invalid, "'{}' is not an address of the form host:port", text.substr(0, 256));
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']'))
    host = host.substr(1, host.size() - 2);
  else if (host.contains(':'))
    return fail(Code::invalid, "'{}': an IPv6 address stands in brackets, as in [::1]:8081", text.substr(0, 256));
  GANTRY_TRY(endpoint.port, parse_port(text.substr(colon + 1)));
  endpoint.host = host;
  return endpoint;
}

std::string Endpoint::to_string() const {
  if (!unix_path.empty()) return "unix:" + unix_path;
  return host.contains(':') ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

Socket::Socket() = default;
Socket::Socket(Stream* stream) : stream_(stream) {
  if (stream_ != nullptr) intrusive_ptr_add_ref(stream_);
}
Socket::Socket(Socket&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    Socket old(std::move(*this));
    stream_ = std::exchange(other.stream_, nullptr);
  }
  return *this;
}
Socket::~Socket() {
  if (stream_ == nullptr) return;
  stream_->close();
  intrusive_ptr_release(stream_);
}

void Socket::release() {
  if (stream_ != nullptr) intrusive_ptr_release(std::exchange(stream_, nullptr));
}

Result<Socket> Socket::adopt(Executor executor, int fd) {
  GANTRY_TRY(StreamRef stream, Stream::adopt(executor, fd));
  return Socket(stream.get());
}

Task<Result<size_t>> Socket::read_some(std::span<char> into) {
  StreamRef stream(stream_);
  stream->start_read(into.data(), into.size());
  if (!stream->has_outcome()) {
    stream->set_read_deadline(after(stream->local().now(), stream->read_idle));
    co_await stream->wait_read();
    stream->set_read_deadline(SteadyTime::max());
  }
  if (!stream->has_outcome()) {
    // The read is still in flight, into memory of the caller: it must end before we return.
    stream->close();
    if (stream->reading()) co_await stream->wait_read();
    co_return fail(Code::timeout, "read: no byte in time");
  }
  auto outcome = stream->take_outcome();
  if (outcome.error) co_return std::unexpected(stream->failure(outcome.error, "read"));
  co_return outcome.bytes;
}

Task<Result<void>> Socket::write(std::string_view first, std::string_view second) {
  Gather gather;
  gather.add(first);
  gather.add(second);
  return stream_->write(gather, stream_->write_idle);
}

void Socket::shutdown_send() { stream_->shutdown_send(); }
void Socket::close() { stream_->close(); }
void Socket::abort() { stream_->abort(); }
void Socket::set_idle(Duration read, Duration write) {
  stream_->read_idle = read;
  stream_->write_idle = write;
}
void Socket::set_deadline(SteadyTime at) { stream_->set_deadline(at); }

Task<Result<Socket>> connect(Endpoint endpoint, ConnectOptions options) {
  GANTRY_CO_TRY(Socket socket, co_await connect_plain(endpoint, options.deadline, options.check));
  if (options.tls != nullptr) {
    auto shaken = co_await socket.stream().handshake_client(options.tls, endpoint.host, options.deadline);
    if (!shaken.has_value()) co_return std::unexpected(unreachable(endpoint, shaken.error().reason()));
  }
  co_return socket;
}

Task<Result<Socket>> connect_socket(int fd, Endpoint endpoint, SteadyTime deadline) {
  error_code error;
  auto address = asio::ip::make_address(endpoint.host, error);
  if (error) {
    ::close(fd);
    co_return fail(Code::invalid, "'{}' is not a numeric address", endpoint.host);
  }
  AnyAddress target(asio::ip::tcp::endpoint(address, endpoint.port));
  co_return co_await connect_fd(fd, target, std::move(endpoint), deadline);
}

Task<void> join_both(Task<void> first, Task<void> second) {
  Executor executor = co_await asio::this_coro::executor;
  auto join = std::make_shared<Join>();
  asio::co_spawn(executor, std::move(second), [join](std::exception_ptr error) {
    GANTRY_CHECK(error == nullptr);  // tasks do not throw
    join->ended = true;
    join->waiter.resume();
  });
  co_await std::move(first);
  if (!join->ended) co_await until_resumed(join->waiter);
}

}  // namespace gantry::net
