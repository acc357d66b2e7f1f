#include "net/http_client.h"

#include <boost/url/parse.hpp>
#include <charconv>

#include "net/client_state.h"

namespace gantry::net {
namespace {

/// `unix:/path/to.sock` or `unix:/path/to.sock:/target`.
Result<Url> parse_unix_url(std::string_view text) {
  std::string_view rest = text.substr(5);
  Url url{.scheme = "unix"};
  size_t split = rest.find(":/");
  url.endpoint.unix_path = rest.substr(0, split);
  if (split != std::string_view::npos) url.target = rest.substr(split + 1);
  if (url.endpoint.unix_path.empty()) return fail(Code::invalid, "'{}' lacks the path of the socket", text);
  return url;
}

Task<Result<void>> send_upload(ClientConnection& connection, HttpClient::NextPiece next) {
  for (;;) {
    GANTRY_CO_TRY(std::string piece, next());
    if (piece.empty()) co_return co_await connection.finish();
    GANTRY_CO_TRY_VOID(co_await connection.send_body(piece));
  }
}

Task<Result<IncomingResponse>> read_answer(ClientConnection& connection, size_t max_bytes, HttpClient::OnPiece on_piece,
                                           HttpClient::OnHead on_head) {
  GANTRY_CO_TRY(ResponseHead head, co_await connection.read_head());
  if (on_head) on_head(head);
  bool streams = on_piece && head.status / 100 == 2;
  if (streams) connection.set_deadline(SteadyTime::max());  // a stream lasts as long as it lasts
  IncomingResponse response{.status = head.status, .headers = HeaderList(head.headers)};
  for (;;) {
    GANTRY_CO_TRY(std::string_view piece, co_await connection.read_some());
    if (piece.empty()) co_return response;
    if (streams) {
      GANTRY_CO_TRY_VOID(on_piece(head, piece));
    } else if (response.body.size() + piece.size() > max_bytes) {
      co_return fail(ErrorId::GR0604, "the answer is larger than {}", format_bytes(Bytes{max_bytes}));
    } else {
      response.body.append(piece);
    }
  }
}

}  // namespace

Result<Url> Url::parse(std::string_view text) {
  if (text.starts_with("unix:")) return parse_unix_url(text);
  auto parsed = boost::urls::parse_uri({text.data(), text.size()});
  if (!parsed) return fail(Code::invalid, "'{}' is not a URL", text.substr(0, 256));
  Url url;
  url.scheme = to_lower(std::string_view(parsed->scheme().data(), parsed->scheme().size()));
  if (url.scheme != "http" && url.scheme != "https")
    return fail(Code::invalid, "'{}': the scheme is neither http nor https", text.substr(0, 256));
  if (parsed->has_userinfo()) return fail(Code::invalid, "a URL with a user and password in it is not accepted");
  url.endpoint.host = parsed->host_address();
  if (url.endpoint.host.empty()) return fail(Code::invalid, "'{}' lacks a host", text.substr(0, 256));
  url.endpoint.port = url.scheme == "https" ? 443 : 80;
  if (parsed->has_port() && !parsed->port().empty()) {
    const char* end = parsed->port().data() + parsed->port().size();
    auto [stop, error] = std::from_chars(parsed->port().data(), end, url.endpoint.port);
    if (error != std::errc() || stop != end || url.endpoint.port == 0)
      return fail(Code::invalid, "'{}': the port is not 1 to 65535", text.substr(0, 256));
  }
  std::string_view path(parsed->encoded_path().data(), parsed->encoded_path().size());
  url.target = path.empty() ? "/" : std::string(path);
  if (parsed->has_query())
    url.target.append("?").append(parsed->encoded_query().data(), parsed->encoded_query().size());
  return url;
}

std::string Url::host_header() const {
  if (scheme == "unix") return "localhost";
  bool standard = endpoint.port == (scheme == "https" ? 443 : 80);
  std::string host = endpoint.host.contains(':') ? "[" + endpoint.host + "]" : endpoint.host;
  return standard ? host : fmt::format("{}:{}", host, endpoint.port);
}

Task<Result<ClientConnection>> HttpClient::open(OutgoingRequest request, Framing framing) {
  Executor executor = co_await asio::this_coro::executor;
  SteadyTime now = IoLocal::of(executor).now();
  SteadyTime all_by = after(now, request.timeout);
  ConnectOptions options{.deadline = std::min(all_by, after(now, options_.connect_timeout)), .check = request.check};
  if (request.url.scheme == "https") {
    if (options_.tls == nullptr) {
      GANTRY_CO_TRY(options_.tls, load_tls_client({}));
    }
    options.tls = options_.tls;
  }
  GANTRY_CO_TRY(Socket socket, co_await connect(request.url.endpoint, options));
  ClientConnection connection(std::move(socket));
  connection.set_deadline(all_by);
  std::vector<Header> headers;
  std::string host = request.url.host_header();
  if (!request.headers.view().find("host")) headers.push_back({"Host", host});
  headers.insert(headers.end(), request.headers.view().begin(), request.headers.view().end());
  GANTRY_CO_TRY_VOID(connection.start(request.method, request.url.target, headers, framing));
  // A body in the request goes out whole; without one, the caller sends what `framing` announced.
  bool whole = framing == Framing::none() || (framing == Framing::length(request.body.size()));
  if (whole) {
    GANTRY_CO_TRY_VOID(co_await connection.finish(request.body));
  }
  co_return connection;
}

Task<Result<IncomingResponse>> HttpClient::request(OutgoingRequest request) { return exchange(std::move(request), {}); }

Task<Result<IncomingResponse>> HttpClient::exchange(OutgoingRequest request, Streams streams) {
  size_t max_bytes = request.max_body_bytes;
  bool bodyless = request.body.empty() && (request.method == "GET" || request.method == "HEAD");
  Framing framing = bodyless ? Framing::none() : Framing::length(request.body.size());
  if (streams.upload) framing = Framing::chunked();
  GANTRY_CO_TRY(ClientConnection connection, co_await open(std::move(request), framing));
  if (streams.upload) {
    // The server may refuse an upload in the middle: then its answer says more than the broken write.
    auto sent = co_await send_upload(connection, streams.upload);
    if (!sent.has_value() && sent.error().code() != Code::unavailable) co_return std::unexpected(sent.error());
  }
  co_return co_await read_answer(connection, max_bytes, streams.download, streams.head);
}

Task<void> HttpClient::exchange_into(std::optional<Result<IncomingResponse>>& slot, OutgoingRequest request,
                                     Streams streams) {
  slot.emplace(co_await exchange(std::move(request), std::move(streams)));
}

Result<IncomingResponse> HttpClient::request_blocking(OutgoingRequest request, Streams streams) {
  std::optional<Result<IncomingResponse>> slot;
  TaskGroup tasks;
  asio::io_context context(1);
  tasks.spawn(context.get_executor(), exchange_into(slot, std::move(request), std::move(streams)));
  context.run();
  tasks.join();
  return std::move(*slot);
}

}  // namespace gantry::net
