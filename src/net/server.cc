#include "net/server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <condition_variable>
#include <mutex>

#include "net/connection.h"

namespace gantry::net {
namespace {

constexpr int accept_backlog = 4096;
constexpr int accepts_in_a_row = 64;         // then the connections of this thread get their turn
constexpr size_t max_polite_refusals = 256;  // above this a surplus connection is closed without a word
constexpr Duration pause_without_fds = std::chrono::milliseconds(50);

using Descriptor = asio::posix::basic_stream_descriptor<Executor>;

/// A file descriptor until somebody takes it.
struct OwnedFd {
  int fd = -1;
  OwnedFd() = default;
  explicit OwnedFd(int its_fd) : fd(its_fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(fd, other.fd);
    return *this;
  }
  ~OwnedFd() {
    if (fd >= 0) ::close(fd);
  }
  int release() { return std::exchange(fd, -1); }
};

std::unexpected<Error> bind_failure(const Endpoint& endpoint) {
  int number = errno;
  if (number == EADDRINUSE)
    return std::unexpected(
        Error(ErrorId::GR0601, fmt::format("listen on {}: the address is in use", endpoint.to_string()))
            .with_hint("stop the program that holds it, or choose another with --listen"));
  return std::unexpected(errno_error(number, "listen on " + endpoint.to_string()));
}

/// A socket file that a killed server left behind would keep every later one from starting.
void remove_dead_socket(const sockaddr_un& address) {
  OwnedFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // SAFETY: the address is a complete sockaddr_un.
  if (::connect(probe.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno == ECONNREFUSED)
    ::unlink(address.sun_path);
}

Result<OwnedFd> listen_on_unix(const Endpoint& endpoint) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (endpoint.unix_path.size() >= sizeof address.sun_path)
    return fail(Code::invalid, "the socket path '{}' is longer than the system allows", endpoint.unix_path);
  endpoint.unix_path.copy(address.sun_path, sizeof address.sun_path - 1);
  remove_dead_socket(address);
  OwnedFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.fd < 0) return fail_errno("make a socket");
  // SAFETY: the address is a complete sockaddr_un.
  if (::bind(fd.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.fd, accept_backlog) != 0)
    return bind_failure(endpoint);
  return fd;
}

Result<OwnedFd> listen_on_tcp(const Endpoint& endpoint) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  std::string port = std::to_string(endpoint.port);
  if (int failed = ::getaddrinfo(endpoint.host.c_str(), port.c_str(), &hints, &found); failed != 0)
    return fail(Code::invalid, "listen on {}: {}", endpoint.to_string(), ::gai_strerror(failed));
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
  OwnedFd fd(::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.fd < 0) return fail_errno("make a socket");
  int on = 1;
  // SAFETY: plain options. REUSEADDR only skips TIME_WAIT; there is no REUSEPORT on purpose: a second server on the
  // same port must fail and not get a share of the requests. Accepted sockets inherit NODELAY.
  ::setsockopt(fd.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::setsockopt(fd.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::bind(fd.fd, found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd.fd, accept_backlog) != 0)
    return bind_failure(endpoint);
  return fd;
}

Endpoint bound_endpoint(int fd, Endpoint wanted) {
  if (!wanted.unix_path.empty()) return wanted;
  asio::ip::tcp::endpoint ip;
  auto size = static_cast<socklen_t>(ip.capacity());
  // SAFETY: the kernel fills at most `size` bytes.
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(ip.data()), &size) == 0) {
    ip.resize(size);
    wanted.port = ip.port();
    wanted.host = ip.address().to_string();
  }
  return wanted;
}

}  // namespace

/// Shared by the owner, the acceptor and every connection.
struct Server::State : std::enable_shared_from_this<Server::State> {
  State(ServerOptions its_options, ServerParts its_parts) : options(std::move(its_options)), parts(its_parts) {
    for (size_t i = 0; i < parts.threads.size(); ++i) shards.push_back(std::make_unique<Shard>(options, parts));
  }

  Task<void> accept_loop();
  void place(int fd);
  Task<void> serve(size_t index, int fd, size_t open);
  void leave(Shard& shard);
  void on_each_thread(void (*act)(Shard&));
  bool wait_until_empty(Duration patience);
  size_t open_connections() const {
    size_t sum = 0;
    for (const auto& shard : shards) sum += shard->connections.load(std::memory_order_relaxed);
    return sum;
  }

