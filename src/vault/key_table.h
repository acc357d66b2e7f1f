// What the store keeps of the keys: wrapped data keys, and the fingerprint of the master key that wrapped them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vault/vault.h"

namespace gantry::vault {

/// The master key that the data keys are wrapped with, as far as the store knows it.
struct MasterRow {
  std::string fingerprint;
  uint32_t generation = 0;
  Time since;
};

/// One row of vault_keys.
struct KeyRow {
  uint32_t id = 0;
  std::string wrapped;
  Time created_at;
};
using KeyRows = std::map<Scope, std::vector<KeyRow>>;

/// What one transaction changes.
struct KeyChange {
  /// What the store must say, or nothing is changed: no data key is ever stored beside the fingerprint of another
  /// master key than the one that wrapped it. nullopt: there must be none yet.
  std::optional<std::string> expected;
  std::optional<MasterRow> master;  ///< takes the place of the old one
  KeyRows keys;                     ///< written; rows with the same id are replaced
};

/// Both block.
Result<std::optional<MasterRow>> read_master(store::Database& database);
/// Sorted by id.
Result<KeyRows> read_keys(store::Database& database);
/// All of it, flushed, or nothing. `conflict` if the store does not say what is expected.
Result<void> write_keys(store::Database& database, const KeyChange& change);

}  // namespace gantry::vault
