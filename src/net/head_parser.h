// Heads of HTTP/1 messages, strictly (RFC 9112). Private to net/. Pure.
//
// Why not Beast's parser, which the fuzz target compares this one with: it took a quarter of the user-space time of a
// proxied request, and it accepts what a proxy must not (folded fields, repeated lengths, unknown transfer codings).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "net/message.h"

namespace gantry::net {

/// Finds the lines of a head as its bytes arrive.
class HeadScan {
 public:
  enum class Result { incomplete, complete, bare_line_feed };

  void reset() { scanned_ = lines_ = 0; }
  /// `bytes` starts at the start line and only grows between two calls.
  Result run(std::string_view bytes);
  /// Where each line ends (behind its LF); the last one is the empty line.
  std::span<const uint32_t> line_ends() const { return {line_ends_.data(), lines_}; }

 private:
  std::vector<uint32_t> line_ends_;  // grows only
  size_t lines_ = 0;
  size_t scanned_ = 0;
};

/// What stands in a head. Views point into its bytes.
struct ParsedHead {
  std::string_view method;  // requests
  std::string_view target;
  int status = 0;  // responses
  std::string_view reason;
  Version version = Version::http_1_1;
  std::vector<Header> headers;
  Framing framing;  // none: no field speaks of a body
  bool keep_alive = true;
  bool wants_upgrade = false;
  bool expects_continue = false;

  void reset();
};

enum class MessageKind { request, response };

/// Parses a complete head. Returns why it is refused, in words of static lifetime; empty if it is fine.
std::string_view parse_head(MessageKind kind, std::string_view bytes, std::span<const uint32_t> line_ends,
                            ParsedHead& out);

/// Parses one field line without its line end; false if it is none.
bool parse_field(std::string_view line, Header& out);

}  // namespace gantry::net
