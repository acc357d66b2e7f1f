#include "net/head_parser.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "net/ascii.h"

namespace gantry::net {
namespace {

/// What the fields say about framing and the connection, while they are read.
struct Notes {
  std::optional<std::string_view> length;
  int hosts = 0;
  bool chunked = false;
  bool close = false;
  bool keep_alive = false;
  bool upgrade_option = false;
  bool upgrade_field = false;
};

bool is_plain_host(std::string_view host) {
  for (char c : host)
    if (c == '/' || c == '@' || c == ',' || c == ' ' || c == '\t' || c == '\\' || c == '#' || c == '?') return false;
  return true;
}

std::string_view parse_version(std::string_view text, Version& out) {
  if (text == "HTTP/1.1")
    out = Version::http_1_1;
  else if (text == "HTTP/1.0")
    out = Version::http_1_0;
  else
    return "the version is neither HTTP/1.1 nor HTTP/1.0";
  return {};
}

std::string_view parse_request_line(std::string_view line, ParsedHead& out) {
  size_t method = token_length(line);
  if (method == 0 || method == line.size() || line[method] != ' ') return "the request line has no method";
  size_t last_space = line.rfind(' ');
  if (last_space == method) return "the request line has no version";
  out.method = line.substr(0, method);
  out.target = line.substr(method + 1, last_space - method - 1);
  if (out.target.empty() || !is_target_text(out.target)) return "the request target has a space or a control byte";
  return parse_version(line.substr(last_space + 1), out.version);
}

/// The space before an empty reason is required, but often missing: a status line may end behind the code.
std::string_view parse_status_line(std::string_view line, ParsedHead& out) {
  if (auto refused = parse_version(line.substr(0, 8), out.version); !refused.empty()) return refused;
  if (line.size() < 12 || line[8] != ' ' || (line.size() > 12 && line[12] != ' '))
    return "the status line is malformed";
  auto [end, error] = std::from_chars(line.data() + 9, line.data() + 12, out.status);
  if (error != std::errc() || end != line.data() + 12 || out.status < 100) return "the status is not three digits";
  out.reason = line.substr(std::min<size_t>(13, line.size()));
  return is_field_text(out.reason) ? std::string_view() : "the reason has a control byte";
}

void note_connection(std::string_view value, Notes& notes) {
  while (!value.empty()) {
    size_t comma = value.find(',');
    std::string_view option = trim_blanks(value.substr(0, comma));
    if (is_named(option, "close"))
      notes.close = true;
    else if (is_named(option, "keep-alive"))
      notes.keep_alive = true;
    else if (is_named(option, "upgrade"))
      notes.upgrade_option = true;
    value = comma == std::string_view::npos ? std::string_view() : value.substr(comma + 1);
  }
}

/// RFC 9112 6.3, strictly: what two parsers could read differently is refused.
std::string_view note_field(MessageKind kind, const Header& field, Notes& notes, ParsedHead& out) {
  switch (field.name.size()) {  // the length settles almost every name
    case 4:
      if (kind == MessageKind::request && is_named(field.name, "host")) {
        if (++notes.hosts > 1) return "more than one Host";
        if (!is_plain_host(field.value)) return "a Host that is no host";
      }
      break;
    case 6:
      if (is_named(field.name, "expect")) out.expects_continue = is_named(field.value, "100-continue");
      break;
    case 7:
      if (is_named(field.name, "upgrade")) notes.upgrade_field = true;
      break;
    case 10:
      if (is_named(field.name, "connection")) note_connection(field.value, notes);
      break;
    case 14:
      if (is_named(field.name, "content-length")) {
        bool repeated = notes.length.has_value() && (kind == MessageKind::request || *notes.length != field.value);
        if (repeated) return "more than one Content-Length";
        notes.length = field.value;
      }
      break;
    case 17:
      if (is_named(field.name, "transfer-encoding")) {
        if (notes.chunked) return "more than one Transfer-Encoding";
        if (!is_named(field.value, "chunked")) return "a Transfer-Encoding other than chunked";
        notes.chunked = true;
      }
      break;
    default:
      break;
  }
  return {};
}

std::string_view settle(MessageKind kind, const Notes& notes, ParsedHead& out) {
  bool is_1_1 = out.version == Version::http_1_1;
  if (notes.chunked && notes.length.has_value()) return "both Content-Length and Transfer-Encoding";
  if (notes.chunked && !is_1_1) return "Transfer-Encoding in HTTP/1.0";
  if (notes.chunked) {
    out.framing = Framing::chunked();
  } else if (notes.length.has_value()) {
    const char* end = notes.length->data() + notes.length->size();
    auto [stop, error] = std::from_chars(notes.length->data(), end, out.framing.bytes);
    if (error != std::errc() || stop != end) return "a Content-Length that is no number";
    out.framing.kind = Framing::Kind::length;
  }
  out.keep_alive = !notes.close && (is_1_1 || notes.keep_alive);
  out.wants_upgrade = notes.upgrade_option && notes.upgrade_field;
  if (kind == MessageKind::request) {
    if (notes.hosts == 0 && is_1_1) return "a request without Host";
    out.expects_continue = out.expects_continue && is_1_1;  // RFC 9110 10.1.1: HTTP/1.0 knows no 100
  }
  return {};
}

}  // namespace

HeadScan::Result HeadScan::run(std::string_view bytes) {
  size_t line_start = lines_ == 0 ? 0 : line_ends_[lines_ - 1];
  for (;;) {
    const void* found = std::memchr(bytes.data() + scanned_, '\n', bytes.size() - scanned_);
    if (found == nullptr) {
      scanned_ = bytes.size();
      return Result::incomplete;
    }
    auto at = static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
    if (at == line_start || bytes[at - 1] != '\r') return Result::bare_line_feed;
    if (lines_ == line_ends_.size()) line_ends_.resize(lines_ + 32);
    line_ends_[lines_++] = static_cast<uint32_t>(at + 1);
    if (at == line_start + 1) return Result::complete;
    scanned_ = line_start = at + 1;
  }
}

void ParsedHead::reset() {
  std::vector<Header> kept = std::move(headers);
  *this = ParsedHead();
  kept.clear();
  headers = std::move(kept);
}

bool parse_field(std::string_view line, Header& out) {
  size_t name = token_length(line);
  if (name == 0 || name == line.size() || line[name] != ':') return false;
  out.name = line.substr(0, name);
  out.value = trim_blanks(line.substr(name + 1));
  return is_field_text(out.value);
}

std::string_view parse_head(MessageKind kind, std::string_view bytes, std::span<const uint32_t> line_ends,
                            ParsedHead& out) {
  std::string_view first = bytes.substr(0, line_ends[0] - 2);
  auto refused = kind == MessageKind::request ? parse_request_line(first, out) : parse_status_line(first, out);
  if (!refused.empty()) return refused;
  Notes notes;
  for (size_t i = 1; i + 1 < line_ends.size(); ++i) {
    Header& field = out.headers.emplace_back();
    std::string_view line = bytes.substr(line_ends[i - 1], line_ends[i] - line_ends[i - 1] - 2);
    if (!parse_field(line, field)) {
      bool folded = line.starts_with(' ') || line.starts_with('\t');
      return folded ? "a field is folded over two lines" : "a malformed field";
    }
    if (refused = note_field(kind, field, notes, out); !refused.empty()) return refused;
  }
  return settle(kind, notes, out);
}

}  // namespace gantry::net
