// Heads as bytes: written by hand into one buffer that a connection reuses. Private to net/. Pure.
#pragma once

#include <string>
#include <string_view>

#include "net/forward.h"
#include "net/message.h"

namespace gantry::net {

enum class Upgrade : uint8_t { none, pass };

/// The fields of a head that is being written.
struct OutgoingFields {
  Headers passed;  ///< of a message that is forwarded: filtered, and replaced by those of `own` with the same name
  Headers own;     ///< written as they are, but for those about framing and the connection
  Direction direction = Direction::request;
  Upgrade upgrade = Upgrade::none;
};

/// `GET /x HTTP/1.1\r\n`.
void append_request_line(std::string& out, std::string_view method, std::string_view target);
/// `HTTP/1.1 200 OK\r\n`; an empty reason becomes the standard one.
void append_status_line(std::string& out, int status, std::string_view reason);
void append_field(std::string& out, std::string_view name, std::string_view value);
void append_fields(std::string& out, const OutgoingFields& fields);
/// Content-Length or Transfer-Encoding.
void append_framing(std::string& out, Framing framing);
/// `4d2\r\n`, what stands before the bytes of a chunk.
void append_chunk_header(std::string& out, size_t bytes);
/// The last chunk, the trailers and the final line.
void append_last_chunk(std::string& out, Headers trailers);

/// Fields of a head that may not go on the wire as they are: a name that is no token, a value with CR, LF or NUL.
Result<void> check_fields(Headers headers);
/// A method that is a token and a target without spaces and control bytes.
Result<void> check_request_line(std::string_view method, std::string_view target);
/// 204 and 304 and 1xx (RFC 9110 6.4.1).
bool status_forbids_body(int status);

}  // namespace gantry::net
