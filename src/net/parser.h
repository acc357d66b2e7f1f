// The Beast parsers behind the reader. Private to net/: with parser.cc and beast_impl.cc the only Beast of the code base.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <cstdint>
#include <string_view>
#include <vector>

#include "net/headers.h"

namespace gantry::net {

/// What the parser found. Views point into the bytes that it was given.
struct ParsedFields {
  std::string_view method;
  std::string_view target;
  std::string_view reason;
  int status = 0;
  int version = 11;
  std::vector<Header> headers;
  HeaderList trailers;
  std::string_view piece;    ///< body bytes of the last chunk step
  bool in_trailers = false;  ///< fields that come now are trailers
  bool hold_body = false;    ///< leave body bytes where they are: the caller has a piece already
};

/// Parses a complete head in one call, then a chunked body step by step. Stores into flat, reused memory.
template <bool is_request>
class BeastParser final : public boost::beast::http::basic_parser<is_request> {
 public:
  using string_view = boost::beast::string_view;
  using error_code = boost::beast::error_code;
  using verb = boost::beast::http::verb;
  using field = boost::beast::http::field;

  explicit BeastParser(ParsedFields& out) : out_(out) {
    this->eager(false);
    this->header_limit(UINT32_MAX);  // the reader bounds heads and bodies itself
    this->body_limit(boost::none);
  }

 private:
  static std::string_view standard(string_view text) { return {text.data(), text.size()}; }

  void on_request_impl(verb, string_view method, string_view target, int version, error_code&) override {
    out_.method = standard(method);
    out_.target = standard(target);
    out_.version = version;
  }
  void on_response_impl(int status, string_view reason, int version, error_code&) override {
    out_.status = status;
    out_.reason = standard(reason);
    out_.version = version;
  }
  void on_field_impl(field, string_view name, string_view value, error_code&) override {
    if (out_.in_trailers)
      out_.trailers.add(standard(name), standard(value));
    else
      out_.headers.push_back({standard(name), standard(value)});
  }
  void on_header_impl(error_code&) override { out_.in_trailers = true; }
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(string_view body, error_code&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code&) override {
    if (out_.hold_body) return 0;
    out_.piece = standard(body);
    return body.size();
  }
  void on_finish_impl(error_code&) override {}

  ParsedFields& out_;
};

}  // namespace gantry::net
