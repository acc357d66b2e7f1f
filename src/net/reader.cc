#include "net/reader.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/beast/http/error.hpp>
#include <charconv>
#include <cstring>

namespace gantry::net {
namespace {

constexpr size_t least_read_bytes = 1024;      // do not ask the kernel for less
constexpr size_t longest_chunk_line = 8 << 10;  // size, extensions and line end of one chunk

template <bool is_request>
std::unexpected<Error> malformed(std::string_view what) {
  return fail(is_request ? ErrorId::GR0602 : ErrorId::GR0606, "{}", what);
}

std::string describe(const error_code& error) {
  return fmt::format("not HTTP/1.1: {}", error.message());
}

/// The two halves of a target; the path of `http://host/path` is what follows the authority.
void split_target(RequestHead& head) {
  std::string_view rest = head.target;
  if (!rest.starts_with('/')) {
    if (size_t scheme = rest.find("://"); scheme != std::string_view::npos) {
      size_t slash = rest.find_first_of("/?", scheme + 3);
      rest = slash == std::string_view::npos ? std::string_view("/") : rest.substr(slash);
    }
  }
  size_t mark = rest.find('?');
  head.path = rest.substr(0, mark);
  head.query = mark == std::string_view::npos ? std::string_view() : rest.substr(mark + 1);
}

bool is_plain_host(std::string_view host) {
  return host.find_first_of("/@, \t\\#?") == std::string_view::npos;
}

}  // namespace

template <bool is_request>
MessageReader<is_request>::MessageReader(StreamRef stream, ReaderLimits limits)
    : stream_(std::move(stream)), local_(stream_->local()), limits_(limits) {
  parsed_.headers.reserve(16);
  small_ = local_.take_buffer(small_buffer_bytes);
}

template <bool is_request>
MessageReader<is_request>::~MessageReader() {
  if (stream_->reading() && target_ != nullptr) stream_->keep(std::move(*target_));
  for (Buffer* buffer : {&small_, &large_, &ahead_})
    if (*buffer) local_.give_buffer(std::move(*buffer));
}

template <bool is_request>
void MessageReader<is_request>::begin() {
  // The next message starts in the buffer that was read ahead into, or, if that was not needed (a pipelined read is still
  // in flight, the peer has ended), right behind the last one.
  size_t from = ahead_ ? 0 : position_;
  Buffer& source = ahead_ ? ahead_ : *active_;
  if (&source != &small_) {
    std::swap(small_, source);
    if (target_ == &source) target_ = &small_;
  }
  for (Buffer* spare : {&ahead_, &large_})
    if (*spare) local_.give_buffer(std::exchange(*spare, {}));
  active_ = &small_;
  start_ = position_ = head_end_ = from;
  phase_ = Phase::head;
  no_body_ = false;
  scan_.reset();
  parsed_.headers.clear();
  parsed_.trailers.clear();
  parsed_.piece = {};
  parsed_.in_trailers = parsed_.hold_body = false;
  remaining_ = body_bytes_ = 0;
  body_limit_ = UINT64_MAX;
}

template <bool is_request>
Result<Step> MessageReader<is_request>::next() {
  if (failed_.has_value()) return std::unexpected(*failed_);
  Result<Step> step = Step::end;
  parsed_.piece = {};
  switch (phase_) {
    case Phase::head:
      step = next_head();
      break;
    case Phase::length:
      step = next_length();
      break;
    case Phase::chunked:
      step = next_chunk();
      break;
    case Phase::until_close:
      step = next_until_close();
      break;
    case Phase::complete:
      break;
  }
  if (step.has_value() && *step == Step::need_bytes && ended_) step = ended_early();
  if (!step.has_value()) failed_ = step.error();
  return step;
}

template <bool is_request>
Result<Step> MessageReader<is_request>::ended_early() const {
  if (ended_by_) return std::unexpected(stream_->failure(ended_by_, "read"));
  return fail(Code::unavailable, "the peer closed the connection {}",
              idle() ? "before the message" : "in the middle of a message");
}

template <bool is_request>
Result<Step> MessageReader<is_request>::next_head() {
  // RFC 9112 2.2: an empty line before a message is ignored.
  while (small_.size - start_ >= 2 && std::memcmp(small_.data.get() + start_, "\r\n", 2) == 0 && !scan_.has_start_line())
    start_ += 2;
  std::string_view bytes(small_.data.get() + start_, small_.size - start_);
  switch (scan_.run(bytes.substr(0, limits_.max_header_bytes))) {
    case HeadScan::Result::bare_line_feed:
      return malformed<is_request>("a line of the head does not end with CR LF");
    case HeadScan::Result::folded_field:
      return malformed<is_request>("a field is folded over two lines");
    case HeadScan::Result::incomplete:
      if (bytes.size() < limits_.max_header_bytes) return Step::need_bytes;
      if (!is_request) return malformed<is_request>("the head is too large");
      return fail(scan_.has_start_line() ? ErrorId::GR0603 : ErrorId::GR0607, "the head is larger than {}",
                  format_bytes(Bytes{limits_.max_header_bytes}));
    case HeadScan::Result::complete:
      break;
  }
  GANTRY_TRY_VOID(parse_head(scan_.head_bytes()));
  GANTRY_TRY_VOID(check_head());
  settle_phase();
  return Step::head;
}

template <bool is_request>
Result<void> MessageReader<is_request>::parse_head(size_t bytes) {
  parser_.emplace(parsed_);
  if (no_body_) parser_->skip(true);
  boost::beast::error_code error;
  size_t used = parser_->put(asio::const_buffer(small_.data.get() + start_, bytes), error);
  if (error) return malformed<is_request>(describe(error));
  if (used != bytes) return malformed<is_request>("not HTTP/1.1: the head has bytes behind its end");
  head_end_ = position_ = start_ + bytes;
  if (parsed_.headers.size() <= limits_.max_header_count) return {};
  if (!is_request) return malformed<is_request>("the head has too many fields");
  return fail(ErrorId::GR0603, "the request has {} fields, at most {} are allowed", parsed_.headers.size(),
              limits_.max_header_count);
}

/// RFC 9112 6.3, strictly: what two parsers could read differently is refused.
template <bool is_request>
Result<Framing> MessageReader<is_request>::framing_of_fields() const {
  std::optional<std::string_view> length;
  bool chunked = false;
  for (const Header& header : parsed_.headers) {
    if (header.name.size() == 14 && equals_ignoring_case(header.name, "content-length")) {
      if (length.has_value() && (is_request || *length != header.value))
        return malformed<is_request>("more than one Content-Length");
      length = header.value;
    } else if (header.name.size() == 17 && equals_ignoring_case(header.name, "transfer-encoding")) {
      if (chunked) return malformed<is_request>("more than one Transfer-Encoding");
      if (!equals_ignoring_case(header.value, "chunked"))
        return malformed<is_request>("a Transfer-Encoding other than chunked");
      chunked = true;
    }
  }
  if (chunked && length.has_value()) return malformed<is_request>("both Content-Length and Transfer-Encoding");
  if (chunked && parsed_.version < 11) return malformed<is_request>("Transfer-Encoding in HTTP/1.0");
  if (chunked) return Framing::chunked();
  if (!length.has_value()) return Framing::none();
  uint64_t bytes = 0;
  auto [end, error] = std::from_chars(length->data(), length->data() + length->size(), bytes);
  if (error != std::errc() || end != length->data() + length->size())
    return malformed<is_request>("a Content-Length that is no number");
  return Framing::length(bytes);
}

template <bool is_request>
Result<void> MessageReader<is_request>::check_head() {
  head_ = Head();
  GANTRY_TRY(head_.framing, framing_of_fields());
  head_.headers = parsed_.headers;
  head_.version = parsed_.version >= 11 ? Version::http_1_1 : Version::http_1_0;
  head_.keep_alive = parser_->keep_alive();
  if constexpr (is_request) {
    head_.method = parsed_.method;
    head_.target = parsed_.target;
    split_target(head_);
    size_t hosts = 0;
    for (const Header& header : parsed_.headers) {
      if (header.name.size() == 4 && equals_ignoring_case(header.name, "host")) {
        ++hosts;
        if (!is_plain_host(header.value)) return malformed<is_request>("a Host that is no host");
      } else if (header.name.size() == 6 && equals_ignoring_case(header.name, "expect")) {
        head_.expects_continue = equals_ignoring_case(header.value, "100-continue");
      }
    }
    if (hosts > 1) return malformed<is_request>("more than one Host");
    if (hosts == 0 && head_.version == Version::http_1_1) return malformed<is_request>("a request without Host");
    // RFC 9110 10.1.1: an HTTP/1.0 client cannot understand a 100.
    if (head_.version == Version::http_1_0) head_.expects_continue = false;
    head_.wants_upgrade = parser_->upgrade();
  } else {
    head_.status = parsed_.status;
    head_.reason = parsed_.reason;
    if (head_.status < 100) return malformed<is_request>("a status below 100");
  }
  return {};
}

template <bool is_request>
void MessageReader<is_request>::settle_phase() {
  using Kind = Framing::Kind;
  bool bodyless = no_body_;
  if constexpr (!is_request) {
    bodyless = bodyless || head_.status / 100 == 1 || head_.status == 204 || head_.status == 304;
    if (!bodyless && head_.framing.kind == Kind::none) head_.framing = Framing::until_close();
  }
  remaining_ = head_.framing.bytes;
  if (bodyless || head_.framing.kind == Kind::none || (head_.framing.kind == Kind::length && remaining_ == 0))
    finish_message();
  else if (head_.framing.kind == Kind::length)
    phase_ = Phase::length;
  else
    phase_ = head_.framing.kind == Kind::chunked ? Phase::chunked : Phase::until_close;
}

template <bool is_request>
Result<void> MessageReader<is_request>::count_body(size_t bytes) {
  body_bytes_ += bytes;
  if (body_bytes_ + (phase_ == Phase::length ? remaining_ : 0) <= body_limit_) return {};
  return fail(ErrorId::GR0604, "the body is larger than {}", format_bytes(Bytes{body_limit_}));
}

template <bool is_request>
Result<Step> MessageReader<is_request>::next_length() {
  GANTRY_TRY_VOID(count_body(0));  // an announced length beyond the limit fails before any byte is read
  size_t bytes = static_cast<size_t>(std::min<uint64_t>(active_->size - position_, remaining_));
  if (bytes == 0) return Step::need_bytes;
  parsed_.piece = {active_->data.get() + position_, bytes};
  position_ += bytes;
  remaining_ -= bytes;
  GANTRY_TRY_VOID(count_body(bytes));
  if (remaining_ == 0) finish_message();
  return Step::piece;
}

template <bool is_request>
Result<Step> MessageReader<is_request>::next_chunk() {
  // One piece at most, but on past it if the end follows: whoever passes it on can then end its own message with it.
  parsed_.hold_body = false;
  std::string_view piece;
  while (!parser_->is_done() && position_ < active_->size) {
    boost::beast::error_code error;
    const char* from = active_->data.get() + position_;
    size_t used = parser_->put(asio::const_buffer(from, active_->size - position_), error);
    position_ += used;
    if (error == boost::beast::http::error::need_more) {
      if (active_->size - position_ < std::max(longest_chunk_line, limits_.max_header_bytes)) break;
      return malformed<is_request>("a chunk or its trailers are too long");
    }
    if (error) return malformed<is_request>("a broken chunk");
    if (parsed_.trailers.view().size() > limits_.max_header_count)
      return malformed<is_request>("too many trailers");
    if (parsed_.hold_body && used == 0) break;
    if (!parsed_.piece.empty() && !parsed_.hold_body) {
      piece = parsed_.piece;
      parsed_.hold_body = true;
    }
  }
  parsed_.piece = piece;
  GANTRY_TRY_VOID(count_body(piece.size()));
  if (parser_->is_done()) finish_message();
  if (!piece.empty()) return Step::piece;
  return phase_ == Phase::complete ? Step::end : Step::need_bytes;
}

template <bool is_request>
Result<Step> MessageReader<is_request>::next_until_close() {
  if (position_ < active_->size) {
    parsed_.piece = {active_->data.get() + position_, active_->size - position_};
    position_ = active_->size;
    GANTRY_TRY_VOID(count_body(parsed_.piece.size()));
    return Step::piece;
  }
  if (!ended_ || ended_by_) return Step::need_bytes;
  phase_ = Phase::complete;
  return Step::end;
}

template <bool is_request>
void MessageReader<is_request>::finish_message() {
  phase_ = Phase::complete;
  ask();
}

template <bool is_request>
void MessageReader<is_request>::become_raw() {
  begin();
  phase_ = Phase::until_close;
}

template <bool is_request>
void MessageReader<is_request>::discard() {
  if (phase_ == Phase::complete) begin();
  phase_ = Phase::until_close;
  position_ = active_->size;
  body_limit_ = UINT64_MAX;
  failed_.reset();
}

template <bool is_request>
std::optional<uint64_t> MessageReader<is_request>::body_remaining() const {
  if (phase_ == Phase::complete) return 0;
  if (phase_ == Phase::length) return remaining_;
  return std::nullopt;
}

template <bool is_request>
void MessageReader<is_request>::ask() {
  if (ended_ || stream_->reading() || stream_->has_outcome()) return;
  make_room();
  size_t room = target_->capacity - target_->size;
  if (room > 0) stream_->start_read(target_->data.get() + target_->size, room);
}

template <bool is_request>
void MessageReader<is_request>::accept() {
  Stream::ReadOutcome outcome = stream_->take_outcome();
  target_->size += outcome.bytes;
  if (outcome.bytes > 0 && !outcome.error) return;
  ended_ = true;
  ended_by_ = outcome.error;
}

template <bool is_request>
void MessageReader<is_request>::make_room() {
  if (phase_ == Phase::complete) {
    make_room_ahead();
    target_ = &ahead_;
  } else if (phase_ == Phase::head) {
    make_room_for_head();
    target_ = &small_;
  } else {
    make_room_for_body();
    target_ = active_;
  }
}

template <bool is_request>
void MessageReader<is_request>::make_room_ahead() {
  if (ahead_) return;
  size_t left = active_->size - position_;
  ahead_ = local_.take_buffer(std::max(small_buffer_bytes, left + least_read_bytes));
  std::memcpy(ahead_.data.get(), active_->data.get() + position_, left);
  ahead_.size = left;
  active_->size = position_;
}

template <bool is_request>
void MessageReader<is_request>::make_room_for_head() {
  if (small_.capacity - small_.size >= least_read_bytes) return;
  // No views into it exist before the head is complete, so it may move.
  if (start_ >= least_read_bytes) {
    small_.size -= start_;
    std::memmove(small_.data.get(), small_.data.get() + start_, small_.size);
    start_ = 0;
    return;
  }
  Buffer larger = local_.take_buffer(small_.capacity * 2);
  larger.size = small_.size - start_;
  std::memcpy(larger.data.get(), small_.data.get() + start_, larger.size);
  local_.give_buffer(std::exchange(small_, std::move(larger)));
  start_ = 0;
}

/// The last piece is dead now: its place is used again. What is left is the beginning of a chunk header or of trailers.
template <bool is_request>
void MessageReader<is_request>::make_room_for_body() {
  size_t left = active_->size - position_;
  size_t begin = active_ == &small_ ? head_end_ : 0;
  uint64_t wanted = phase_ == Phase::length ? remaining_ : large_buffer_bytes;
  bool fits = active_->capacity - begin >= std::min<uint64_t>(wanted, large_buffer_bytes) + left;
  bool first_time = body_bytes_ == 0 && phase_ == Phase::chunked;  // chunked bodies are often short
  if (active_ == &small_ && !fits && !(first_time && small_.capacity - begin >= 2 * least_read_bytes + left)) {
    size_t capacity = std::max(large_buffer_bytes, limits_.max_header_bytes + least_read_bytes);
    large_ = local_.take_buffer(phase_ == Phase::chunked ? capacity : large_buffer_bytes);
    std::memcpy(large_.data.get(), small_.data.get() + position_, left);
    active_ = &large_;
    begin = 0;
  } else if (left > 0) {
    std::memmove(active_->data.get() + begin, active_->data.get() + position_, left);
  }
  position_ = begin;
  active_->size = begin + left;
}

template class MessageReader<true>;
template class MessageReader<false>;

}  // namespace gantry::net
