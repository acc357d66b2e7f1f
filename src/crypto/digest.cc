#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "crypto/crypto.h"

namespace gantry::crypto {
namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// Fetched once: EVP_sha256() looks it up again, under a lock, for every digest.
const EVP_MD* sha256_method() {
  static const EVP_MD* const method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  GANTRY_CHECK(method != nullptr);
  return method;
}

}  // namespace

struct Sha256::State {
  std::unique_ptr<EVP_MD_CTX, FreeContext> context{EVP_MD_CTX_new()};

  // Without memory there is nothing that a caller could do about a digest.
  State() {
    GANTRY_CHECK(context != nullptr);
    start();
  }
  void start() { GANTRY_CHECK(EVP_DigestInit_ex2(context.get(), sha256_method(), nullptr) == 1); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const uint8_t> data) {
  GANTRY_CHECK(EVP_DigestUpdate(state_->context.get(), data.data(), data.size()) == 1);
}

Digest Sha256::finish() {
  Digest digest{};
  unsigned size = 0;
  GANTRY_CHECK(EVP_DigestFinal_ex(state_->context.get(), digest.data(), &size) == 1 && size == digest.size());
  state_->start();
  return digest;
}

Digest sha256(std::span<const uint8_t> data) {
  thread_local Sha256 hash;  // every call with a key comes through here
  hash.update(data);
  return hash.finish();
}

std::string sha256_hex(std::string_view text) { return hex(sha256(text)); }

std::string content_address(const Digest& digest) { return "sha256:" + hex(digest); }

Result<Digest> parse_content_address(std::string_view text) {
  constexpr std::string_view prefix = "sha256:";
  constexpr std::string_view digits = "0123456789abcdef";
  std::string_view rest = text.starts_with(prefix) ? text.substr(prefix.size()) : std::string_view();
  // One spelling only: an address is also a file name and a key of tables.
  if (rest.size() == 64 && rest.find_first_not_of(digits) == rest.npos) {
    GANTRY_TRY(std::vector<uint8_t> bytes, unhex(rest));
    Digest digest{};
    std::copy(bytes.begin(), bytes.end(), digest.begin());
    return digest;
  }
  return fail(Code::invalid, "'{}' is not sha256: and 64 lower-case hex digits", text.substr(0, 80));
}

Digest hmac_sha256(std::span<const uint8_t> key, std::span<const uint8_t> data) {
  static constexpr uint8_t no_key = 0;
  Digest digest{};
  unsigned size = 0;
  // HMAC() takes a null key for "the key of the last call", which an empty span may hold.
  const uint8_t* start = key.empty() ? &no_key : key.data();
  GANTRY_CHECK(key.size() <= INT_MAX);
  const unsigned char* done =
      HMAC(EVP_sha256(), start, static_cast<int>(key.size()), data.data(), data.size(), digest.data(), &size);
  GANTRY_CHECK(done != nullptr && size == digest.size());
  return digest;
}

bool secure_equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string random_token(Random& random, size_t bytes) {
  std::vector<uint8_t> raw(bytes);
  random.fill(raw);
  std::string token = base64url(raw);
  OPENSSL_cleanse(raw.data(), raw.size());
  return token;
}

}  // namespace gantry::crypto
