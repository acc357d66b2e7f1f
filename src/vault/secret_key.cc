#include "vault/secret_key.h"

#include <sodium.h>

#include <cstring>

#include "crypto/crypto.h"

namespace gantry::vault {

static_assert(SecretKey::size == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
static_assert(nonce_size == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
static_assert(tag_size == crypto_aead_xchacha20poly1305_ietf_ABYTES);

void SecretKey::Free::operator()(uint8_t* memory) const { ::sodium_free(memory); }

// SAFETY: sodium_init may be called by any thread at any time. sodium_malloc locks the pages as far as RLIMIT_MEMLOCK
// allows and goes on without; sodium_free overwrites them.
SecretKey::SecretKey() {
  GANTRY_CHECK(::sodium_init() >= 0);
  memory_.reset(static_cast<uint8_t*>(::sodium_malloc(size)));
  GANTRY_CHECK(memory_ != nullptr);
}

SecretKey::SecretKey(std::span<const uint8_t, size> bytes) : SecretKey() {
  std::memcpy(memory_.get(), bytes.data(), size);
  ::sodium_mprotect_readonly(memory_.get());
}

SecretKey SecretKey::make_random(Random& random) {
  SecretKey key;
  random.fill({key.memory_.get(), size});
  ::sodium_mprotect_readonly(key.memory_.get());
  return key;
}

bool operator==(const SecretKey& a, const SecretKey& b) {
  return ::sodium_memcmp(a.memory_.get(), b.memory_.get(), SecretKey::size) == 0;
}

void wipe(std::span<uint8_t> bytes) { ::sodium_memzero(bytes.data(), bytes.size()); }

void seal(const SecretKey& key, std::string_view context, std::string_view plaintext, Random& random,
          std::string& out) {
  const size_t start = out.size();
  out.resize(start + nonce_size + plaintext.size() + tag_size);
  // SAFETY: bytes of a string may be written as unsigned char; the output has room for text and tag.
  auto* nonce = reinterpret_cast<unsigned char*>(out.data() + start);
  random.fill({nonce, nonce_size});
  const auto text = crypto::bytes_of(plaintext);
  const auto bound = crypto::bytes_of(context);
  ::crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + nonce_size, nullptr, text.data(), text.size(), bound.data(),
                                               bound.size(), nullptr, nonce, key.bytes().data());
}

Result<std::string> open(const SecretKey& key, std::string_view context, std::string_view sealed) {
  if (sealed.size() < nonce_size + tag_size) return fail(Code::data_loss, "it is too short to be sealed");
  std::string plaintext(sealed.size() - nonce_size - tag_size, '\0');
  const auto bytes = crypto::bytes_of(sealed);
  const auto bound = crypto::bytes_of(context);
  // SAFETY: as above; nothing is written unless the tag is right.
  const int opened = ::crypto_aead_xchacha20poly1305_ietf_decrypt(
      reinterpret_cast<unsigned char*>(plaintext.data()), nullptr, nullptr, bytes.data() + nonce_size,
      bytes.size() - nonce_size, bound.data(), bound.size(), bytes.data(), key.bytes().data());
  if (opened != 0) return fail(Code::data_loss, "it does not open: it was changed, or sealed as something else");
  return plaintext;
}

std::string fingerprint(const SecretKey& key) {
  const crypto::Digest digest = crypto::hmac_sha256(key.bytes(), crypto::bytes_of("gantry master key fingerprint"));
  return crypto::hex(std::span(digest).first(16));
}

}  // namespace gantry::vault
