#include "vault/key_ring.h"

#include <algorithm>

#include "crypto/crypto.h"

namespace gantry::vault {
namespace {

constexpr size_t id_size = 4;
static_assert(id_size + nonce_size + tag_size == journal::PayloadCipher::overhead);

void append_id(uint32_t id, std::string& out) {
  for (size_t i = 0; i < id_size; ++i) out.push_back(static_cast<char>(id >> (8 * i)));
}

uint32_t id_of(std::string_view sealed) {
  uint32_t id = 0;
  for (size_t i = 0; i < id_size; ++i) id |= uint32_t{static_cast<uint8_t>(sealed[i])} << (8 * i);
  return id;
}

// A scope has no NUL and an id has a fixed size, so that no two things are bound to the same bytes.
std::string bound_to(std::string_view purpose, const Scope& scope, uint32_t id, std::string_view context = {}) {
  std::string bound;
  bound.reserve(purpose.size() + scope.tenant.size() + scope.domain.size() + scope.environment.size() + context.size() +
                8);
  bound.append(purpose).append(scope.tenant).append("/").append(scope.domain).append("/").append(scope.environment);
  bound.push_back('\0');
  append_id(id, bound);
  return bound.append(context);
}

}  // namespace

const DataKey* KeyRing::newest(const Scope& scope) const {
  auto keys = keys_.find(scope);
  return keys == keys_.end() ? nullptr : &keys->second.back();
}

const DataKey* KeyRing::find(const Scope& scope, uint32_t id) const {
  auto keys = keys_.find(scope);
  if (keys == keys_.end()) return nullptr;
  auto key = std::ranges::lower_bound(keys->second, id, {}, &DataKey::id);
  return key == keys->second.end() || key->id != id ? nullptr : &*key;
}

Result<std::string> KeyRing::seal(const Scope& scope, std::string_view context, std::string_view plaintext,
                                  Random& random) const {
  const DataKey* key = newest(scope);
  if (key == nullptr) return fail(Code::not_found, "scope {} has no data key", scope.path());
  std::string sealed;
  sealed.reserve(plaintext.size() + journal::PayloadCipher::overhead);
  append_id(key->id, sealed);
  vault::seal(*key->key, bound_to("payload ", scope, key->id, context), plaintext, random, sealed);
  return sealed;
}

Result<std::string> KeyRing::open(const Scope& scope, std::string_view context, std::string_view sealed) const {
  if (sealed.size() < journal::PayloadCipher::overhead) return fail(Code::data_loss, "it is too short to be sealed");
  const uint32_t id = id_of(sealed);
  const DataKey* key = find(scope, id);
  if (key == nullptr)
    return fail(Code::data_loss, "it is sealed with data key {} of {}, which the store does not hold", id,
                scope.path());
  return vault::open(*key->key, bound_to("payload ", scope, id, context), sealed.substr(id_size));
}

std::string wrap(const SecretKey& master, const Scope& scope, const DataKey& key, Random& random) {
  const auto bytes = key.key->bytes();
  // SAFETY: the bytes are read as char, which may read every object.
  const std::string_view plaintext(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::string wrapped;
  seal(master, bound_to("data key ", scope, key.id), plaintext, random, wrapped);
  return wrapped;
}

Result<SecretKey> unwrap(const SecretKey& master, const Scope& scope, uint32_t id, std::string_view wrapped) {
  GANTRY_TRY(std::string opened, open(master, bound_to("data key ", scope, id), wrapped));
  const telemetry::Secret plaintext(std::move(opened));
  const auto bytes = crypto::bytes_of(plaintext.reveal());
  if (bytes.size() != SecretKey::size) return fail(Code::data_loss, "it has {} bytes", bytes.size());
  return SecretKey(bytes.first<SecretKey::size>());
}

}  // namespace gantry::vault