  ServerOptions options;
  ServerParts parts;
  std::vector<std::unique_ptr<Shard>> shards;
  std::unique_ptr<Descriptor> listener;  // used on thread 0
  Endpoint local;
  TaskGroup tasks;
  std::mutex mutex;
  std::condition_variable changed;
  bool running = false;
};

/// One acceptor, on the first thread; each connection goes to the thread that has the fewest. An acceptor for each
/// thread (SO_REUSEPORT) spreads 64 connections by hash, unevenly, and lets a second server bind the same port.
Task<void> Server::State::accept_loop() {
  for (;;) {
    auto [failed] = co_await listener->async_wait(Descriptor::wait_read, use_tuple);
    if (failed || !listener->is_open()) co_return;
    for (int i = 0; i < accepts_in_a_row; ++i) {
      // SAFETY: a non-blocking accept on our own descriptor.
      int fd = ::accept4(listener->native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        place(fd);
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        co_await sleep_for(pause_without_fds);
        break;
      } else if (errno != ECONNABORTED && errno != EINTR) {
        break;
      }
    }
    if (!listener->is_open()) co_return;
  }
}

void Server::State::place(int fd) {
  size_t open = open_connections();
  if (open >= options.limits.max_connections + max_polite_refusals) {
    ::close(fd);
    return;
  }
  size_t best = 0;
  for (size_t i = 1; i < shards.size(); ++i)
    if (shards[i]->connections.load(std::memory_order_relaxed) <
        shards[best]->connections.load(std::memory_order_relaxed))
      best = i;
  shards[best]->connections.fetch_add(1, std::memory_order_relaxed);
  if (!tasks.spawn(parts.threads.executor(best), serve(best, fd, open))) {
    ::close(fd);
    leave(*shards[best]);
  }
}

Task<void> Server::State::serve(size_t index, int fd, size_t open) {
  auto self = shared_from_this();
  Shard& shard = *shards[index];
  auto stream = Stream::adopt(parts.threads.executor(index), fd);
  if (stream.has_value()) {
    Connection connection(*stream, shard);
    stream->reset();
    if (open >= options.limits.max_connections)
      co_await connection.refuse_as_surplus();
    else
      co_await connection.serve();
  }
  leave(shard);
}

void Server::State::leave(Shard& shard) {
  shard.connections.fetch_sub(1, std::memory_order_relaxed);
  std::lock_guard lock(mutex);
  changed.notify_all();
}

void Server::State::on_each_thread(void (*act)(Shard&)) {
  for (size_t i = 0; i < shards.size(); ++i)
    asio::post(parts.threads.executor(i), [self = shared_from_this(), i, act] { act(*self->shards[i]); });
}

bool Server::State::wait_until_empty(Duration patience) {
  std::unique_lock lock(mutex);
  return changed.wait_for(lock, patience, [&] { return open_connections() == 0; });
}

Server::Server(ServerOptions options, ServerParts parts) : state_(std::make_shared<State>(std::move(options), parts)) {}
Server::~Server() { stop(Duration::zero()); }

Result<void> Server::start() {
  GANTRY_CHECK(!state_->running);
  const Endpoint& wanted = state_->options.listen;
  GANTRY_TRY(OwnedFd fd, wanted.unix_path.empty() ? listen_on_tcp(wanted) : listen_on_unix(wanted));
  state_->local = bound_endpoint(fd.fd, wanted);
  state_->listener = std::make_unique<Descriptor>(state_->parts.threads.executor(0));
  error_code error;
  state_->listener->assign(fd.fd, error);
  if (error) return fail(Code::unavailable, "listen on {}: {}", wanted.to_string(), error.message());
  fd.release();
  state_->running = true;
  state_->tasks.spawn(state_->parts.threads.executor(0), state_->accept_loop());
  return {};
}

Endpoint Server::local_endpoint() const { return state_->local; }

void Server::stop(Duration patience) {
  if (!state_->running) return;
  state_->running = false;
  asio::post(state_->parts.threads.executor(0), [state = state_] {
    error_code ignored;
    state->listener->close(ignored);
  });
  state_->on_each_thread([](Shard& shard) { shard.drain(); });
  if (patience <= Duration::zero() || !state_->wait_until_empty(patience))
    state_->on_each_thread([](Shard& shard) { shard.abort_all(); });
  state_->tasks.join();
  if (!state_->local.unix_path.empty()) ::unlink(state_->local.unix_path.c_str());
}

size_t Server::connections() const { return state_->open_connections(); }

}  // namespace gantry::net
