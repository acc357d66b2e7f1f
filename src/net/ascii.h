// Bytes of HTTP, fast: every forwarded field passes through these. Private to net/.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace gantry::net {

namespace ascii_detail {

constexpr std::array<bool, 256> make_token_table() {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<size_t>(c)] = table[static_cast<size_t>(c - 32)] = true;
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] = true;
  return table;
}
inline constexpr std::array<bool, 256> token_table = make_token_table();

}  // namespace ascii_detail

/// A byte of a token (RFC 9110 5.6.2): field names and methods.
inline bool is_token_byte(char c) { return ascii_detail::token_table[static_cast<unsigned char>(c)]; }

/// How many token bytes the text starts with.
inline size_t token_length(std::string_view text) {
  size_t length = 0;
  while (length < text.size() && is_token_byte(text[length])) ++length;
  return length;
}

namespace ascii_detail {

constexpr uint64_t each_byte(uint8_t byte) { return 0x0101010101010101u * byte; }

inline uint64_t load8(const char* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

/// Nonzero if one of eight bytes is below `least` (at most 0x80) or is DEL; exact, but for which byte it is.
template <uint8_t least>
uint64_t controls_in(uint64_t word) {
  uint64_t deleted = word ^ each_byte(0x7f);
  return (((word - each_byte(least)) & ~word) | ((deleted - each_byte(1)) & ~deleted)) & each_byte(0x80);
}

/// True if no byte of the text is below `least` or DEL. Eight at a time; the last eight may overlap.
template <uint8_t least>
bool has_none_below(std::string_view text) {
  const char* from = text.data();
  const char* end = from + text.size();
  if (text.size() < 8) {
    for (; from != end; ++from)
      if (static_cast<uint8_t>(*from) < least || *from == 0x7f) return false;
    return true;
  }
  for (; end - from > 8; from += 8)
    if (controls_in<least>(load8(from)) != 0) return false;
  return controls_in<least>(load8(end - 8)) == 0;
}

}  // namespace ascii_detail

/// No control byte but tab: what a field value or a reason may hold (RFC 9110 5.5).
inline bool is_field_text(std::string_view text) {
  if (ascii_detail::has_none_below<0x20>(text)) return true;
  for (char c : text)
    if ((static_cast<uint8_t>(c) < 0x20 && c != '\t') || c == 0x7f) return false;
  return true;
}

/// No control byte and no space: what a request target may hold here.
inline bool is_target_text(std::string_view text) { return ascii_detail::has_none_below<0x21>(text); }

/// True if the name equals `lower`, which is lower case already, without regard to case. For token bytes only: setting
/// bit 5 maps upper to lower case letters, and no other two token bytes that matter to each other ('-' stays itself).
inline bool is_named(std::string_view name, std::string_view lower) {
  if (name.size() != lower.size()) return false;
  const char* a = name.data();
  const char* b = lower.data();
  size_t left = name.size();
  for (; left >= 8; left -= 8, a += 8, b += 8) {
    uint64_t x, y;
    std::memcpy(&x, a, 8);
    std::memcpy(&y, b, 8);
    if ((x | 0x2020202020202020u) != y) return false;
  }
  for (; left > 0; --left, ++a, ++b)
    if ((*a | 0x20) != *b) return false;
  return true;
}

inline std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace gantry::net
