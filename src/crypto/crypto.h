// Digests, checksums, encodings and comparisons: the few primitives that everything else is built on.
//
//   SHA-256     content addresses (`sha256:…`), canonical hashes; OpenSSL, which uses the SHA instructions
//   CRC32C      the frame checksum of the journal; SSE4.2 where the processor has it, tables elsewhere
//   HMAC        signatures of webhooks and cookies
//   base64, hex encodings of what leaves the process
//   secure_equal  compares secrets in time that does not depend on where they differ
//   random_token  an unguessable text from the injected Random
//
// Pure functions and one small value type; thread-safe, nothing throws, nothing does I/O. Keys are
// never kept here.
//
// Example:
//
//   Sha256 hash;
//   while (auto chunk = read()) hash.update(*chunk);
//   std::string address = "sha256:" + hex(hash.finish());
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"

namespace gantry::crypto {

/// A SHA-256 digest (FIPS 180-4).
using Digest = std::array<uint8_t, 32>;

/// The bytes of a text. Points into `text`.
inline std::span<const uint8_t> bytes_of(std::string_view text) {
  // SAFETY: every object may be read through unsigned char.
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

/// SHA-256 of data that arrives in pieces. Movable, not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::span<const uint8_t> data);
  void update(std::string_view text) { update(bytes_of(text)); }
  /// The digest of all data so far; the object then starts again from nothing.
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// SHA-256 in one call.
Digest sha256(std::span<const uint8_t> data);
inline Digest sha256(std::string_view text) { return sha256(bytes_of(text)); }
/// The 64 lower-case hex digits of `sha256(text)`.
std::string sha256_hex(std::string_view text);
/// `sha256:<64 hex digits>`, the way content addresses are written.
std::string content_address(const Digest& digest);
/// Parses `sha256:<64 lower-case hex digits>`.
Result<Digest> parse_content_address(std::string_view text);

/// HMAC-SHA-256 (RFC 2104).
Digest hmac_sha256(std::span<const uint8_t> key, std::span<const uint8_t> data);
inline Digest hmac_sha256(std::string_view key, std::string_view data) {
  return hmac_sha256(bytes_of(key), bytes_of(data));
}

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4). `so_far` continues an earlier checksum:
/// `crc32c(b, crc32c(a))` is the checksum of a followed by b.
uint32_t crc32c(std::span<const uint8_t> data, uint32_t so_far = 0);
inline uint32_t crc32c(std::string_view text, uint32_t so_far = 0) { return crc32c(bytes_of(text), so_far); }

/// Which code computes CRC32C; both give the same result on every input.
enum class Crc32cPath { hardware, table };
/// The path that this processor takes in `crc32c`.
Crc32cPath crc32c_path();
/// The table path, also where the hardware one would be taken: for tests and benchmarks.
uint32_t crc32c_by_table(std::span<const uint8_t> data, uint32_t so_far = 0);

/// Equality in time that depends on the lengths only. For keys, tokens and signatures.
bool secure_equal(std::string_view a, std::string_view b);

/// Lower-case hex, two digits a byte.
std::string hex(std::span<const uint8_t> data);
/// The inverse; accepts both cases, refuses odd lengths.
Result<std::vector<uint8_t>> unhex(std::string_view text);

/// RFC 4648 section 4, with padding.
std::string base64(std::span<const uint8_t> data);
inline std::string base64(std::string_view text) { return base64(bytes_of(text)); }
/// The strict inverse: padding required, no white space, unused bits zero.
Result<std::vector<uint8_t>> unbase64(std::string_view text);
/// RFC 4648 section 5 (URL and file name safe), without padding.
std::string base64url(std::span<const uint8_t> data);
inline std::string base64url(std::string_view text) { return base64url(bytes_of(text)); }
/// The strict inverse: no padding allowed.
Result<std::vector<uint8_t>> unbase64url(std::string_view text);

/// `bytes` random bytes as base64url. 32 bytes (43 characters) cannot be guessed.
std::string random_token(Random& random, size_t bytes = 32);

}  // namespace gantry::crypto
