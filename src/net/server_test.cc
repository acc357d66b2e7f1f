#include <fstream>

#include "net/test_server.h"

namespace gantry::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view hello_request = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";

std::string post(std::string_view path, std::string_view body, std::string_view fields = "") {
  return fmt::format("POST {} HTTP/1.1\r\nHost: x\r\n{}Content-Length: {}\r\n\r\n{}", path, fields, body.size(), body);
}

std::string body_of(const std::string& response) { return response.substr(response.find("\r\n\r\n") + 4); }

struct WireCase {
  const char* name;
  std::string request;
  int status;
};

std::ostream& operator<<(std::ostream& out, const WireCase& one) { return out << one.name; }

class RequestOnTheWire : public testing::TestWithParam<WireCase> {};

TEST_P(RequestOnTheWire, IsAnsweredOrRefusedAsTheTableSays) {
  TestServer server;
  RawClient client(server.endpoint());
  client.send(GetParam().request);
  std::string response = client.read_response();
  EXPECT_EQ(status_in(response), GetParam().status) << response;
  if (status_in(response) < 400) return;
  EXPECT_TRUE(response.contains("application/problem+json")) << response;
  EXPECT_TRUE(response.contains("Connection: close")) << response;
  client.shutdown_send();
  client.read_to_end();
  EXPECT_FALSE(client.was_reset());
  EXPECT_EQ(server.handler.handled, 0);
}

std::string with(std::string_view fields, std::string_view rest = "") {
  return fmt::format("POST /echo HTTP/1.1\r\nHost: x\r\n{}\r\n{}", fields, rest);
}

