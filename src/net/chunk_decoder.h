// The chunked transfer coding (RFC 9112 7.1), strictly. Private to net/. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "net/headers.h"

namespace gantry::net {

/// Walks what stands between the bytes of a body; the caller takes the bytes themselves where they lie.
class ChunkDecoder {
 public:
  enum class State { size_line, data, data_end, trailers, done, broken };
  struct Limits {
    size_t max_line_bytes = size_t{8} << 10;  // size and extensions of one chunk
    size_t max_trailer_bytes = size_t{32} << 10;
    size_t max_trailer_count = 200;
  };

  void reset(Limits limits);
  /// Consumes line ends, sizes and trailers at the start of `bytes` until data, the end, or a lack of bytes. Returns
  /// how many bytes it used.
  size_t advance(std::string_view bytes);
  State state() const { return state_; }
  /// In State::data: bytes of this chunk that are still to come, at least 1.
  uint64_t remaining() const { return remaining_; }
  /// The caller took that many of them.
  void take(uint64_t bytes);
  Headers trailers() const { return trailers_.view(); }

 private:
  size_t step(std::string_view bytes);
  void read_size(std::string_view line);
  void read_trailer(std::string_view line);

  Limits limits_;
  State state_ = State::size_line;
  uint64_t remaining_ = 0;
  size_t trailer_bytes_ = 0;
  HeaderList trailers_;
};

}  // namespace gantry::net
