#include "net/test_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>

namespace gantry::net {

std::string pattern(size_t size) {
  std::string text(size, '\0');
  uint32_t state = 1;
  for (char& byte : text) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<char>(state >> 24);
  }
  return text;
}

RawClient::RawClient(const Endpoint& endpoint) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(endpoint.port)};
  ::inet_pton(AF_INET, endpoint.host.c_str(), &address.sin_addr);
  // SAFETY: a complete sockaddr_in.
  int failed = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  EXPECT_EQ(failed, 0) << endpoint.to_string();
  timeval patience{.tv_sec = 60, .tv_usec = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

RawClient::~RawClient() { ::close(fd_); }

void RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;  // the server closed: what it answered is what the test looks at
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

size_t RawClient::send_some(std::string_view bytes) {
  ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent < 0 ? 0 : static_cast<size_t>(sent);
}

bool RawClient::fill() {
  char bytes[65536];
  ssize_t got = 0;
  do {
    // The kernel tidies up after a ring of io_uring that was closed on this thread, and interrupts a recv with a
    // timeout.
    got = ::recv(fd_, bytes, sizeof bytes, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == ECONNRESET) was_reset_ = true;
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) ADD_FAILURE() << "nothing came for 60 s after: " << buffer_;
  if (got <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(got));
  return true;
}

std::string RawClient::read_until(std::string_view text) {
  for (;;) {
    if (size_t at = buffer_.find(text); at != std::string::npos) {
      std::string found = buffer_.substr(0, at + text.size());
      buffer_.erase(0, found.size());
      return found;
    }
    if (!fill()) {
      ADD_FAILURE() << "the peer ended before '" << text << "', after: " << buffer_;
      return "";
    }
  }
}

std::string RawClient::read_exactly(size_t bytes) {
  while (buffer_.size() < bytes)
    if (!fill()) {
      ADD_FAILURE() << "the peer ended after " << buffer_.size() << " of " << bytes << " bytes";
      break;
    }
  std::string found = buffer_.substr(0, bytes);
  buffer_.erase(0, found.size());
  return found;
}

std::string RawClient::read_response() {
  std::string head = read_until("\r\n\r\n");
  constexpr std::string_view name = "Content-Length: ";
  size_t at = head.find(name);
  size_t bytes = 0;
  if (at != std::string::npos) std::from_chars(head.data() + at + name.size(), head.data() + head.size(), bytes);
  return head + read_exactly(bytes);
}

std::string RawClient::read_to_end() {
  while (fill()) {
  }
  return std::exchange(buffer_, {});
}

void RawClient::shutdown_send() { ::shutdown(fd_, SHUT_WR); }

RawUpstream::RawUpstream() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  // SAFETY: complete sockaddr_in for all three calls.
  EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::listen(fd_, 16), 0);
  EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
  endpoint_ = {"127.0.0.1", ntohs(address.sin_port)};
}

RawUpstream::~RawUpstream() { ::close(fd_); }

std::unique_ptr<RawClient> RawUpstream::accept() {
  int fd = ::accept(fd_, nullptr, nullptr);
  EXPECT_GE(fd, 0);
  timeval patience{.tv_sec = 60, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return std::make_unique<RawClient>(fd);
}

int status_in(std::string_view response) {
  int status = 0;
  if (response.starts_with("HTTP/1.1 "))
    std::from_chars(response.data() + 9, response.data() + response.size(), status);
  return status;
}

Task<void> TestHandler::handle(Exchange& exchange) {
  ++handled;
  std::string_view path = exchange.request().path;
  if (path == "/echo") {
    co_await echo(exchange);
  } else if (path == "/echo-chunked") {
    co_await echo_chunked(exchange);
  } else if (path == "/wait") {
    co_await wait(exchange);
  } else if (path == "/flood") {
    co_await flood(exchange);
  } else if (path == "/events") {
    co_await events(exchange);
  } else if (path == "/silent") {
    // answers nothing
  } else if (path == "/half") {
    EXPECT_TRUE(exchange.start(200, {}, Framing::chunked()).has_value());
    co_await exchange.send_body("half");
  } else if (path == "/short") {
    EXPECT_TRUE(exchange.start(200, {}, Framing::length(10)).has_value());
    auto finished = co_await exchange.finish("12345");
    EXPECT_FALSE(finished.has_value());
  } else if (path == "/no-content") {
    co_await exchange.respond(204, {}, "dropped");
  } else if (path == "/extra" && extra) {
    co_await extra(exchange);
  } else {
    co_await exchange.respond(200, {{"Content-Type", "text/plain"}}, "hello\n");
  }
}

Task<void> TestHandler::echo(Exchange& exchange) {
  auto body = co_await exchange.read_all(size_t{256} << 20);
  if (!body.has_value()) {
    {
      std::lock_guard lock(mutex);
      last_error = body.error().reason();
    }
    co_await respond_error(exchange, body.error());
    co_return;
  }
  co_await exchange.respond(200, {{"Method", exchange.request().method}}, *body);
}

Task<void> TestHandler::echo_chunked(Exchange& exchange) {
  EXPECT_TRUE(exchange.start(200, {}, Framing::chunked()).has_value());
  for (;;) {
    auto piece = co_await exchange.read_some();
    if (!piece.has_value()) co_return;
    if (piece->empty()) break;
    if (auto written = co_await exchange.send_body(*piece); !written.has_value()) co_return;
  }
  HeaderList trailers(exchange.request_trailers());
  co_await exchange.finish({}, trailers);
}

Task<void> TestHandler::wait(Exchange& exchange) {
  auto ticket = release.ticket();
  auto on_gone = [this] {
    ++gone;
    release.notify();
  };
  auto watch = exchange.watch_client(on_gone);
  SystemClock clock;
  co_await release.wait(ticket, clock.steady() + std::chrono::seconds(20));
  if (!exchange.client_gone()) co_await exchange.respond(200, {}, "waited");
}

Task<void> TestHandler::flood(Exchange& exchange) {
  std::string piece = pattern(64 << 10);
  EXPECT_TRUE(exchange.start(200, {}, Framing::chunked()).has_value());
  for (int i = 0; i < 10'000; ++i) {
    if (auto written = co_await exchange.send_body(piece); !written.has_value()) co_return;
    sent += piece.size();
  }
  co_await exchange.finish();
}

Task<void> TestHandler::events(Exchange& exchange) {
  SseWriter writer(exchange);
  co_await writer.start();
  co_await writer.send({.id = "1", .event = "tick", .data = "first"});
  SystemClock clock;
  co_await release.wait_until(clock.steady() + std::chrono::seconds(20));
  co_await writer.send({.id = "2", .data = "second"});
  co_await writer.finish();
}

TestServer::TestServer(ServerOptions options, size_t count)
    : threads(count), server(std::move(options), {threads, clock, handler}) {
  threads.start();
  auto started = server.start();
  EXPECT_TRUE(started.has_value()) << started.error().reason();
}

TestServer::~TestServer() {
  server.stop(Duration::zero());
  threads.stop();
}

void TestServer::run(Task<void> task, size_t thread) {
  TaskGroup group;
  group.spawn(threads.executor(thread), std::move(task));
  group.join();
}

}  // namespace gantry::net