INSTANTIATE_TEST_SUITE_P(
    Table, RequestOnTheWire,
    testing::Values(
        WireCase{"plain", std::string(hello_request), 200},
        WireCase{"http_1_0_without_host", "GET / HTTP/1.0\r\n\r\n", 200},
        WireCase{"empty_lines_before", "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 200},
        WireCase{"absolute_target", "GET http://x/hello HTTP/1.1\r\nHost: x\r\n\r\n", 200},
        WireCase{"unknown_method", "BREW /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200},
        WireCase{"length_and_chunked", with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
        WireCase{"chunked_and_length", with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400},
        WireCase{"two_lengths", with("Content-Length: 5\r\nContent-Length: 6\r\n", "12345"), 400},
        WireCase{"two_equal_lengths", with("Content-Length: 5\r\nContent-Length: 5\r\n", "12345"), 400},
        WireCase{"length_list", with("Content-Length: 5, 5\r\n", "12345"), 400},
        WireCase{"length_with_sign", with("Content-Length: +5\r\n", "12345"), 400},
        WireCase{"negative_length", with("Content-Length: -5\r\n", "12345"), 400},
        WireCase{"length_hex", with("Content-Length: 0x5\r\n", "12345"), 400},
        WireCase{"length_overflow", with("Content-Length: 99999999999999999999999\r\n"), 400},
        WireCase{"empty_length", with("Content-Length: \r\n"), 400},
        WireCase{"two_codings", with("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 400},
        WireCase{"chunked_twice", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
                 400},
        WireCase{"chunked_not_last", with("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), 400},
        WireCase{"obfuscated_chunked", with("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 400},
        WireCase{"chunked_in_1_0", "POST /echo HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 400},
        WireCase{"bare_line_feeds", "GET / HTTP/1.1\nHost: x\n\n", 400},
        WireCase{"bare_line_feed_in_fields", "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400},
        WireCase{"folded_field", with("A: b\r\n c\r\n"), 400},
        WireCase{"folded_first", "GET / HTTP/1.1\r\n A: b\r\n\r\n", 400},
        WireCase{"nul_in_value", with(std::string_view("A: b\0c\r\n", 8)), 400},
        WireCase{"nul_in_name", with(std::string_view("A\0: b\r\n", 7)), 400},
        WireCase{"bare_cr_in_value", with("A: b\rc\r\n"), 400}, WireCase{"space_before_colon", with("A : b\r\n"), 400},
        WireCase{"no_colon", with("A\r\n"), 400}, WireCase{"empty_name", with(": b\r\n"), 400},
        WireCase{"no_host", "GET / HTTP/1.1\r\n\r\n", 400}, WireCase{"two_hosts", with("Host: y\r\n"), 400},
        WireCase{"host_with_path", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400},
        WireCase{"no_version", "GET /\r\n\r\n", 400}, WireCase{"version_2", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 400},
        WireCase{"space_in_target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        WireCase{"tls_hello", std::string("\x16\x03\x01\x02\x00\x01\x00\n\n", 9), 400},
        WireCase{"long_target", "GET /" + std::string(70'000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
        WireCase{"large_field", with("A: " + std::string(70'000, 'a') + "\r\n"), 431}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ServerLimits, RefuseMoreFieldsThanAllowed) {
  TestServer server({.limits = {.max_header_count = 10}});
  RawClient client(server.endpoint());
  std::string fields;
  for (int i = 0; i < 10; ++i) fields += fmt::format("A{}: b\r\n", i);
  client.send(with(fields));
  EXPECT_EQ(status_in(client.read_response()), 431);
}

struct ChunkCase {
  const char* name;
  std::string body;
  int status;  // 0: the answer is broken off or the error is the echo handler's
};

TEST(ChunkedBody, IsReadOrRefusedAsTheTableSays) {
  const ChunkCase cases[] = {
      {"one", "5\r\nhello\r\n0\r\n\r\n", 200},
      {"extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n", 200},
      {"trailers", "5\r\nhello\r\n0\r\nA: b\r\n\r\n", 200},
      {"upper_hex", "00A\r\n0123456789\r\n0\r\n\r\n", 200},
      {"bad_size", "x\r\nhello\r\n0\r\n\r\n", 400},
      {"negative_size", "-5\r\nhello\r\n0\r\n\r\n", 400},
      {"no_crlf_behind", "5\r\nhelloXX0\r\n\r\n", 400},
      {"size_overflow", "fffffffffffffffff\r\nhello\r\n", 400},
      {"bare_lf_after_size", "5\nhello\r\n0\r\n\r\n", 400},
      {"too_long_extension", "5;" + std::string(200'000, 'a') + "\r\nhello\r\n0\r\n\r\n", 400},
  };
  for (const ChunkCase& one : cases) {
    SCOPED_TRACE(one.name);
    TestServer server;
    RawClient client(server.endpoint());
    client.send(with("Transfer-Encoding: chunked\r\n", one.body));
    EXPECT_EQ(status_in(client.read_response()), one.status);
  }
}

TEST(Server, EchoesBodiesOfAllSizesInBothFramingsByteForByte) {
  TestServer server;
  RawClient client(server.endpoint());
  for (size_t size : {size_t{0}, size_t{1}, size_t{1023}, size_t{4096}, size_t{65'536}, size_t{1'000'003}}) {
    SCOPED_TRACE(size);
    std::string body = pattern(size);
    client.send(post("/echo", body));
    EXPECT_TRUE(body_of(client.read_response()) == body);
    client.send(with("Transfer-Encoding: chunked\r\n"));
    for (size_t at = 0; at < size; at += 7'777) {
      std::string piece = body.substr(at, 7'777);
      client.send(fmt::format("{:x}\r\n{}\r\n", piece.size(), piece));
    }
    client.send("0\r\n\r\n");
    EXPECT_TRUE(body_of(client.read_response()) == body);
  }
}

TEST(Server, EchoesAHundredMegabytes) {
  TestServer server;
  RawClient client(server.endpoint());
  std::string body = pattern(100 << 20);
  client.send(post("/echo", body));
  std::string response = client.read_response();
  EXPECT_TRUE(body_of(response) == body);
}

TEST(Server, ReadsARequestThatArrivesByteByByte) {
  TestServer server;
  RawClient client(server.endpoint());
  std::string request = with("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n");
  for (char byte : request) client.send({&byte, 1});
  EXPECT_EQ(body_of(client.read_response()), "hello world");
}

TEST(Server, PassesTrailersApartFromFields) {
  TestServer server;
  RawClient client(server.endpoint());
  client.send(
      "POST /echo-chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n0\r\nChecksum: 1\r\nChecksum: 2\r\n\r\n");
  std::string response = client.read_until("\r\n0\r\nChecksum: 1\r\nChecksum: 2\r\n\r\n");
  EXPECT_TRUE(response.contains("\r\n3\r\nabc\r\n")) << response;
}

TEST(Server, AnswersHeadAndNoContentWithoutABody) {
  TestServer server;
  RawClient client(server.endpoint());
  client.send("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(client.read_until("\r\n\r\n").contains("Content-Length: 6\r\n"));
  client.send("GET /no-content HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_FALSE(client.read_until("\r\n\r\n").contains("Content-Length"));
  // What follows at once is the next answer: neither had a body.
  client.send(hello_request);
  EXPECT_EQ(status_in(client.read_response()), 200);
}

TEST(Server, SendsContinueOnlyWhenTheHandlerReads) {
  TestServer server;
  RawClient client(server.endpoint());
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("hello");
  EXPECT_EQ(body_of(client.read_response()), "hello");

  RawClient refused(server.endpoint());
  refused.send("POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  std::string response = refused.read_response();
  EXPECT_EQ(status_in(response), 200);
  EXPECT_TRUE(response.contains("Connection: close"));  // nobody knows whether the body will come
}

TEST(Server, AnswersHttp10WithoutChunksAndClosesUnlessAskedToKeep) {
  TestServer server;
  RawClient closing(server.endpoint());
  closing.send("POST /echo-chunked HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello");
  std::string response = closing.read_to_end();
  EXPECT_FALSE(response.contains("chunked"));
  EXPECT_EQ(body_of(response), "hello");

  RawClient keeping(server.endpoint());
  for (int i = 0; i < 2; ++i) {
    keeping.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_TRUE(keeping.read_response().contains("Connection: keep-alive\r\n"));
  }
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  TestServer server;
  RawClient client(server.endpoint());
  std::string all;
  for (int i = 0; i < 200; ++i) all += post("/echo", fmt::format("body {}", i));
  client.send(all);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(body_of(client.read_response()), fmt::format("body {}", i));
}

TEST(Server, DropsAShortUnreadBodyAndClosesBehindALongOne) {
  TestServer server;
  RawClient client(server.endpoint());
  client.send(post("/hello", pattern(100'000)));
  EXPECT_EQ(status_in(client.read_response()), 200);
  client.send(hello_request);
  EXPECT_EQ(status_in(client.read_response()), 200);

  client.send(post("/hello", pattern(10 << 20)));
  std::string response = client.read_to_end();
  EXPECT_EQ(status_in(response), 200);
  EXPECT_TRUE(response.contains("Connection: close"));
}

TEST(Server, RefusesABodyAboveItsLimitBeforeReadingIt) {
  TestServer server({.limits = {.max_body_bytes = 1000}});
  server.handler.extra = [](Exchange& exchange) -> Task<void> {
    auto piece = co_await exchange.read_some();
    co_await respond_error(exchange, piece.has_value() ? Error(Code::internal, "it was read") : piece.error(), "req_1");
  };
  RawClient client(server.endpoint());
  client.send("POST /extra HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
  std::string response = client.read_response();
  EXPECT_EQ(status_in(response), 413) << response;
  EXPECT_TRUE(response.contains("\"id\":\"GR0604\"")) << response;
  EXPECT_TRUE(response.contains("\"request_id\":\"req_1\"")) << response;
}

TEST(Server, NeverEndsABrokenAnswerCleanly) {
  TestServer server;
  for (std::string path : {"/half", "/short"}) {
    RawClient client(server.endpoint());
    client.send(fmt::format("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", path));
    std::string response = client.read_to_end();
    EXPECT_FALSE(response.ends_with("0\r\n\r\n"));
    EXPECT_TRUE(client.was_reset()) << path << ": " << response;
  }
  RawClient client(server.endpoint());
  client.send("GET /silent HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(status_in(client.read_response()), 500);
}

TEST(Server, ClosesASlowHeadAndAnIdleConnection) {
  TestServer server({.limits = {.header_timeout = milliseconds(300), .keep_alive_timeout = milliseconds(500)}});
  RawClient slow(server.endpoint());
  slow.send("GET / HTTP/1.1\r\nHo");
  EXPECT_EQ(status_in(slow.read_response()), 408);
  RawClient idle(server.endpoint());
  idle.send(hello_request);
  idle.read_response();
  EXPECT_EQ(idle.read_to_end(), "");
}

TEST(Server, GivesUpOnABodyThatDoesNotCome) {
  TestServer server({.limits = {.body_idle_timeout = milliseconds(300), .linger_timeout = milliseconds(300)}});
  RawClient client(server.endpoint());
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhal");
  EXPECT_EQ(status_in(client.read_response()), 408);
}

TEST(Server, StopsSendingToAReaderThatStallsAndAbortsIt) {
  TestServer server({.limits = {.write_idle_timeout = milliseconds(500)}});
  RawClient client(server.endpoint());
  client.send("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return server.handler.sent > 0; }));
  EXPECT_TRUE(eventually([&] { return server.server.connections() == 0; }));
  // 640 MB were to be sent: only what the socket buffers take was.
  EXPECT_LT(server.handler.sent, size_t{64} << 20);
}

TEST(Server, SendsTheFirstEventBeforeTheStreamEnds) {
  TestServer server;
  RawClient client(server.endpoint());
  client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(client.read_until("data: first\n\n").contains("text/event-stream"));
  server.handler.release.notify();
  EXPECT_TRUE(client.read_until("\r\n0\r\n\r\n").contains("data: second"));
}

TEST(Server, TellsAWaitingHandlerThatTheClientHasGone) {
  TestServer server;
  {
    RawClient client(server.endpoint());
    client.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(eventually([&] { return server.handler.handled == 1; }));
    EXPECT_EQ(server.handler.gone, 0);
  }
  EXPECT_TRUE(eventually([&] { return server.handler.gone == 1; }));
  EXPECT_TRUE(eventually([&] { return server.server.connections() == 0; }));
}

TEST(Server, DrainsIdleConnectionsAtOnceAndOthersAfterTheirAnswer) {
  TestServer server({}, 1);
  RawClient idle(server.endpoint());
  idle.send(hello_request);
  idle.read_response();
  RawClient busy(server.endpoint());
  busy.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return server.handler.handled == 2; }));
  std::thread stopper([&] { server.server.stop(seconds(10)); });
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_FALSE(idle.was_reset());
  server.handler.release.notify();
  std::string response = busy.read_to_end();
  EXPECT_EQ(status_in(response), 200);
  EXPECT_TRUE(response.contains("Connection: close"));
  stopper.join();
  EXPECT_EQ(server.handler.gone, 0);
}

TEST(Server, AbortsWhatIsLeftAtTheDrainDeadline) {
  TestServer server;
  RawClient busy(server.endpoint());
  busy.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return server.handler.handled == 1; }));
  server.server.stop(milliseconds(50));
  EXPECT_EQ(server.handler.gone, 1);
  busy.read_to_end();
  EXPECT_TRUE(busy.was_reset());
}

TEST(Server, RefusesConnectionsAboveTheLimit) {
  TestServer server({.limits = {.max_connections = 2}});
  RawClient first(server.endpoint());
  RawClient second(server.endpoint());
  EXPECT_TRUE(eventually([&] { return server.server.connections() == 2; }));
  RawClient third(server.endpoint());
  third.send(hello_request);
  EXPECT_EQ(status_in(third.read_response()), 503);
  first.send(hello_request);
  EXPECT_EQ(status_in(first.read_response()), 200);
}

TEST(Server, RefusesAnAddressThatIsInUse) {
  TestServer server;
  Server second({.listen = server.endpoint()}, {server.threads, server.clock, server.handler});
  auto started = second.start();
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().id(), ErrorId::GR0601);
}

size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

TEST(Server, HoldsTwoThousandIdleConnectionsInLittleMemory) {
  TestServer server;
  std::vector<std::unique_ptr<RawClient>> clients;
  size_t before = resident_bytes();
  for (int i = 0; i < 2000; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.endpoint()));
    clients.back()->send(hello_request);
    EXPECT_EQ(status_in(clients.back()->read_response()), 200);
  }
  size_t each = (resident_bytes() - before) / 2000;
  RecordProperty("bytes_each", static_cast<int>(each));
#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
  EXPECT_LT(each, 16u << 10);
#endif
}

}  // namespace
}  // namespace gantry::net
