// Encryption at rest: the keys, and the cipher that the journal seals with.
//
//   master key   32 bytes that the operator keeps, in a file or in the environment; never stored here
//   data key     32 random bytes of one scope, made at its first use; the newest one seals, every older one still opens
//   wrapped      a data key sealed by the master key: the only form in which it is on disk (table vault_keys)
//   fingerprint  tells master keys apart and gives nothing away; the stored one shows a wrong key at start
//
// Everything is XChaCha20-Poly1305 (libsodium), with random nonces of 192 bits. The data keys are in memory as long as
// the server runs, so that sealing and opening need no I/O and no lock. Rotation makes a new data key for every scope
// and, with a new master key, wraps all data keys again, in one transaction: a crash leaves the old master key valid or
// the new one. What is sealed already is not touched. The composition root makes one, gives `cipher()` to the journal,
// and destroys it after the journal. Thread-safe.
//
// Example:
//
//   GANTRY_TRY(auto vault, Vault::open({database, blocking, clock, random}, {.file = "/etc/gantry/master.key"}));
//   journal_options.cipher = vault->cipher();        // null without a key: nothing is sealed
//   GANTRY_CO_TRY(Rotated done, co_await vault->rotate("/etc/gantry/next.key"));
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/async.h"
#include "base/base.h"
#include "journal/journal.h"
#include "store/store.h"
#include "telemetry/telemetry.h"

namespace gantry::vault {

/// The schema of this folder, for the composition root.
store::Migrations migrations();

/// Where the master key comes from; neither means that nothing is encrypted.
struct KeySource {
  std::filesystem::path file;  ///< 64 hex digits or base64 of 32 bytes; nobody else may read it
  telemetry::Secret text;      ///< the same, from the environment
};

/// What a vault works with. All outlive it.
struct Parts {
  store::Database& database;
  BlockingPool& blocking;
  Clock& clock;
  Random& random;
};

/// The data keys of one scope.
struct ScopeKeys {
  Scope scope;
  uint32_t newest = 0;  ///< id of the one that seals
  size_t count = 0;
  Time newest_since;
};

/// What `gantry encryption status` shows. The fields behind `enabled` mean nothing without it.
struct Status {
  bool enabled = false;
  std::string fingerprint;  ///< of the master key
  uint32_t generation = 0;  ///< how many master keys there were
  Time master_since;
  std::vector<ScopeKeys> scopes;
};

/// What a rotation did.
struct Rotated {
  bool new_master = false;
  std::string fingerprint;
  uint32_t generation = 0;
  size_t made = 0;     ///< new data keys, one for each scope
  size_t wrapped = 0;  ///< older data keys that were wrapped again
};

/// All keys of a server. Thread-safe.
class Vault {
 public:
  /// Loads the keys, and begins encryption if this is the first start with a key. GR1001 if the key is not the one of
  /// this store, GR1002 if the store was used with a key and there is none now, GR1003 if the key cannot be used.
  /// Blocks.
  static Result<std::unique_ptr<Vault>> open(Parts parts, const KeySource& source);
  ~Vault();

  /// What the journal seals with; null without a key. Lives as long as the vault.
  journal::PayloadCipher* cipher();
  Status status() const;

  /// A new data key for every scope; with a file, its content becomes the master key. Sealing and opening go on
  /// meanwhile. GR1004 without a key, GR1003 if the file cannot be used; after an error the keys are as they were.
  Task<Result<Rotated>> rotate(std::optional<std::filesystem::path> new_key_file);

 private:
  struct State;
  explicit Vault(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace gantry::vault
