// Where a head ends, before any parser sees it. Private to net/. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace gantry::net {

/// Walks line ends. A parser that gets only whole heads needs no state, and what other parsers forgive is refused here:
/// a line that ends without CR (request smuggling by bare LF) and a folded field (RFC 9112 5.2).
class HeadScan {
 public:
  enum class Result { incomplete, complete, bare_line_feed, folded_field };

  void reset() { *this = HeadScan(); }
  /// `bytes` starts at the start line and only grows between two calls.
  Result run(std::string_view bytes);
  /// After `complete`: bytes up to the empty line, it included.
  size_t head_bytes() const { return line_start_; }
  /// True once the start line is complete.
  bool has_start_line() const { return line_start_ > 0; }

 private:
  size_t line_start_ = 0;
  size_t scanned_ = 0;
};

}  // namespace gantry::net
