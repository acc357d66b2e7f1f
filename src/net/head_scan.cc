#include "net/head_scan.h"

#include <cstring>

namespace gantry::net {

HeadScan::Result HeadScan::run(std::string_view bytes) {
  for (;;) {
    if (line_start_ > 0 && line_start_ < bytes.size() && (bytes[line_start_] == ' ' || bytes[line_start_] == '\t'))
      return Result::folded_field;
    const void* found = std::memchr(bytes.data() + scanned_, '\n', bytes.size() - scanned_);
    if (found == nullptr) {
      scanned_ = bytes.size();
      return Result::incomplete;
    }
    auto at = static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
    if (at == line_start_ || bytes[at - 1] != '\r') return Result::bare_line_feed;
    bool is_empty_line = at == line_start_ + 1;
    line_start_ = scanned_ = at + 1;
    if (is_empty_line) return Result::complete;
  }
}

}  // namespace gantry::net
