// 32 bytes that must not leave this process, and what is done with them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/base.h"

namespace gantry::vault {

/// A key of XChaCha20-Poly1305. In pages of its own between guard pages, locked in memory where the machine allows it,
/// and wiped when it is destroyed. Movable; immutable once made.
class SecretKey {
 public:
  static constexpr size_t size = 32;
  /// Copies `bytes`, which are the caller's to wipe.
  explicit SecretKey(std::span<const uint8_t, size> bytes);
  static SecretKey make_random(Random& random);

  std::span<const uint8_t, size> bytes() const { return std::span<const uint8_t, size>(memory_.get(), size); }
  friend bool operator==(const SecretKey& a, const SecretKey& b);

 private:
  struct Free {
    void operator()(uint8_t* memory) const;
  };
  SecretKey();
  std::unique_ptr<uint8_t, Free> memory_;
};

/// Overwrites what held a secret.
void wipe(std::span<uint8_t> bytes);

/// A nonce and a tag: what sealing adds.
inline constexpr size_t nonce_size = 24;
inline constexpr size_t tag_size = 16;

/// Appends a random nonce, the encrypted `plaintext` and its tag to `out`. `context` is authenticated, not stored.
void seal(const SecretKey& key, std::string_view context, std::string_view plaintext, Random& random, std::string& out);
/// The plaintext of what `seal` appended. `data_loss` if anything was changed, or the key or the context is another
/// one.
Result<std::string> open(const SecretKey& key, std::string_view context, std::string_view sealed);

/// 32 hex digits that are the same for the same key and tell nothing else about it.
std::string fingerprint(const SecretKey& key);

}  // namespace gantry::vault
