#include "base/id.h"

namespace gantry {
namespace {

constexpr std::string_view alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

int digit_of(char c) {
  if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  auto at = alphabet.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

}  // namespace

IdBytes make_uuid7(Time now, Random& random) {
  IdBytes bytes{};
  auto ms = static_cast<uint64_t>(std::chrono::floor<std::chrono::milliseconds>(now).time_since_epoch().count());
  for (size_t i = 0; i < 6; ++i) bytes[i] = static_cast<uint8_t>(ms >> (40 - 8 * i));
  random.fill(std::span(bytes).subspan(6));
  bytes[6] = static_cast<uint8_t>((bytes[6] & 0x0f) | 0x70);
  bytes[8] = static_cast<uint8_t>((bytes[8] & 0x3f) | 0x80);
  return bytes;
}

std::string encode_id(const IdBytes& bytes) {
  // 26 digits hold 130 bits: the first digit carries the top 3 bits of the 128.
  std::string text(26, '0');
  __extension__ unsigned __int128 value = 0;
  for (uint8_t byte : bytes) value = value << 8 | byte;
  for (size_t i = 26; i-- > 0; value >>= 5) text[i] = alphabet[static_cast<size_t>(value & 31)];
  return text;
}

std::optional<IdBytes> decode_id(std::string_view text) {
  if (text.size() != 26 || digit_of(text[0]) > 7) return std::nullopt;
  __extension__ unsigned __int128 value = 0;
  for (char c : text) {
    int digit = digit_of(c);
    if (digit < 0) return std::nullopt;
    value = value << 5 | static_cast<unsigned>(digit);
  }
  IdBytes bytes{};
  for (size_t i = 16; i-- > 0; value >>= 8) bytes[i] = static_cast<uint8_t>(value);
  return bytes;
}

}  // namespace gantry
