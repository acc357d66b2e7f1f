// Who calls. Every call carries a bearer key; the key says which principal it is and in which scope.
//
//   Principal   the caller, as every other folder sees it
//   Key         what is kept of a key: never the token, only its SHA-256
//   Identity    checks tokens, creates and revokes keys
//
// A token is `gk_` and 43 characters of base64url: 256 random bits, so a plain SHA-256 is enough and
// a slow password hash would buy nothing. `authenticate` is on the path of every request: it reads
// an immutable snapshot, takes no lock, allocates nothing and compares hashes in constant time.
// All other calls go to the store. Owned by the composition root; thread-safe.
//
// Example:
//
//   GANTRY_TRY(auto identity, Identity::open(database, clock, random));
//   GANTRY_TRY_VOID(identity->ensure_root_key(data / "root.key", Scope::standard()));
//   auto principal = identity->authenticate(token);   // Result<std::shared_ptr<const Principal>>
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "store/store.h"

namespace gantry::identity {

/// What a principal may do until roles exist: both may do everything in their scope; only `root`
/// may create and revoke keys and rotate the keys of the encryption.
enum class PrincipalKind { root, key };
std::string_view to_string(PrincipalKind kind);

/// A caller that is known.
struct Principal {
  std::string name;  ///< the name of its key: `root`
  PrincipalKind kind = PrincipalKind::key;
  Scope scope;
  KeyId key;
};

/// A key as listings show it.
struct Key {
  KeyId id;
  std::string name;
  PrincipalKind kind = PrincipalKind::key;
  Scope scope;
  Time created_at;
  std::optional<Time> revoked_at;
};

/// A new key; the token is shown this once and cannot be found again.
struct CreatedKey {
  Key key;
  std::string token;
};

/// The schema of this folder, for the composition root.
store::Migrations migrations();

/// Checks tokens and keeps keys.
class Identity {
 public:
  /// Loads the keys of every scope. Blocks.
  static Result<std::unique_ptr<Identity>> open(store::Database& database, Clock& clock, Random& random);
  ~Identity();

  /// Makes sure that `file` (mode 0600, created with O_EXCL) holds a root key of `scope` that works. An
  /// existing file is kept if its key is known, and adopted if the store lost it; a lost file gets
  /// a new key. GR0902 if others could read the file. Blocks: for start-up.
  Result<> ensure_root_key(const std::filesystem::path& file, const Scope& scope);

  /// The principal of a bearer token; GR0901 if it is unknown or revoked. Any thread, lock-free.
  Result<std::shared_ptr<const Principal>> authenticate(std::string_view token) const;

  /// Creates a key; `conflict` if a live key of that scope has the name.
  Task<Result<CreatedKey>> create(Scope scope, std::string name, PrincipalKind kind);
  /// All keys of a scope, revoked ones too, oldest first.
  Task<Result<std::vector<Key>>> list(Scope scope);
  /// The key stops working before this returns. `not_found` if there is no such live key; `conflict`
  /// for the last live root key, without which nobody could get in.
  Task<Result<>> revoke(Scope scope, KeyId key);

 private:
  struct State;
  explicit Identity(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace gantry::identity
