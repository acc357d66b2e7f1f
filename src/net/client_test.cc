#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/test_server.h"

namespace gantry::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// I/O threads and what a coroutine of a test needs.
class Client : public testing::Test {
 protected:
  Client() : threads(2), pool(threads, {.idle_timeout = seconds(30)}) { threads.start(); }
  ~Client() override { threads.stop(); }

  void run(Task<void> task) {
    TaskGroup group;
    group.spawn(threads.executor(0), std::move(task));
    group.join();
  }
  /// Runs it while the test plays the other side.
  void spawn(Task<void> task) { background.spawn(threads.executor(0), std::move(task)); }

  Task<Result<ClientConnection>> connected(Endpoint endpoint, ClientLimits limits = {}) {
    GANTRY_CO_TRY(Socket socket, co_await connect(endpoint, {.deadline = clock.steady() + seconds(10)}));
    co_return ClientConnection(std::move(socket), limits);
  }
  /// One GET on a connection; the whole body.
  Task<Result<std::string>> get(ClientConnection& connection, std::string_view target) {
    GANTRY_CO_TRY_VOID(connection.start("GET", target, {{"Host", "x"}}, Framing::none()));
    GANTRY_CO_TRY_VOID(co_await connection.finish());
    GANTRY_CO_TRY(ResponseHead head, co_await connection.read_head());
    last_status = head.status;
    std::string body;
    for (;;) {
      GANTRY_CO_TRY(std::string_view piece, co_await connection.read_some());
      if (piece.empty()) co_return body;
      body.append(piece);
    }
  }
  /// Takes from the pool or connects, gets, gives back; keeps the outcome.
  Task<void> get_pooled(Endpoint endpoint, std::string_view target) {
    ClientConnection connection = pool.take("key");
    if (!connection) {
      auto fresh = co_await connected(endpoint);
      if (!fresh.has_value()) {
        outcome.emplace(std::unexpected(fresh.error()));
        co_return;
      }
      connection = std::move(*fresh);
    }
    outcome.emplace(co_await get(connection, target));
    was_stale = connection.stale();
    pool.give("key", std::move(connection));
    idle = pool.idle();
  }
  Task<void> count_idle() {
    idle = pool.idle();
    co_return;
  }

  SystemClock clock;
  IoThreads threads;
  Pool pool;
  TaskGroup background;
  std::optional<Result<std::string>> outcome;
  std::atomic<size_t> idle = 0;
  bool was_stale = false;
  int last_status = 0;
};

TEST_F(Client, ReusesAKeptConnection) {
  TestServer server;
  for (int i = 0; i < 5; ++i) {
    run(get_pooled(server.endpoint(), "/hello"));
    ASSERT_TRUE(outcome->has_value()) << outcome->error().reason();
    EXPECT_EQ(**outcome, "hello\n");
    EXPECT_EQ(idle, 1u);
  }
  EXPECT_EQ(server.server.connections(), 1u);
  EXPECT_EQ(server.handler.handled, 5);
}

TEST_F(Client, DropsAnIdleConnectionThatItsPeerCloses) {
  TestServer server({.limits = {.keep_alive_timeout = milliseconds(200)}});
  run(get_pooled(server.endpoint(), "/hello"));
  EXPECT_EQ(idle, 1u);
  EXPECT_TRUE(eventually([&] {
    run(count_idle());
    return idle == 0;
  }));
}

TEST_F(Client, ClosesAllIdleConnectionsOfAKey) {
  TestServer server;
  run(get_pooled(server.endpoint(), "/hello"));
  pool.close_all("other");
  run(count_idle());
  EXPECT_EQ(idle, 1u);
  pool.close_all("key");
  EXPECT_TRUE(eventually([&] { return server.server.connections() == 0; }));
}

TEST_F(Client, TellsAStaleConnectionFromABrokenAnswer) {
  constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  struct Row {
    const char* name;
    std::string_view second;  // what comes on the second request before the close
    bool stale;
  };
  for (const Row& row : {Row{"nothing", "", true}, Row{"part of a head", "HTTP/1.1 20", false},
                         Row{"part of a body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", false}}) {
    SCOPED_TRACE(row.name);
    RawUpstream upstream;
    outcome.reset();
    std::thread peer([&] {
      auto connection = upstream.accept();
      connection->read_until("\r\n\r\n");
      connection->send(answer);
      connection->read_until("\r\n\r\n");
      connection->send(row.second);
    });
    run(get_pooled(upstream.endpoint(), "/"));
    ASSERT_TRUE(outcome->has_value());
    run(get_pooled(upstream.endpoint(), "/"));
    peer.join();
    ASSERT_FALSE(outcome->has_value());
    EXPECT_EQ(outcome->error().code(), Code::unavailable);
    EXPECT_EQ(was_stale, row.stale);
  }
  // The same on a fresh connection is no stale one: the peer may have begun to work.
  RawUpstream upstream;
  std::thread peer([&] { upstream.accept()->read_until("\r\n\r\n"); });
  run(get_pooled(upstream.endpoint(), "/"));
  peer.join();
  EXPECT_FALSE(outcome->has_value());
  EXPECT_FALSE(was_stale);
}

struct AnswerCase {
  const char* name;
  std::string answer;  // then the peer closes
  std::optional<std::string> body;
};

