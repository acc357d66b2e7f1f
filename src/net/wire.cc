#include "net/wire.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "net/ascii.h"

namespace gantry::net {
namespace {

/// Fields that only we write: about framing (Content-Length, Transfer-Encoding) or this connection.
bool is_ours(std::string_view name) {
  switch (name.size()) {  // the length settles almost every name
    case 7:
      return is_named(name, "upgrade");
    case 10:
      return is_named(name, "connection") || is_named(name, "keep-alive");
    case 14:
      return is_named(name, "content-length");
    case 16:
      return is_named(name, "proxy-connection");
    case 17:
      return is_named(name, "transfer-encoding");
    default:
      return false;
  }
}

struct Reason {
  int status;
  std::string_view text;
};

// The registry of RFC 9110 15 and the later ones in use, ascending.
constexpr Reason reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {418, "I'm a teapot"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
};

/// True if a Connection field of these names a field other than the usual options.
bool names_fields(Headers headers) {
  for (const Header& header : headers) {
    if (header.name.size() != 10 || !is_named(header.name, "connection")) continue;
    if (!is_named(header.value, "keep-alive") && !is_named(header.value, "close") && !is_named(header.value, "upgrade"))
      return true;
  }
  return false;
}

/// Which fields of a forwarded message stay behind.
class Filter {
 public:
  Filter(Headers passed, Direction direction)
      : passed_(passed), direction_(direction), has_named_(names_fields(passed)) {}

  bool drops(std::string_view name) const {
    if (is_hop_by_hop(name)) return true;
    if (name.size() == 14 && is_named(name, "content-length")) return true;
    if (direction_ == Direction::request) {
      if (name.size() == 6 && is_named(name, "expect")) return true;
      if (is_gantry_header(name)) return true;
    }
    // A peer may not have Host dropped by naming it (RFC 9110 7.6.1 lists it as never an option).
    return has_named_ && passed_.has_token("connection", name) && !is_named(name, "host");
  }

 private:
  Headers passed_;
  Direction direction_;
  bool has_named_;
};

bool has_name(Headers headers, std::string_view name) {
  for (const Header& header : headers)
    if (header.name.size() == name.size() && equals_ignoring_case(header.name, name)) return true;
  return false;
}

/// Appends the parts with one check of the capacity.
template <class... Parts>
void append_all(std::string& out, const Parts&... parts) {
  size_t old = out.size();
  size_t size = old + (std::string_view(parts).size() + ...);
  // The size that libstdc++ 12 passes may be its new capacity: ours counts.
  out.resize_and_overwrite(size, [&](char* data, size_t) {
    char* to = data + old;
    auto put = [&to](std::string_view part) {
      std::memcpy(to, part.data(), part.size());
      to += part.size();
    };
    (put(std::string_view(parts)), ...);
    return size;
  });
}

/// The digits of a number, on the stack.
class Digits {
 public:
  Digits(uint64_t value, int base) {
    end_ = std::to_chars(digits_.data(), digits_.data() + digits_.size(), value, base).ptr;
  }
  operator std::string_view() const { return {digits_.data(), static_cast<size_t>(end_ - digits_.data())}; }

 private:
  std::array<char, 24> digits_;
  char* end_;
};

}  // namespace

bool is_hop_by_hop(std::string_view name) {
  switch (name.size()) {
    case 2:
      return is_named(name, "te");
    case 7:
      return is_named(name, "upgrade");
    case 10:
      return is_named(name, "connection") || is_named(name, "keep-alive");
    case 16:
      return is_named(name, "proxy-connection");
    case 17:
      return is_named(name, "transfer-encoding");
    case 18:
      return is_named(name, "proxy-authenticate");
    case 19:
      return is_named(name, "proxy-authorization");
    default:
      return false;
  }
}

bool is_gantry_header(std::string_view name) { return name.size() > 7 && is_named(name.substr(0, 7), "gantry-"); }

HeaderList forwardable(Headers headers, Direction direction) {
  Filter filter(headers, direction);
  HeaderList kept;
  for (const Header& header : headers)
    if (!filter.drops(header.name)) kept.add(header.name, header.value);
  return kept;
}

std::string_view reason_phrase(int status) {
  const Reason* found = std::ranges::lower_bound(reasons, status, {}, &Reason::status);
  return found != std::end(reasons) && found->status == status ? found->text : "Unknown";
}

void append_request_line(std::string& out, std::string_view method, std::string_view target) {
  append_all(out, method, " ", target, " HTTP/1.1\r\n");
}

void append_status_line(std::string& out, int status, std::string_view reason) {
  append_all(out, "HTTP/1.1 ", Digits(static_cast<uint64_t>(status), 10), " ",
             reason.empty() ? reason_phrase(status) : reason, "\r\n");
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  append_all(out, name, ": ", value, "\r\n");
}

void append_fields(std::string& out, const OutgoingFields& fields) {
  Filter filter(fields.passed, fields.direction);
  for (const Header& header : fields.passed) {
    if (filter.drops(header.name) || has_name(fields.own, header.name)) continue;
    append_field(out, header.name, header.value);
  }
  for (const Header& header : fields.own)
    if (!is_ours(header.name)) append_field(out, header.name, header.value);
  if (fields.upgrade == Upgrade::pass) {
    append_field(out, "Connection", "Upgrade");
    for (const Header& header : fields.passed)
      if (is_named(header.name, "upgrade")) append_field(out, header.name, header.value);
    for (const Header& header : fields.own)
      if (is_named(header.name, "upgrade")) append_field(out, header.name, header.value);
  }
}

void append_framing(std::string& out, Framing framing) {
  if (framing.kind == Framing::Kind::length) {
    append_all(out, "Content-Length: ", Digits(framing.bytes, 10), "\r\n");
  } else if (framing.kind == Framing::Kind::chunked) {
    out.append("Transfer-Encoding: chunked\r\n");
  }
}

void append_chunk_header(std::string& out, size_t bytes) { append_all(out, Digits(bytes, 16), "\r\n"); }

void append_last_chunk(std::string& out, Headers trailers) {
  out.append("0\r\n");
  for (const Header& header : trailers)
    if (!is_ours(header.name)) append_field(out, header.name, header.value);
  out.append("\r\n");
}

Result<void> check_fields(Headers headers) {
  for (const Header& header : headers)
    if (!is_valid_header(header))
      return fail(Code::invalid, "the field '{}' has a name or a value that HTTP does not allow",
                  header.name.substr(0, 64));
  return {};
}

Result<void> check_request_line(std::string_view method, std::string_view target) {
  if (!is_valid_header({method, ""})) return fail(Code::invalid, "'{}' is not an HTTP method", method.substr(0, 64));
  if (target.empty() || !is_target_text(target))
    return fail(Code::invalid, "'{}' is not a request target", target.substr(0, 256));
  return {};
}

bool status_forbids_body(int status) { return status / 100 == 1 || status == 204 || status == 304; }

}  // namespace gantry::net
