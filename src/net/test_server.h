// What the tests of net/ share: a server with one small behaviour for each path, and a client that speaks raw bytes.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>

#include "net/net.h"

namespace gantry::net {

/// Waits until `condition` holds; false after `patience`.
inline bool eventually(const std::function<bool()>& condition, Duration patience = std::chrono::seconds(60)) {
  SystemClock clock;
  SteadyTime until = clock.steady() + patience;
  while (!condition()) {
    if (clock.steady() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

/// Text of `size` bytes that no shift or repetition leaves equal.
std::string pattern(size_t size);

/// A blocking TCP connection that sends and reads bytes as they are; every read has a deadline.
class RawClient {
 public:
  explicit RawClient(const Endpoint& endpoint);
  explicit RawClient(int fd) : fd_(fd) {}
  RawClient(const RawClient&) = delete;
  ~RawClient();

  void send(std::string_view bytes);
  /// Sends as much as fits without waiting; how much that was.
  size_t send_some(std::string_view bytes);
  /// Reads until the text has come; what was read so far, with it, is consumed. Fails the test after 60 s.
  std::string read_until(std::string_view text);
  /// Reads exactly so many bytes.
  std::string read_exactly(size_t bytes);
  /// Reads one response with Content-Length or without a body.
  std::string read_response();
  /// Everything until the peer ends. `was_reset` tells how.
  std::string read_to_end();
  bool was_reset() const { return was_reset_; }
  void shutdown_send();
  int fd() const { return fd_; }

 private:
  bool fill();
  int fd_ = -1;
  std::string buffer_;
  bool was_reset_ = false;
};

/// An upstream that a test plays byte by byte.
class RawUpstream {
 public:
  RawUpstream();
  ~RawUpstream();
  const Endpoint& endpoint() const { return endpoint_; }
  std::unique_ptr<RawClient> accept();

 private:
  int fd_;
  Endpoint endpoint_;
};

/// The status of a raw response, 0 if it is none.
int status_in(std::string_view response);

/// One behaviour for each path; see test_server.cc.
class TestHandler final : public Handler {
 public:
  Task<void> handle(Exchange& exchange) override;

  std::atomic<int> handled = 0;
  std::atomic<int> gone = 0;     // on_gone calls
  std::atomic<size_t> sent = 0;  // bytes that /flood got rid of
  Notifier release;              // ends /wait
  std::mutex mutex;
  std::string last_error;                      // what reading the body failed with
  std::function<Task<void>(Exchange&)> extra;  // for what one test needs

 private:
  Task<void> echo(Exchange& exchange);
  Task<void> echo_chunked(Exchange& exchange);
  Task<void> wait(Exchange& exchange);
  Task<void> flood(Exchange& exchange);
  Task<void> events(Exchange& exchange);
};

/// A running server on a port of the kernel's choice.
class TestServer {
 public:
  explicit TestServer(ServerOptions options = {}, size_t threads = 2);
  ~TestServer();
  Endpoint endpoint() const { return server.local_endpoint(); }

  /// Runs a coroutine on an I/O thread and waits for it.
  void run(Task<void> task, size_t thread = 0);

  SystemClock clock;
  IoThreads threads;
  TestHandler handler;
  Server server;
};

}  // namespace gantry::net
