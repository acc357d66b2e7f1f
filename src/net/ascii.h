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

/// No control byte but tab: what a field value or a reason may hold (RFC 9110 5.5). Vectorised by the compiler.
inline bool is_field_text(std::string_view text) {
  unsigned bad = 0;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    bad |= static_cast<unsigned>(byte < 0x20) & static_cast<unsigned>(byte != '\t');
    bad |= static_cast<unsigned>(byte == 0x7f);
  }
  return bad == 0;
}

/// No control byte and no space: what a request target may hold here.
inline bool is_target_text(std::string_view text) {
  unsigned bad = 0;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    bad |= static_cast<unsigned>(byte <= 0x20) | static_cast<unsigned>(byte == 0x7f);
  }
  return bad == 0;
}

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
