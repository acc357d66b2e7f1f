#include <cstring>

#include "crypto/crypto.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

namespace gantry::crypto {
namespace {

// Slicing by 8: table[k][b] is the checksum of byte b followed by k zero bytes (Intel, 2006).
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  constexpr uint32_t polynomial = 0x82f63b78;  // reflected
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < tables.size(); ++k)
    for (size_t byte = 0; byte < 256; ++byte) {
      uint32_t before = tables[k - 1][byte];
      tables[k][byte] = before >> 8 ^ tables[0][before & 0xff];
    }
  return tables;
}
constexpr Tables tables = make_tables();

uint64_t load64(const uint8_t* from) {
  uint64_t value = 0;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// These take and return the register, which is the inverted checksum.
uint32_t update_by_table(uint32_t crc, std::span<const uint8_t> data) {
  const uint8_t* at = data.data();
  size_t left = data.size();
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word = load64(at) ^ crc;
    crc = 0;
    for (size_t k = 0; k < 8; ++k) crc ^= tables[7 - k][word >> (8 * k) & 0xff];
  }
  for (; left > 0; --left, ++at) crc = crc >> 8 ^ tables[0][(crc ^ *at) & 0xff];
  return crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) uint32_t update_by_hardware(uint32_t crc, std::span<const uint8_t> data) {
  const uint8_t* at = data.data();
  size_t left = data.size();
  uint64_t wide = crc;
  for (; left >= 8; left -= 8, at += 8) wide = _mm_crc32_u64(wide, load64(at));
  crc = static_cast<uint32_t>(wide);
  for (; left > 0; --left, ++at) crc = _mm_crc32_u8(crc, *at);
  return crc;
}
bool has_hardware() { return __builtin_cpu_supports("sse4.2") != 0; }

#elif defined(__aarch64__)

__attribute__((target("+crc"))) uint32_t update_by_hardware(uint32_t crc, std::span<const uint8_t> data) {
  const uint8_t* at = data.data();
  size_t left = data.size();
  for (; left >= 8; left -= 8, at += 8) crc = __crc32cd(crc, load64(at));
  for (; left > 0; --left, ++at) crc = __crc32cb(crc, *at);
  return crc;
}
bool has_hardware() {
  constexpr unsigned long hwcap_crc32 = 1ul << 7;
  return (getauxval(AT_HWCAP) & hwcap_crc32) != 0;
}

#else

uint32_t update_by_hardware(uint32_t crc, std::span<const uint8_t> data) { return update_by_table(crc, data); }
bool has_hardware() { return false; }

#endif

}  // namespace

Crc32cPath crc32c_path() {
  static const Crc32cPath path = has_hardware() ? Crc32cPath::hardware : Crc32cPath::table;
  return path;
}

uint32_t crc32c(std::span<const uint8_t> data, uint32_t so_far) {
  return ~(crc32c_path() == Crc32cPath::hardware ? update_by_hardware(~so_far, data) : update_by_table(~so_far, data));
}

uint32_t crc32c_by_table(std::span<const uint8_t> data, uint32_t so_far) { return ~update_by_table(~so_far, data); }

}  // namespace gantry::crypto
