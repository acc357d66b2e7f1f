#include "identity/identity.h"

#include <unordered_map>

#include "crypto/crypto.h"
#include "identity/key_file.h"
#include "identity/key_table.h"

namespace gantry::identity {
namespace {

/// The start of a hash is as good as random.
struct DigestHash {
  size_t operator()(const crypto::Digest& digest) const {
    size_t value = 0;
    std::memcpy(&value, digest.data(), sizeof value);
    return value;
  }
};

/// How long an equal prefix is must not show in the time that a comparison takes.
struct DigestEqual {
  bool operator()(const crypto::Digest& a, const crypto::Digest& b) const {
    return crypto::secure_equal(std::string_view(reinterpret_cast<const char*>(a.data()), a.size()),
                                std::string_view(reinterpret_cast<const char*>(b.data()), b.size()));
  }
};

using LiveKeys = std::unordered_map<crypto::Digest, std::shared_ptr<const Principal>, DigestHash, DigestEqual>;

std::shared_ptr<const Principal> principal_of(const Key& key) {
  return std::make_shared<const Principal>(Principal{key.name, key.kind, key.scope, key.id});
}

}  // namespace

std::string_view to_string(PrincipalKind kind) { return kind == PrincipalKind::root ? "root" : "key"; }

struct Identity::State {
  store::Database& database;
  Clock& clock;
  Random& random;
  std::mutex change;  // held while a new snapshot is derived from the old one
  Snapshot<LiveKeys> live;

  State(store::Database& its_database, Clock& its_clock, Random& its_random)
      : database(its_database), clock(its_clock), random(its_random) {}

  void add(const StoredKey& stored) {
    std::lock_guard lock(change);
    auto next = std::make_shared<LiveKeys>(*live.load());
    next->insert_or_assign(stored.hash, principal_of(stored.key));
    live.store(std::move(next));
  }

  void drop(KeyId id) {
    std::lock_guard lock(change);
    auto next = std::make_shared<LiveKeys>(*live.load());
    std::erase_if(*next, [&](const auto& entry) { return entry.second->key == id; });
    live.store(std::move(next));
  }

  /// A key that is not in the store yet, and its token.
  std::pair<StoredKey, std::string> make_key(std::string name, PrincipalKind kind, const Scope& scope) {
    std::string token = make_token(random);
    StoredKey stored{.key = {.id = KeyId::make(clock, random),
                             .name = std::move(name),
                             .kind = kind,
                             .scope = scope,
                             .created_at = clock.now()},
                     .hash = crypto::sha256(token)};
    return {std::move(stored), std::move(token)};
  }

  Result<> adopt(const std::string& token, const Scope& scope);
  Result<> write_new(const std::filesystem::path& file, const Scope& scope);
  /// Inserts a root key under the first free name: `root`, `root-2`, …
  Result<> insert_root(StoredKey& stored);
};

Result<> Identity::State::insert_root(StoredKey& stored) {
  GANTRY_TRY_VOID(database.write_blocking(stored.key.scope, [&](store::Session& session) -> Result<> {
    for (int number = 1;; ++number) {
      stored.key.name = number == 1 ? "root" : fmt::format("root-{}", number);
      GANTRY_TRY(const bool taken, live_name_exists(session, stored.key.name));
      if (!taken) return insert_key(session, stored);
    }
  }));
  add(stored);
  return {};
}

Result<> Identity::State::adopt(const std::string& token, const Scope& scope) {
  const crypto::Digest hash = crypto::sha256(token);
  if (live.load()->contains(hash)) return {};
  GANTRY_TRY(const bool revoked,
             database.read_blocking(scope, [&](store::Session& session) { return hash_exists(session, hash); }));
  if (revoked)
    return std::unexpected(Error(ErrorId::GR0901, "the key in the key file was revoked")
                               .with_hint("delete the file; the next start writes a new key"));
  auto [stored, unused] = make_key("root", PrincipalKind::root, scope);
  stored.hash = hash;
  return insert_root(stored);
}

Result<> Identity::State::write_new(const std::filesystem::path& file, const Scope& scope) {
  auto [stored, token] = make_key("root", PrincipalKind::root, scope);
  // The file first: a crash in between leaves a key that the next start adopts, and never one that
  // works and that nobody has.
  GANTRY_TRY_VOID(write_key_file(file, token));
  return insert_root(stored);
}

Identity::Identity(std::unique_ptr<State> state) : state_(std::move(state)) {}
Identity::~Identity() = default;

Result<std::unique_ptr<Identity>> Identity::open(store::Database& database, Clock& clock, Random& random) {
  auto state = std::make_unique<State>(database, clock, random);
  GANTRY_TRY(const std::vector<Scope> scopes, database.scopes());
  auto live = std::make_shared<LiveKeys>();
  for (const Scope& scope : scopes) {
    GANTRY_TRY(const std::vector<StoredKey> keys,
               database.read_blocking(scope, [](store::Session& session) { return list_keys(session); }));
    for (const StoredKey& stored : keys)
      if (!stored.key.revoked_at.has_value()) live->emplace(stored.hash, principal_of(stored.key));
  }
  state->live.store(std::move(live));
  return std::unique_ptr<Identity>(new Identity(std::move(state)));
}

Result<> Identity::ensure_root_key(const std::filesystem::path& file, const Scope& scope) {
  GANTRY_TRY(const std::optional<std::string> token, read_key_file(file));
  auto ensured = token.has_value() ? state_->adopt(*token, scope) : state_->write_new(file, scope);
  if (!ensured.has_value()) return std::unexpected(std::move(ensured).error().wrap("root key " + file.string()));
  return {};
}

Result<std::shared_ptr<const Principal>> Identity::authenticate(std::string_view token) const {
  if (is_token(token)) {
    const auto live = state_->live.load();
    if (auto found = live->find(crypto::sha256(token)); found != live->end()) return found->second;
  }
  return std::unexpected(Error(ErrorId::GR0901, token.empty() ? "the call carries no key" : "the key is not known")
                             .with_hint("send 'Authorization: Bearer gk_…'; the root key is in root.key of the data "
                                        "directory"));
}

Task<Result<CreatedKey>> Identity::create(Scope scope, std::string name, PrincipalKind kind) {
  if (!is_name(name)) co_return fail(Code::invalid, "'{}' is not a name for a key", name.substr(0, 64));
  auto made = state_->make_key(name, kind, scope);
  const StoredKey& stored = made.first;
  GANTRY_CO_TRY_VOID(co_await state_->database.write(scope, [&stored](store::Session& session) -> Result<> {
    GANTRY_TRY(const bool taken, live_name_exists(session, stored.key.name));
    if (taken) return fail(Code::conflict, "there is a key with the name '{}'", stored.key.name);
    return insert_key(session, stored);
  }));
  state_->add(stored);
  co_return CreatedKey{stored.key, std::move(made.second)};
}

Task<Result<std::vector<Key>>> Identity::list(Scope scope) {
  GANTRY_CO_TRY(const std::vector<StoredKey> stored,
                co_await state_->database.read(scope, [](store::Session& session) { return list_keys(session); }));
  std::vector<Key> keys;
  keys.reserve(stored.size());
  for (const StoredKey& one : stored) keys.push_back(one.key);
  co_return keys;
}

Task<Result<>> Identity::revoke(Scope scope, KeyId key) {
  const Time now = state_->clock.now();
  GANTRY_CO_TRY_VOID(co_await state_->database.write(
      scope, [key, now](store::Session& session) { return revoke_key(session, key, now); }));
  state_->drop(key);
  co_return Result<>();
}

}  // namespace gantry::identity
