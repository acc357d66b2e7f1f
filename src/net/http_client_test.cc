#include <sys/socket.h>
#include <unistd.h>

#include "net/test_server.h"

namespace gantry::net {
namespace {

TEST(HttpClient, SendsWholeRequestsAndStreams) {
  TestServer server;
  HttpClient client({});
  Url url = *Url::parse(fmt::format("http://{}/echo", server.endpoint().to_string()));
  auto response = client.request_blocking({.method = "PUT", .url = url, .body = "hello"});
  ASSERT_TRUE(response.has_value()) << response.error().reason();
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->body, "hello");
  EXPECT_EQ(response->headers.view().find("method"), "PUT");

  int left = 3;
  std::string streamed;
  HttpClient::Streams streams;
  streams.upload = [&]() -> Result<std::string> { return left-- > 0 ? std::string("abc") : std::string(); };
  streams.download = [&](const ResponseHead& head, std::string_view piece) -> Result<void> {
    EXPECT_EQ(head.status, 200);
    streamed.append(piece);
    return {};
  };
  response = client.request_blocking({.method = "POST", .url = url}, streams);
  ASSERT_TRUE(response.has_value()) << response.error().reason();
  EXPECT_EQ(streamed, "abcabcabc");
}

TEST(HttpClient, BoundsTheAnswerAndNamesADeadServer) {
  TestServer server;
  HttpClient client({});
  Url url = *Url::parse(fmt::format("http://{}/echo", server.endpoint().to_string()));
  auto response =
      client.request_blocking({.method = "POST", .url = url, .body = pattern(5000), .max_body_bytes = 1000});
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().id(), ErrorId::GR0604);
  server.server.stop(Duration::zero());
  response = client.request_blocking({.url = url});
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().id(), ErrorId::GR0608);
}

TEST(HttpClient, AsksAboutTheAddressThatItConnectsTo) {
  TestServer server;
  Url url = *Url::parse(fmt::format("http://localhost:{}/echo", server.endpoint().port));
  std::vector<std::vector<uint8_t>> asked;
  AddressCheck only_loopback = [&](std::span<const uint8_t> address) -> Result<void> {
    asked.emplace_back(address.begin(), address.end());
    if (address.size() == 4 && address[0] == 127) return {};
    return fail(Code::denied, "not this one");
  };
  auto response = HttpClient({}).request_blocking({.method = "POST", .url = url, .check = only_loopback});
  ASSERT_TRUE(response.has_value()) << response.error().reason();
  EXPECT_FALSE(asked.empty());

  AddressCheck none = [](std::span<const uint8_t>) -> Result<void> { return fail(Code::denied, "no address"); };
  int before = server.handler.handled;
  response = HttpClient({}).request_blocking({.method = "POST", .url = url, .check = none});
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().code(), Code::denied);
  EXPECT_EQ(response.error().reason(), "no address");
  EXPECT_EQ(server.handler.handled, before);
}

TEST(HttpClient, SpeaksOverUnixSocketsAndReplacesADeadSocketFile) {
  std::string path = fmt::format("{}/gantry-net-{}.sock", testing::TempDir(), ::getpid());
  {
    // What a killed server leaves behind.
    int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr address{.sa_family = AF_UNIX};
    char raw[110] = {};
    std::memcpy(raw, &address, sizeof address.sa_family);
    path.copy(raw + sizeof address.sa_family, sizeof raw - 3);
    // SAFETY: laid out as sockaddr_un: a family, then the path.
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(raw), sizeof raw), 0);
    ::close(fd);
  }
  TestServer server({.listen = {.unix_path = path}});
  auto response = HttpClient({}).request_blocking({.url = *Url::parse("unix:" + path + ":/hello")});
  ASSERT_TRUE(response.has_value()) << response.error().reason();
  EXPECT_EQ(response->body, "hello\n");
}

}  // namespace
}  // namespace gantry::net
