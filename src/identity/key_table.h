// The table of keys: what the store holds of each. Private to identity/.
#pragma once

#include <vector>

#include "crypto/crypto.h"
#include "identity/identity.h"

namespace gantry::identity {

struct StoredKey {
  Key key;
  crypto::Digest hash{};  ///< of the token
};

Result<> insert_key(store::Session& session, const StoredKey& stored);
/// All of the session's scope, oldest first.
Result<std::vector<StoredKey>> list_keys(store::Session& session);
Result<bool> live_name_exists(store::Session& session, const std::string& name);
/// Live or revoked.
Result<bool> hash_exists(store::Session& session, const crypto::Digest& hash);
/// `not_found`, or GR0903 for the last live root key of the scope.
Result<> revoke_key(store::Session& session, KeyId key, Time now);

}  // namespace gantry::identity
