// Whole requests to a URL: for the CLI, webhooks and probes. Not the proxy's path.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "async/async.h"
#include "net/client.h"

namespace gantry::net {

/// `http` or `https`, or `unix` for `unix:/path/to.sock` with an optional `:/target` behind it.
struct Url {
  std::string scheme;
  Endpoint endpoint;
  std::string target = "/";  ///< path and query

  static Result<Url> parse(std::string_view text);
  /// What the Host field must say.
  std::string host_header() const;
};

/// What to send. The body goes out with its length; bodies in pieces: HttpClient::open or Streams::upload.
struct OutgoingRequest {
  std::string method = "GET";
  Url url;
  HeaderList headers = {};
  std::string body = {};
  Duration timeout = std::chrono::seconds(30);  ///< for everything; with `open`, until the head
  size_t max_body_bytes = size_t{16} << 20;     ///< of a whole answer
  AddressCheck check = {};                      ///< which addresses the host of `url` may have
};

/// An answer that was read whole.
struct IncomingResponse {
  int status = 0;
  HeaderList headers;
  std::string body;
};

/// Sends requests, each on a connection of its own. `unavailable` GR0608 if the server cannot be reached.
class HttpClient {
 public:
  struct Options {
    std::shared_ptr<TlsClient> tls = {};  ///< for https; empty: the machine's trust store
    Duration connect_timeout = std::chrono::seconds(10);
  };
  explicit HttpClient(Options options) : options_(std::move(options)) {}

  /// Sends and reads the whole answer. On an I/O thread.
  Task<Result<IncomingResponse>> request(OutgoingRequest request);
  /// Sends and returns a connection whose next call is `read_head`. With `framing` none, or length of `request.body`,
  /// all is sent; else the caller calls `send_body` and `finish` first.
  Task<Result<ClientConnection>> open(OutgoingRequest request, Framing framing);

  /// What a stream of a blocking call does with each piece; an error ends the call with it.
  using OnPiece = std::function<Result<void>(const ResponseHead&, std::string_view piece)>;
  /// Gives the next piece of an upload; empty at its end.
  using NextPiece = std::function<Result<std::string>()>;
  /// What it does with the head, as soon as it is here: what breaks off later has told that much.
  using OnHead = std::function<void(const ResponseHead&)>;
  struct Streams {
    NextPiece upload = {};  ///< set: sent chunked instead of `body`
    OnPiece download = {};  ///< set: called for a 2xx answer; the returned body is then empty
    OnHead head = {};       ///< set: called for every answer, before its body
  };
  /// The same, blocking, with an io_context of its own. Never on an I/O thread.
  Result<IncomingResponse> request_blocking(OutgoingRequest request, Streams streams);
  Result<IncomingResponse> request_blocking(OutgoingRequest request) {
    return request_blocking(std::move(request), Streams());
  }

 private:
  Task<Result<IncomingResponse>> exchange(OutgoingRequest request, Streams streams);
  Task<void> exchange_into(std::optional<Result<IncomingResponse>>& slot, OutgoingRequest request, Streams streams);

  Options options_;
};

}  // namespace gantry::net
