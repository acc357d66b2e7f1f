// fuzz: net
// The request reader against arbitrary bytes, and against Beast's parser: what ours takes, Beast takes too and reads
// the same. Ours refuses more (bare line feeds, folded fields, repeated lengths, other codings), never less.
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "net/chunk_decoder.h"
#include "net/head_parser.h"

namespace {

namespace http = boost::beast::http;
using gantry::net::ChunkDecoder;
using gantry::net::Framing;
using gantry::net::HeadScan;
using gantry::net::MessageKind;
using gantry::net::ParsedHead;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "the parsers differ: %s\n", what);
  std::abort();
}

template <class Text>
std::string_view view(const Text& text) {
  return {text.data(), text.size()};
}

void compare_with_beast(std::string_view head, const ParsedHead& ours) {
  http::request_parser<http::empty_body> beast;
  beast.header_limit(UINT32_MAX);
  beast.body_limit(boost::none);
  boost::beast::error_code error;
  beast.put(boost::asio::buffer(head.data(), head.size()), error);
  // Beast's own bounds and its list grammar of Connection are not about the structure of a message.
  if (error == http::error::bad_value || error == http::error::header_limit) return;
  require(!error && beast.is_header_done(), "Beast refuses what we take");
  require(view(beast.get().method_string()) == ours.method, "method");
  require(view(beast.get().target()) == ours.target, "target");
  auto field = ours.headers.begin();
  size_t count = 0;
  for (const auto& theirs : beast.get()) {
    (void)theirs;
    ++count;
  }
  require(count == ours.headers.size(), "number of fields");
  // Beast groups equal names: compare each value by its name's order.
  for (; field != ours.headers.end(); ++field) {
    auto range = beast.get().equal_range(boost::beast::string_view(field->name.data(), field->name.size()));
    bool found = false;
    for (auto at = range.first; at != range.second; ++at) found = found || view(at->value()) == field->value;
    require(found, "a value");
  }
  require(beast.chunked() == (ours.framing.kind == Framing::Kind::chunked), "chunked");
  auto length = beast.content_length();
  require(length.has_value() == (ours.framing.kind == Framing::Kind::length), "Content-Length");
  if (length.has_value()) require(*length == ours.framing.bytes, "the length");
  require(beast.keep_alive() == ours.keep_alive, "keep-alive");
}

/// However the bytes are cut, the decoder reads the same body.
std::string decode(std::string_view bytes, size_t piece, ChunkDecoder::State& end) {
  ChunkDecoder decoder;
  decoder.reset({.max_line_bytes = 64, .max_trailer_bytes = 256, .max_trailer_count = 4});
  std::string body;
  size_t at = 0, available = 0;
  while (decoder.state() != ChunkDecoder::State::done && decoder.state() != ChunkDecoder::State::broken) {
    std::string_view window = bytes.substr(at, available - at);
    size_t used = decoder.advance(window);
    if (decoder.state() == ChunkDecoder::State::data && used < window.size()) {
      size_t take = static_cast<size_t>(std::min<uint64_t>(decoder.remaining(), window.size() - used));
      body.append(window.substr(used, take));
      decoder.take(take);
      used += take;
    }
    at += used;
    if (used > 0) continue;
    if (available == bytes.size()) break;
    available = std::min(bytes.size(), available + piece);
  }
  end = decoder.state();
  return body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  HeadScan whole;
  if (whole.run(bytes) == HeadScan::Result::complete) {
    HeadScan by_byte;
    for (size_t end = 1; end < whole.line_ends().back(); ++end)
      require(by_byte.run(bytes.substr(0, end)) == HeadScan::Result::incomplete, "the end of the head");
    std::string_view head = bytes.substr(0, whole.line_ends().back());
    ParsedHead request, response;
    if (gantry::net::parse_head(MessageKind::request, head, whole.line_ends(), request).empty())
      compare_with_beast(head, request);
    (void)gantry::net::parse_head(MessageKind::response, head, whole.line_ends(), response);
  }
  ChunkDecoder::State at_once, cut;
  std::string body = decode(bytes, size, at_once);
  require(decode(bytes, 1, cut) == body && at_once == cut, "a cut chunked body");
  return 0;
}
