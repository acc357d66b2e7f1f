#include "net/chunk_decoder.h"

#include <charconv>

#include "net/ascii.h"
#include "net/head_parser.h"

namespace gantry::net {

void ChunkDecoder::reset(Limits limits) {
  limits_ = limits;
  state_ = State::size_line;
  remaining_ = 0;
  trailer_bytes_ = 0;
  if (!trailers_.empty()) trailers_.clear();
}

size_t ChunkDecoder::advance(std::string_view bytes) {
  size_t used = 0;
  while (state_ != State::data && state_ != State::done && state_ != State::broken) {
    size_t more = step(bytes.substr(used));
    if (more == 0) break;
    used += more;
  }
  return used;
}

void ChunkDecoder::take(uint64_t bytes) {
  remaining_ -= bytes;
  if (remaining_ == 0) state_ = State::data_end;
}

/// One line, or the line end behind a chunk; 0 if it has not come whole.
size_t ChunkDecoder::step(std::string_view bytes) {
  if (state_ == State::data_end) {
    if (bytes.size() < 2) return 0;
    state_ = bytes.starts_with("\r\n") ? State::size_line : State::broken;
    return 2;
  }
  bool in_trailers = state_ == State::trailers;
  size_t limit = in_trailers ? limits_.max_trailer_bytes - trailer_bytes_ : limits_.max_line_bytes;
  size_t end = bytes.substr(0, limit).find('\n');
  if (end == std::string_view::npos) {
    if (bytes.size() >= limit) state_ = State::broken;
    return 0;
  }
  std::string_view line = bytes.substr(0, end);
  if (!line.ends_with('\r')) {
    state_ = State::broken;
    return 0;
  }
  line.remove_suffix(1);
  if (in_trailers)
    read_trailer(line);
  else
    read_size(line);
  return end + 1;
}

void ChunkDecoder::read_size(std::string_view line) {
  const char* end = line.data() + line.size();
  auto [stop, error] = std::from_chars(line.data(), end, remaining_, 16);
  // Extensions mean nothing to us, but they must not hold what ends a line elsewhere.
  if (error != std::errc() || (stop != end && *stop != ';') || !is_field_text(line)) {
    state_ = State::broken;
    return;
  }
  state_ = remaining_ > 0 ? State::data : State::trailers;
}

void ChunkDecoder::read_trailer(std::string_view line) {
  if (line.empty()) {
    state_ = State::done;
    return;
  }
  trailer_bytes_ += line.size() + 2;
  Header field;
  if (!parse_field(line, field) || trailers_.view().size() >= limits_.max_trailer_count) {
    state_ = State::broken;
    return;
  }
  trailers_.add(field.name, field.value);
}

}  // namespace gantry::net
