// The pure parts: fields, forwarding, heads, problems, events, addresses.
#include <gtest/gtest.h>

#include "net/head_parser.h"
#include "net/net.h"
#include "net/wire.h"

namespace gantry::net {
namespace {

TEST(Headers, KeepOrderRepeatsAndBytesAndFindWithoutCase) {
  HeaderList list;
  list.add("Set-Cookie", "a=1");
  list.add("X-raw", "\xff odd");
  list.add("set-cookie", "b=2");
  EXPECT_EQ(list.view().find("SET-COOKIE"), "a=1");
  EXPECT_EQ(list.view().all("set-cookie"), (std::vector<std::string_view>{"a=1", "b=2"}));
  EXPECT_EQ(list.view()[1], (Header{"X-raw", "\xff odd"}));
  EXPECT_FALSE(list.view().find("missing"));
}

TEST(Headers, FindTokensInListsOverSeveralFields) {
  HeaderList list;
  list.add("Connection", "keep-alive , Upgrade");
  list.add("connection", "x-a");
  EXPECT_TRUE(list.view().has_token("Connection", "upgrade"));
  EXPECT_TRUE(list.view().has_token("Connection", "X-A"));
  EXPECT_FALSE(list.view().has_token("Connection", "up"));
}

TEST(HeaderList, SurvivesCopyMoveSetAndRemove) {
  HeaderList list;
  for (int i = 0; i < 100; ++i) list.add(fmt::format("a{}", i), "b");
  HeaderList copy = list;
  HeaderList moved = std::move(list);
  moved.set("A5", moved.view()[5].value);
  moved.remove("a6");
  EXPECT_EQ(moved.view().size(), 99u);
  EXPECT_EQ(moved.view().find("a5"), "b");
  EXPECT_EQ(copy.view().size(), 100u);
}

TEST(Forward, LeavesHopByHopNamedAndOurOwnFieldsBehind) {
  HeaderList in;
  for (auto [name, value] : std::initializer_list<Header>{{"Host", "h"},
                                                          {"Connection", "keep-alive, X-Private, host"},
                                                          {"Keep-Alive", "timeout=5"},
                                                          {"X-Private", "1"},
                                                          {"Accept", "a"},
                                                          {"TE", "trailers"},
                                                          {"Transfer-Encoding", "chunked"},
                                                          {"Content-Length", "5"},
                                                          {"gantry-request-id", "forged"},
                                                          {"Expect", "100-continue"},
                                                          {"Upgrade", "h2c"},
                                                          {"Proxy-Authorization", "secret"},
                                                          {"Accept", "b"}})
    in.add(name, value);
  HeaderList out = forwardable(in, Direction::request);
  std::vector<Header> kept(out.view().begin(), out.view().end());
  EXPECT_EQ(kept, (std::vector<Header>{{"Host", "h"}, {"Accept", "a"}, {"Accept", "b"}}));
  // An answer of an agent may carry them.
  HeaderList answer;
  answer.add("Gantry-Note", "kept");
  EXPECT_EQ(forwardable(answer, Direction::response).view().size(), 1u);
}

TEST(Wire, WritesAForwardedHeadWithReplacements) {
  HeaderList in;
  in.add("Host", "h");
  in.add("traceparent", "old");
  in.add("X-A", "1");
  std::string out;
  append_request_line(out, "POST", "/a?b=c");
  append_fields(out, {.passed = in, .own = {{"Traceparent", "new"}, {"Content-Length", "9"}}});
  append_framing(out, Framing::length(3));
  EXPECT_EQ(out, "POST /a?b=c HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nTraceparent: new\r\nContent-Length: 3\r\n");
}

TEST(Wire, RefusesWhatWouldSplitAMessage) {
  EXPECT_FALSE(check_fields({{"A", "b\r\nC: d"}}).has_value());
  EXPECT_FALSE(check_fields({{"A\r\nB", "c"}}).has_value());
  EXPECT_FALSE(check_fields({{"A b", "c"}}).has_value());
  EXPECT_FALSE(check_fields({{"", "c"}}).has_value());
  EXPECT_FALSE(check_request_line("GET", "/a b").has_value());
  EXPECT_FALSE(check_request_line("GET", "/a\r\nHost: y").has_value());
  EXPECT_FALSE(check_request_line("GE T", "/").has_value());
  EXPECT_TRUE(check_request_line("GET", "/ä?x=%20").has_value());
}

TEST(HeadScan, FindsTheEndWhereverTheBytesAreCut) {
  std::string head = "GET / HTTP/1.1\r\nHost: x\r\n\r\nbody";
  HeadScan scan;
  for (size_t cut = 1; cut < head.size() - 4; ++cut)
    EXPECT_EQ(scan.run(std::string_view(head).substr(0, cut)), HeadScan::Result::incomplete) << cut;
  EXPECT_EQ(scan.run(head), HeadScan::Result::complete);
  EXPECT_EQ(std::vector(scan.line_ends().begin(), scan.line_ends().end()), (std::vector<uint32_t>{16, 25, 27}));
}

TEST(Reason, KnowsTheRegistry) {
  EXPECT_EQ(reason_phrase(200), "OK");
  EXPECT_EQ(reason_phrase(511), "Network Authentication Required");
  EXPECT_EQ(reason_phrase(299), "Unknown");
}

TEST(Problem, IsJsonWithEveryMemberThatIsKnown) {
  Error error = Error(ErrorId::GR0604, "the body is \"big\"\n").with_hint("send less");
  EXPECT_EQ(problem_json(error, "req_1", "\"diagnostics\":[]"),
            R"({"type":"urn:gantry:error:GR0604","title":"the body is too large","status":413,"code":"exhausted",)"
            R"("message":"the body is \"big\"\n","hint":"send less","request_id":"req_1","retryable":false,)"
            R"("id":"GR0604","diagnostics":[]})");
  EXPECT_EQ(problem_json(Error(Code::not_found, "no such agent")),
            R"({"type":"about:blank","title":"Not Found","status":404,"code":"not_found","message":"no such agent",)" +
                fmt::format(R"("hint":"{}","retryable":false}})", Error(Code::not_found, "").advice()));
}

TEST(Sse, WritesWhatItReadsWhereverPiecesAreCut) {
  std::vector<SseEvent> events = {{.id = "1", .event = "tick", .data = "one"}, {.id = "2", .data = "two\nlines\n"}};
  std::string bytes = ": comment\n\n";
  for (const SseEvent& event : events) bytes += format_sse(event);
  for (size_t cut = 1; cut <= bytes.size(); ++cut) {
    SseReader reader;
    std::vector<SseEvent> read;
    for (size_t at = 0; at < bytes.size(); at += cut) {
      auto some = reader.feed(std::string_view(bytes).substr(at, cut));
      ASSERT_TRUE(some.has_value());
      read.insert(read.end(), some->begin(), some->end());
    }
    EXPECT_EQ(read, events) << cut;
    EXPECT_EQ(reader.last_event_id(), "2");
  }
}

TEST(Sse, ReadsAllLineEndsAndSkipsEventsWithoutData) {
  SseReader reader;
  auto read = reader.feed(
      "\xef\xbb\xbf"
      "data:a\r\rid: 7\r\n\r\nevent: x\ndata: b\ndata\n\n");
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(*read, (std::vector<SseEvent>{{.data = "a"}, {.id = "7", .event = "x", .data = "b\n"}}));
}

TEST(Sse, BoundsOneEventAndCannotBeInjectedThroughAnId) {
  SseReader reader(100);
  EXPECT_FALSE(reader.feed("data: " + std::string(200, 'a')).has_value());
  EXPECT_EQ(format_sse({.id = "1\ndata: x", .data = "y"}), "id: 1data: x\ndata: y\n\n");
}

TEST(Endpoint, ParsesWhatItPrints) {
  for (std::string text : {"127.0.0.1:8081", "[::1]:0", "localhost:65535", "unix:/run/gantry.sock"}) {
    auto endpoint = Endpoint::parse(text);
    ASSERT_TRUE(endpoint.has_value()) << text;
    EXPECT_EQ(endpoint->to_string(), text);
  }
  for (std::string text : {"", "8081", ":8081", "host", "host:", "host:65536", "host:-1", "::1:80", "unix:"})
    EXPECT_FALSE(Endpoint::parse(text).has_value()) << text;
}

TEST(Url, ParsesAndRefuses) {
  auto url = Url::parse("HTTPS://Example.com/a%20b?c=d#frag");
  ASSERT_TRUE(url.has_value());
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->endpoint.port, 443);
  EXPECT_EQ(url->target, "/a%20b?c=d");
  EXPECT_EQ(url->host_header(), "Example.com");
  EXPECT_EQ(Url::parse("http://[::1]:8081")->host_header(), "[::1]:8081");
  EXPECT_EQ(Url::parse("http://[::1]:8081")->endpoint.host, "::1");
  EXPECT_EQ(Url::parse("unix:/run/x.sock:/v1/a?b")->target, "/v1/a?b");
  EXPECT_EQ(Url::parse("unix:/run/x.sock:/v1/a?b")->endpoint.unix_path, "/run/x.sock");
  for (std::string text :
       {"", "ftp://x/", "http://", "//x", "http://u:p@x/", "http://x:0/", "http://x:99999/", "http://x y/"})
    EXPECT_FALSE(Url::parse(text).has_value()) << text;
}

TEST(RetryAfter, IsSecondsOrADate) {
  Time now(std::chrono::seconds(784'111'777));  // Sun, 06 Nov 1994 08:49:37 GMT
  EXPECT_EQ(parse_retry_after("120", now), std::chrono::seconds(120));
  EXPECT_EQ(parse_retry_after(" 0 ", now), Duration::zero());
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now), std::chrono::seconds(60));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now), Duration::zero());
  for (const char* text : {"", "-1", "soon", "1.5"}) EXPECT_FALSE(parse_retry_after(text, now).has_value()) << text;
}

}  // namespace
}  // namespace gantry::net
