#include "net/reader.h"

#include <algorithm>
#include <cstring>

namespace gantry::net {
namespace {

constexpr size_t least_read_bytes = 1024;  // do not ask the kernel for less

template <bool is_request>
Error malformed(std::string_view why) {
  return Error(is_request ? ErrorId::GR0602 : ErrorId::GR0606, fmt::format("not HTTP/1.1: {}", why));
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
  // The next message starts in the buffer that was read ahead into, or, if that was not needed (a pipelined read is
  // still in flight, the peer has ended), right behind the last one.
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
  piece_ = {};
  remaining_ = body_bytes_ = 0;
  body_limit_ = UINT64_MAX;
}

template <bool is_request>
Result<Step> MessageReader<is_request>::next() {
  if (failed_.has_value()) return std::unexpected(*failed_);
  piece_ = {};
  switch (phase_) {
    case Phase::head:
      return next_head();
    case Phase::length:
      return next_length();
    case Phase::chunked:
      return next_chunk();
    case Phase::until_close:
      return next_until_close();
    case Phase::complete:
      return Step::end;
  }
  return Step::end;
}

template <bool is_request>
Result<Step> MessageReader<is_request>::final(Error error) {
  failed_ = error;
  return std::unexpected(std::move(error));
}

template <bool is_request>
Error MessageReader<is_request>::early_end() const {
  if (ended_by_) return stream_->failure(ended_by_, "read");
  return Error(Code::unavailable, fmt::format("the peer closed the connection {}",
                                              idle() ? "before the message" : "in the middle of a message"));
}

template <bool is_request>
Result<Step> MessageReader<is_request>::next_head() {
  // RFC 9112 2.2: an empty line before a message is ignored.
  while (small_.size - start_ >= 2 && std::memcmp(small_.data.get() + start_, "\r\n", 2) == 0) {
    start_ += 2;
    scan_.reset();
  }
  std::string_view bytes(small_.data.get() + start_, small_.size - start_);
  HeadScan::Result scanned = scan_.run(bytes.substr(0, limits_.max_header_bytes));
  size_t lines = scan_.line_ends().size();
  if (scanned == HeadScan::Result::bare_line_feed)
    return final(malformed<is_request>("a line of the head does not end with CR LF"));
  if (lines > limits_.max_header_count + 2) {
    if (!is_request) return final(malformed<is_request>("the head has too many fields"));
    return final(Error(ErrorId::GR0603, fmt::format("the request has more than {} fields", limits_.max_header_count)));
  }
  if (scanned == HeadScan::Result::incomplete) {
    if (ended_) return final(early_end());
    if (bytes.size() < limits_.max_header_bytes) return Step::need_bytes;
    if (!is_request) return final(malformed<is_request>("the head is too large"));
    return final(Error(lines > 0 ? ErrorId::GR0603 : ErrorId::GR0607,
                       fmt::format("the head is larger than {}", format_bytes(Bytes{limits_.max_header_bytes}))));
  }
  parsed_.reset();
  constexpr MessageKind kind = is_request ? MessageKind::request : MessageKind::response;
  std::string_view refused = parse_head(kind, bytes, scan_.line_ends(), parsed_);
  if (!refused.empty()) return final(malformed<is_request>(refused));
  head_end_ = position_ = start_ + scan_.line_ends().back();
  fill_head();
  settle_phase();
  return Step::head;
}

template <bool is_request>
void MessageReader<is_request>::fill_head() {
  head_.headers = parsed_.headers;
  head_.framing = parsed_.framing;
  head_.version = parsed_.version;
  head_.keep_alive = parsed_.keep_alive;
  if constexpr (is_request) {
    head_.method = parsed_.method;
    head_.target = parsed_.target;
    head_.expects_continue = parsed_.expects_continue;
    head_.wants_upgrade = parsed_.wants_upgrade;
    split_target(head_);
  } else {
    head_.status = parsed_.status;
    head_.reason = parsed_.reason;
  }
}

template <bool is_request>
void MessageReader<is_request>::settle_phase() {
  using Kind = Framing::Kind;
  bool bodyless = no_body_;
  if constexpr (!is_request) {
    bodyless = bodyless || head_.status / 100 == 1 || head_.status == 204 || head_.status == 304;
    if (!bodyless && head_.framing.kind == Kind::none) {
      head_.framing = Framing::until_close();
      head_.keep_alive = false;
    }
  }
  remaining_ = head_.framing.bytes;
  if (bodyless || head_.framing.kind == Kind::none || (head_.framing.kind == Kind::length && remaining_ == 0)) {
    finish_message();
  } else if (head_.framing.kind == Kind::length) {
    phase_ = Phase::length;
  } else if (head_.framing.kind == Kind::chunked) {
    phase_ = Phase::chunked;
    chunks_.reset({.max_trailer_count = limits_.max_header_count});
  } else {
    phase_ = Phase::until_close;
  }
}

/// An announced length beyond the limit counts before any byte of it is read.
template <bool is_request>
bool MessageReader<is_request>::exceeds_limit() const {
  return body_bytes_ + (phase_ == Phase::length ? remaining_ : 0) > body_limit_;
}

template <bool is_request>
Error MessageReader<is_request>::too_large() const {
  return Error(ErrorId::GR0604, fmt::format("the body is larger than {}", format_bytes(Bytes{body_limit_})));
}

template <bool is_request>
Result<Step> MessageReader<is_request>::next_length() {
  if (exceeds_limit()) return final(too_large());
  size_t bytes = static_cast<size_t>(std::min<uint64_t>(active_->size - position_, remaining_));
  if (bytes == 0) {
    if (ended_) return final(early_end());
    return Step::need_bytes;
  }
  piece_ = {active_->data.get() + position_, bytes};
  position_ += bytes;
  remaining_ -= bytes;
  body_bytes_ += bytes;
  if (remaining_ == 0) finish_message();
  return Step::piece;
}

template <bool is_request>
Result<Step> MessageReader<is_request>::next_chunk() {
  auto rest = [this] { return std::string_view(active_->data.get() + position_, active_->size - position_); };
  position_ += chunks_.advance(rest());
  if (chunks_.state() == ChunkDecoder::State::data && !rest().empty()) {
    piece_ = rest().substr(0, static_cast<size_t>(std::min<uint64_t>(rest().size(), chunks_.remaining())));
    position_ += piece_.size();
    body_bytes_ += piece_.size();
    if (exceeds_limit()) return final(too_large());
    chunks_.take(piece_.size());
    // On past the piece if the end follows: whoever passes it on can then end its own message with it.
    position_ += chunks_.advance(rest());
  } else if (chunks_.state() == ChunkDecoder::State::broken) {
    return final(malformed<is_request>("a broken chunk or trailer"));
  }
  if (chunks_.state() == ChunkDecoder::State::done) finish_message();
  if (!piece_.empty()) return Step::piece;
  if (phase_ == Phase::complete) return Step::end;
  if (ended_) return final(early_end());
  return Step::need_bytes;
}

template <bool is_request>
Result<Step> MessageReader<is_request>::next_until_close() {
  if (position_ < active_->size) {
    piece_ = {active_->data.get() + position_, active_->size - position_};
    position_ = active_->size;
    body_bytes_ += piece_.size();
    if (exceeds_limit()) return final(too_large());
    return Step::piece;
  }
  if (!ended_) return Step::need_bytes;
  if (ended_by_) return final(early_end());
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
  filled_ = target_->size == target_->capacity;
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
  // A large buffer only for those who send much at once: ten thousand quiet streams must not hold one each.
  bool much = phase_ == Phase::length ? remaining_ > small_buffer_bytes : filled_;
  size_t small_room = small_.capacity - head_end_;
  bool large = much || small_room < left + least_read_bytes;
  size_t begin = large ? 0 : head_end_;
  if (large && !large_) large_ = local_.take_buffer(large_buffer_bytes);
  Buffer& next = large ? large_ : small_;
  std::memmove(next.data.get() + begin, active_->data.get() + position_, left);
  active_ = &next;
  active_->size = begin + left;
  position_ = begin;
  if (!large && large_) local_.give_buffer(std::exchange(large_, {}));
}

template class MessageReader<true>;
template class MessageReader<false>;

}  // namespace gantry::net
