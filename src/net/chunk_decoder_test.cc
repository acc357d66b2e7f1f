#include "net/chunk_decoder.h"

#include <gtest/gtest.h>

namespace gantry::net {
namespace {

using State = ChunkDecoder::State;

struct Decoded {
  State state;
  std::string body;
  size_t left;  // bytes behind the end
};

/// Feeds the bytes `piece` at a time.
Decoded decode(std::string_view bytes, size_t piece, ChunkDecoder& decoder) {
  Decoded decoded{};
  size_t at = 0, available = 0;
  for (;;) {
    std::string_view window = bytes.substr(at, available - at);
    size_t used = decoder.advance(window);
    if (decoder.state() == State::data && used < window.size()) {
      size_t take = std::min<size_t>(decoder.remaining(), window.size() - used);
      decoded.body.append(window.substr(used, take));
      decoder.take(take);
      used += take;
    }
    at += used;
    bool ended = decoder.state() == State::done || decoder.state() == State::broken;
    if (ended || (used == 0 && available == bytes.size())) break;
    if (used == 0) available = std::min(bytes.size(), available + piece);
  }
  decoded.state = decoder.state();
  decoded.left = bytes.size() - at;
  return decoded;
}

TEST(ChunkDecoder, ReadsTheSameHoweverTheBytesAreCut) {
  std::string bytes = "5\r\nhello\r\n0006;ext=\"x\"\r\n world\r\n000\r\nSum: 1\r\nSum:2 \r\n\r\nNEXT";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    ChunkDecoder decoder;
    decoder.reset({});
    Decoded decoded = decode(bytes, piece, decoder);
    EXPECT_EQ(decoded.state, State::done) << piece;
    EXPECT_EQ(decoded.body, "hello world") << piece;
    EXPECT_LE(decoded.left, 4u) << piece;
    EXPECT_EQ(decoder.trailers().all("sum"), (std::vector<std::string_view>{"1", "2"})) << piece;
  }
}

TEST(ChunkDecoder, RefusesWhatAnotherParserCouldReadDifferently) {
  for (std::string_view bytes : {
           "\r\n",
           " 5\r\n",
           "5 \r\n",
           "+5\r\n",
           "-5\r\n",
           "0x5\r\n",
           "5\n",
           "5\r\rhello\r\n",
           "5;a\rb\r\n",
           "g\r\n",
           "10000000000000000\r\n",
           "5\r\nhello\n\n",
           "5\r\nhelloX\r\n",
           "0\r\nA: b\n\r\n",
           "0\r\n A: b\r\n\r\n",
           "0\r\nA : b\r\n\r\n",
           "0\r\nA\r\n\r\n",
           "0\r\nA: \x01\r\n\r\n",
       }) {
    ChunkDecoder decoder;
    decoder.reset({});
    EXPECT_EQ(decode(bytes, bytes.size(), decoder).state, State::broken) << bytes;
  }
}

TEST(ChunkDecoder, BoundsLinesAndTrailers) {
  auto state_of = [](std::string_view bytes) {
    ChunkDecoder decoder;
    decoder.reset({.max_line_bytes = 16, .max_trailer_bytes = 64, .max_trailer_count = 2});
    return decode(bytes, 7, decoder).state;
  };
  EXPECT_EQ(state_of("5;" + std::string(100, 'a')), State::broken);
  EXPECT_EQ(state_of("0\r\nA: " + std::string(100, 'a')), State::broken);
  EXPECT_EQ(state_of("0\r\nA: 1\r\nA: 2\r\nA: 3\r\n\r\n"), State::broken);
  EXPECT_EQ(state_of("0\r\nA: 1\r\nA: 2\r\n\r\n"), State::done);
  std::string many = "0\r\n";
  for (int i = 0; i < 2; ++i) many += "A: " + std::string(40, 'a') + "\r\n";
  EXPECT_EQ(state_of(many), State::broken);
}

}  // namespace
}  // namespace gantry::net
