// All data keys of a server: an immutable value that sealing and opening read without a lock.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "vault/secret_key.h"
#include "vault/vault.h"

namespace gantry::vault {

/// One key of a scope.
struct DataKey {
  uint32_t id = 0;  ///< from 1
  Time created_at;
  std::shared_ptr<const SecretKey> key;
};

class KeyRing {
 public:
  /// `keys` are sorted by id.
  using Keys = std::map<Scope, std::vector<DataKey>>;
  KeyRing() = default;
  explicit KeyRing(Keys keys) : keys_(std::move(keys)) {}

  const Keys& keys() const { return keys_; }
  /// The one that seals; null if the scope has none.
  const DataKey* newest(const Scope& scope) const;
  const DataKey* find(const Scope& scope, uint32_t id) const;

  /// Key id, then what `vault::seal` gives: `journal::PayloadCipher::overhead` longer. `not_found` without a key.
  Result<std::string> seal(const Scope& scope, std::string_view context, std::string_view plaintext,
                           Random& random) const;
  Result<std::string> open(const Scope& scope, std::string_view context, std::string_view sealed) const;

 private:
  Keys keys_;
};

/// What a data key is stored as: sealed by the master key for its scope and id.
std::string wrap(const SecretKey& master, const Scope& scope, const DataKey& key, Random& random);
Result<SecretKey> unwrap(const SecretKey& master, const Scope& scope, uint32_t id, std::string_view wrapped);

}  // namespace gantry::vault
