#include "net/test_server.h"

namespace gantry::net {
namespace {

using std::chrono::milliseconds;

/// Passes everything on to one upstream.
class Relay final : public Handler {
 public:
  explicit Relay(Endpoint upstream) : upstream_(std::move(upstream)) {}
  Duration tunnel_idle = std::chrono::minutes(1);

  Task<void> handle(Exchange& exchange) override {
    auto socket = co_await connect(upstream_, {});
    if (!socket.has_value()) {
      co_await respond_error(exchange, socket.error());
      co_return;
    }
    ClientConnection connection(*std::move(socket));
    auto relayed = co_await relay(exchange, connection);
    if (!relayed.has_value()) co_await respond_error(exchange, relayed.error());
  }

 private:
  Task<Result<void>> relay(Exchange& exchange, ClientConnection& connection) {
    const RequestHead& request = exchange.request();
    GANTRY_CO_TRY_VOID(connection.start_forward(request, request.target, {{"Gantry-Attempt", "1"}}));
    for (;;) {
      GANTRY_CO_TRY(std::string_view piece, co_await exchange.read_some());
      if (piece.empty()) break;
      GANTRY_CO_TRY_VOID(co_await connection.send_body(piece));
    }
    GANTRY_CO_TRY_VOID(co_await connection.finish({}, exchange.request_trailers()));
    GANTRY_CO_TRY(ResponseHead head, co_await connection.read_head());
    GANTRY_CO_TRY_VOID(exchange.start_forward(head, {{"Gantry-Request-Id", "req_1"}}));
    if (head.status == 101) co_return co_await exchange.tunnel(connection, tunnel_idle);
    for (;;) {
      GANTRY_CO_TRY(std::string_view piece, co_await connection.read_some());
      if (piece.empty()) break;
      GANTRY_CO_TRY_VOID(co_await exchange.send_body(piece));
    }
    co_return co_await exchange.finish({}, connection.trailers());
  }
  Endpoint upstream_;
};

class Relayed : public testing::Test {
 protected:
  Relayed() : threads(2), relay(upstream.endpoint()), server({}, {threads, clock, relay}) {
    threads.start();
    EXPECT_TRUE(server.start().has_value());
  }
  ~Relayed() override {
    server.stop(Duration::zero());
    threads.stop();
  }
  SystemClock clock;
  IoThreads threads;
  RawUpstream upstream;
  Relay relay;
  Server server;
};

TEST_F(Relayed, PassesHeadsOnByteForByteButForItsOwnFields) {
  RawClient client(server.local_endpoint());
  client.send(
      "PATCH /a%2Fb?x=1&x=2 HTTP/1.1\r\nHost: agent\r\nX-a: 1\r\nx-A:  two \r\nConnection: close, X-Drop\r\n"
      "X-Drop: 1\r\nGantry-Attempt: 99\r\nContent-Length: 2\r\n\r\nhi");
  auto peer = upstream.accept();
  EXPECT_EQ(peer->read_until("\r\n\r\nhi"),
            "PATCH /a%2Fb?x=1&x=2 HTTP/1.1\r\nHost: agent\r\nX-a: 1\r\nx-A: two\r\nGantry-Attempt: 1\r\n"
            "Content-Length: 2\r\n\r\nhi");
  peer->send(
      "HTTP/1.1 299 Odd Reason\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nDate: then\r\nKeep-Alive: 5\r\n"
      "Content-Length: 2\r\n\r\nyo");
  EXPECT_EQ(client.read_to_end(),
            "HTTP/1.1 299 Odd Reason\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nDate: then\r\nGantry-Request-Id: req_1\r\n"
            "Content-Length: 2\r\nConnection: close\r\n\r\nyo");
}

TEST_F(Relayed, NeverPassesACutAnswerOffAsAWholeOne) {
  for (std::string framing : {"Content-Length: 100", "Transfer-Encoding: chunked"}) {
    RawClient client(server.local_endpoint());
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    {
      auto peer = upstream.accept();
      peer->read_until("\r\n\r\n");
      peer->send("HTTP/1.1 200 OK\r\n" + framing + "\r\n\r\n5\r\nhello\r\n");
    }
    std::string answer = client.read_to_end();
    EXPECT_FALSE(answer.ends_with("0\r\n\r\n"));
    EXPECT_TRUE(client.was_reset()) << framing;
  }
}

TEST_F(Relayed, KeepsTheLengthThatAnAnswerToHeadTells) {
  RawClient client(server.local_endpoint());
  client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
  auto peer = upstream.accept();
  peer->read_until("\r\n\r\n");
  peer->send("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
  EXPECT_TRUE(client.read_until("\r\n\r\n").contains("Content-Length: 1234\r\n"));
}

TEST_F(Relayed, TunnelsBothWaysAfterAnUpgrade) {
  RawClient client(server.local_endpoint());
  client.send("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
  auto peer = upstream.accept();
  std::string head = peer->read_until("\r\n\r\n");
  EXPECT_TRUE(head.contains("Connection: Upgrade\r\nUpgrade: websocket\r\n")) << head;
  peer->send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst");
  EXPECT_TRUE(client.read_until("first").contains("Upgrade: websocket\r\n"));
  EXPECT_EQ(peer->read_exactly(5), "early");
  std::string large = pattern(3 << 20);
  std::thread sender([&] { client.send(large); });
  EXPECT_TRUE(peer->read_exactly(large.size()) == large);
  sender.join();
  peer->send("pong");
  EXPECT_EQ(client.read_exactly(4), "pong");
  // One direction ends, the other goes on.
  client.shutdown_send();
  EXPECT_EQ(peer->read_to_end(), "");
  peer->send("last");
  peer->shutdown_send();
  EXPECT_EQ(client.read_to_end(), "last");
}

TEST_F(Relayed, EndsATunnelInWhichNothingMoves) {
  relay.tunnel_idle = milliseconds(200);
  RawClient client(server.local_endpoint());
  client.send("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  auto peer = upstream.accept();
  peer->read_until("\r\n\r\n");
  peer->send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  client.read_until("\r\n\r\n");
  EXPECT_EQ(client.read_to_end(), "");
  peer->read_to_end();
}

}  // namespace
}  // namespace gantry::net