TEST_F(Client, ReadsAnswersOrRefusesThemAsTheTableSays) {
  const AnswerCase cases[] = {
      {"until close", "HTTP/1.1 200 OK\r\n\r\nto the end", "to the end"},
      {"http 1.0", "HTTP/1.0 200 OK\r\n\r\nold", "old"},
      {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n", "abcde"},
      {"informational first",
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
       "a"},
      {"equal lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "a"},
      {"empty reason", "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\na", "a"},
      {"cut length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", {}},
      {"cut chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", {}},
      {"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", {}},
      {"cut head", "HTTP/1.1 200 OK\r\nContent-", {}},
      {"not http", "SSH-2.0-OpenSSH_9.2\r\n", {}},
      {"different lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", {}},
      {"length and chunked", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {}},
      {"unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", {}},
      {"too many fields",
       "HTTP/1.1 200 OK\r\n" +
           [] {
             std::string fields;
             for (int i = 0; i < 300; ++i) fields += "A: b\r\n";
             return fields;
           }() +
           "\r\n",
       {}},
      {"too large a head", "HTTP/1.1 200 OK\r\nA: " + std::string(70'000, 'a') + "\r\n\r\n", {}},
  };
  for (const AnswerCase& one : cases) {
    SCOPED_TRACE(one.name);
    RawUpstream upstream;
    std::thread peer([&] {
      auto connection = upstream.accept();
      connection->read_until("\r\n\r\n");
      connection->send(one.answer);
      connection->shutdown_send();
      connection->read_to_end();
    });
    run(get_pooled(upstream.endpoint(), "/"));
    peer.join();
    EXPECT_EQ(outcome->has_value(), one.body.has_value());
    if (outcome->has_value()) EXPECT_EQ(**outcome, one.body.value_or(""));
    if (!outcome->has_value()) EXPECT_EQ(outcome->error().code(), Code::unavailable) << outcome->error().reason();
  }
}

Task<void> upload(ClientConnection connection, std::string body, std::string& answer, HeaderList& trailers) {
  EXPECT_TRUE(connection.start("POST", "/echo-chunked", {{"Host", "x"}}, Framing::chunked()).has_value());
  for (size_t at = 0; at < body.size(); at += 100'000) {
    auto sent = co_await connection.send_body(std::string_view(body).substr(at, 100'000));
    EXPECT_TRUE(sent.has_value());
  }
  co_await connection.finish({}, {{"Sum", "1"}});
  EXPECT_TRUE((co_await connection.read_head()).has_value());
  for (;;) {
    auto piece = co_await connection.read_some();
    EXPECT_TRUE(piece.has_value());
    if (!piece.has_value() || piece->empty()) break;
    answer.append(*piece);
  }
  trailers = HeaderList(connection.trailers());
  EXPECT_TRUE(connection.reusable());
}

Task<void> connect_and_upload(Endpoint endpoint, std::string body, std::string& answer, HeaderList& trailers) {
  auto socket = co_await connect(endpoint, {});
  EXPECT_TRUE(socket.has_value());
  if (socket.has_value()) co_await upload(ClientConnection(*std::move(socket)), std::move(body), answer, trailers);
}

TEST_F(Client, StreamsAChunkedBodyWithTrailersBothWays) {
  TestServer server;
  std::string body = pattern(300'000), answer;
  HeaderList trailers;
  run(connect_and_upload(server.endpoint(), body, answer, trailers));
  EXPECT_TRUE(answer == body);
  EXPECT_EQ(trailers.view().find("sum"), "1");
}

Task<void> wait_in_vain(Endpoint endpoint, Code& code, SystemClock& clock) {
  auto socket = co_await connect(endpoint, {});
  EXPECT_TRUE(socket.has_value());
  ClientConnection connection(*std::move(socket));
  connection.set_deadline(clock.steady() + milliseconds(150));
  EXPECT_TRUE(connection.start("GET", "/", {{"Host", "x"}}, Framing::none()).has_value());
  EXPECT_TRUE((co_await connection.finish()).has_value());
  auto head = co_await connection.read_head();
  EXPECT_FALSE(head.has_value());
  if (!head.has_value()) code = head.error().code();
  EXPECT_FALSE(connection.stale());
}

TEST_F(Client, FailsWithTimeoutAtItsDeadline) {
  RawUpstream upstream;  // accepts in its backlog and says nothing
  Code code = Code::internal;
  run(wait_in_vain(upstream.endpoint(), code, clock));
  EXPECT_EQ(code, Code::timeout);
}

Task<void> connect_given(int fd, Endpoint endpoint, std::optional<Result<void>>& result) {
  auto socket = co_await connect_socket(fd, endpoint, SteadyTime::max());
  if (socket.has_value())
    result.emplace(co_await socket->write("hello"));
  else
    result.emplace(std::unexpected(socket.error()));
}

TEST_F(Client, ConnectsASocketThatExistsAlready) {
  RawUpstream upstream;
  std::optional<Result<void>> result;
  run(connect_given(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), upstream.endpoint(), result));
  EXPECT_TRUE(result->has_value());
  EXPECT_EQ(upstream.accept()->read_to_end(), "hello");
}

TEST_F(Client, SaysThatNothingListens) {
  Endpoint dead;
  {
    RawUpstream upstream;
    dead = upstream.endpoint();
  }
  std::optional<Result<void>> result;
  run(connect_given(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), dead, result));
  ASSERT_FALSE(result->has_value());
  EXPECT_EQ(result->error().id(), ErrorId::GR0608);
}

}  // namespace
}  // namespace gantry::net
