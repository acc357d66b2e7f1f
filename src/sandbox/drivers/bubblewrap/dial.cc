#include "sandbox/drivers/bubblewrap/dial.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "sandbox/watch.h"

namespace gantry::sandbox::bubblewrap {
namespace {

enum class Progress { connected, pending };

// How a connection attempt stands, without waiting.
Result<Progress> check(const os::Fd& socket) {
  pollfd entry{socket.get(), POLLOUT, 0};
  if (::poll(&entry, 1, 0) < 0 && errno != EINTR) return fail_errno("poll a socket");
  if (entry.revents == 0) return Progress::pending;
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) return fail_errno("read a socket's error");
  if (error != 0) return std::unexpected(errno_error(error, "connect"));
  return Progress::connected;
}

Result<Progress> begin(const os::Fd& socket, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // SAFETY: sockaddr_in is the address type of AF_INET; connect takes the generic type.
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return Progress::connected;
  if (errno != EINPROGRESS && errno != EINTR) return fail_errno("connect");
  return check(socket);
}

// Shared with the timer's handler, which may run after the wait has ended.
struct Wait {
  Wait(const Executor& executor, os::Fd fd) : socket(executor, std::move(fd)), deadline(executor) {}
  WatchedFd socket;
  asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>
      deadline;
  bool over = false;
};

Error refused(Error error, uint16_t port) {
  return Error(ErrorId::GR0306, fmt::format("port {}: {}", port, error.reason()));
}

}  // namespace

Task<Result<os::Fd>> connect_inside(os::Fd socket, uint16_t port, Duration patience) {
  auto progress = begin(socket, port);
  if (!progress) co_return std::unexpected(refused(std::move(progress).error(), port));
  if (*progress == Progress::connected) co_return std::move(socket);

  // The backlog is full or the program is about to accept.
  Executor executor = co_await asio::this_coro::executor;
  auto wait = std::make_shared<Wait>(executor, std::move(socket));
  wait->deadline.expires_after(patience);
  wait->deadline.async_wait([wait](boost::system::error_code error) {
    if (!error && !wait->over) wait->socket.cancel();
  });
  bool ready = co_await wait->socket.writable();
  wait->over = true;
  wait->deadline.cancel();
  if (!ready) {
    std::string text = fmt::format("port {}: no answer within {}", port, format_duration(patience));
    co_return std::unexpected(Error(ErrorId::GR0306, std::move(text)));
  }
  auto result = check(wait->socket.fd());
  if (!result) co_return std::unexpected(refused(std::move(result).error(), port));
  co_return wait->socket.release();
}

}  // namespace gantry::sandbox::bubblewrap
