#include "crypto/crypto.h"

namespace gantry::crypto {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr std::string_view standard_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view url_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum class Padding { none, required };

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The value of each character, -1 for those that do not belong to the alphabet.
constexpr std::array<int8_t, 256> make_values(std::string_view alphabet) {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  for (size_t i = 0; i < alphabet.size(); ++i) values[static_cast<uint8_t>(alphabet[i])] = static_cast<int8_t>(i);
  return values;
}
constexpr auto standard_values = make_values(standard_alphabet);
constexpr auto url_values = make_values(url_alphabet);

std::string encode(std::span<const uint8_t> data, std::string_view alphabet, Padding padding) {
  std::string out;
  out.reserve((data.size() + 2) / 3 * 4);
  for (size_t i = 0; i < data.size(); i += 3) {
    size_t have = std::min<size_t>(3, data.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < have ? data[i + k] : 0u);
    for (size_t k = 0; k < have + 1; ++k) out += alphabet[group >> (18 - 6 * k) & 63];
    if (padding == Padding::required) out.append(3 - have, '=');
  }
  return out;
}

Result<std::vector<uint8_t>> decode(std::string_view text, const std::array<int8_t, 256>& values, Padding padding) {
  if (padding == Padding::required) {
    if (text.size() % 4 != 0)
      return fail(Code::invalid, "base64 text has {} characters, no multiple of 4", text.size());
    if (text.ends_with('=')) text.remove_suffix(text.ends_with("==") ? 2 : 1);
  }
  if (text.size() % 4 == 1) return fail(Code::invalid, "base64 text is cut off");
  std::vector<uint8_t> out;
  out.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int held = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    int value = values[static_cast<uint8_t>(text[i])];
    if (value < 0) return fail(Code::invalid, "character {} of the base64 text does not belong there", i + 1);
    bits = bits << 6 | static_cast<uint32_t>(value);
    if ((held += 6) < 8) continue;
    held -= 8;
    out.push_back(static_cast<uint8_t>(bits >> held));
    bits &= (1u << held) - 1;
  }
  // Two spellings of one value would defeat comparisons of tokens as text.
  if (bits != 0) return fail(Code::invalid, "the unused bits of the base64 text are not zero");
  return out;
}

}  // namespace

std::string hex(std::span<const uint8_t> data) {
  std::string out;
  out.reserve(data.size() * 2);
  for (uint8_t byte : data) {
    out += hex_digits[byte >> 4];
    out += hex_digits[byte & 15];
  }
  return out;
}

Result<std::vector<uint8_t>> unhex(std::string_view text) {
  if (text.size() % 2 != 0) return fail(Code::invalid, "hex text has an odd number of digits");
  std::vector<uint8_t> out(text.size() / 2);
  for (size_t i = 0; i < out.size(); ++i) {
    int high = hex_value(text[2 * i]);
    int low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return fail(Code::invalid, "digit {} of the hex text is none", 2 * i + (high < 0 ? 1 : 2));
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return out;
}

std::string base64(std::span<const uint8_t> data) { return encode(data, standard_alphabet, Padding::required); }
std::string base64url(std::span<const uint8_t> data) { return encode(data, url_alphabet, Padding::none); }

Result<std::vector<uint8_t>> unbase64(std::string_view text) {
  return decode(text, standard_values, Padding::required);
}
Result<std::vector<uint8_t>> unbase64url(std::string_view text) { return decode(text, url_values, Padding::none); }

}  // namespace gantry::crypto
