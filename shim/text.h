// Decimal numbers into a buffer: the shim has no stdio.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace gantry::shim {

/// Appends to a fixed buffer; what does not fit is dropped, which callers rule out by size.
class Text {
 public:
  Text(char* buffer, size_t capacity) : buffer_(buffer), capacity_(capacity) {}

  void add(const char* bytes, size_t count) {
    if (count > capacity_ - size_) count = capacity_ - size_;
    memcpy(buffer_ + size_, bytes, count);
    size_ += count;
  }
  void add(const char* text) { add(text, strlen(text)); }
  void add_number(uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    do {
      digits[--at] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    add(digits + at, sizeof digits - at);
  }
  size_t size() const { return size_; }

 private:
  char* buffer_;
  size_t capacity_;
  size_t size_ = 0;
};

/// Reads decimal digits at `text` and moves it past them.
inline uint64_t take_number(const char*& text) {
  uint64_t value = 0;
  while (*text >= '0' && *text <= '9') value = value * 10 + static_cast<uint64_t>(*text++ - '0');
  return value;
}

}  // namespace gantry::shim
