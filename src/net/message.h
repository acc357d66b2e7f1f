// The heads of messages, and how the end of a body is told.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/base.h"
#include "net/headers.h"

namespace gantry::net {

/// The versions of HTTP that are spoken here.
enum class Version : uint8_t { http_1_0, http_1_1 };

/// How the end of a body is told on the wire (RFC 9112 6).
struct Framing {
  enum class Kind : uint8_t {
    none,         ///< no body and no field that speaks of one
    length,       ///< Content-Length
    chunked,      ///< Transfer-Encoding: chunked; may carry trailers
    until_close,  ///< a response that ends with the connection
  };
  Kind kind = Kind::none;
  uint64_t bytes = 0;  ///< with Kind::length

  static constexpr Framing none() { return {}; }
  static constexpr Framing length(uint64_t bytes) { return {Kind::length, bytes}; }
  static constexpr Framing chunked() { return {Kind::chunked, 0}; }
  static constexpr Framing until_close() { return {Kind::until_close, 0}; }
  friend bool operator==(const Framing&, const Framing&) = default;
};

/// The head of a request that was read. Views live as long as the exchange.
struct RequestHead {
  std::string_view method;
  std::string_view target;  ///< as on the wire, nothing decoded
  std::string_view path;    ///< the target before the first `?`
  std::string_view query;   ///< the target after it, without the `?`
  Headers headers;
  Framing framing;
  Version version = Version::http_1_1;
  bool keep_alive = true;
  bool expects_continue = false;
  /// Connection names `upgrade` and there is an Upgrade field, for example WebSocket.
  bool wants_upgrade = false;
};

/// The head of a response that was read. Views live until the next request on the connection is started.
struct ResponseHead {
  int status = 0;
  std::string_view reason;
  Headers headers;
  Framing framing;
  Version version = Version::http_1_1;
  bool keep_alive = true;
};

/// `Not Found` for 404; `Unknown` for a status that RFC 9110 and its registry do not know.
std::string_view reason_phrase(int status);

/// The value of a Retry-After field (RFC 9110 10.2.3), seconds or a date, as a duration from `now` on; nullopt if it is
/// neither.
std::optional<Duration> parse_retry_after(std::string_view value, Time now);

}  // namespace gantry::net
