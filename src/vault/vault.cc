#include "vault/vault.h"

#include <mutex>

#include "vault/key_ring.h"
#include "vault/key_table.h"
#include "vault/master_key.h"

namespace gantry::vault {
namespace {

std::unexpected<Error> wrong_key(const std::string& given, const MasterRow& stored) {
  return std::unexpected(
      Error(ErrorId::GR1001, fmt::format("the encryption key does not open this data directory: its fingerprint is {}, "
                                         "and since {} the data is encrypted under {}",
                                         given, format_time(stored.since), stored.fingerprint))
          .with_hint("configure the key with that fingerprint: the last one that a rotation was given"));
}

Result<KeyRing> unwrap_all(const SecretKey& master, const KeyRows& rows) {
  KeyRing::Keys keys;
  for (const auto& [scope, stored] : rows) {
    for (const KeyRow& row : stored) {
      auto key = unwrap(master, scope, row.id, row.wrapped);
      if (!key)
        return fail(ErrorId::GR0203, "data key {} of {} cannot be unwrapped: {}", row.id, scope.path(),
                    key.error().reason());
      keys[scope].push_back({row.id, row.created_at, std::make_shared<const SecretKey>(*std::move(key))});
    }
  }
  return KeyRing(std::move(keys));
}

}  // namespace

struct Vault::State final : public journal::PayloadCipher {
  State(Parts the_parts, SecretKey key) : parts(the_parts), master(std::move(key)) {}

  bool is_ready(const Scope& scope) const override { return ring.load()->newest(scope) != nullptr; }

  Task<Result<void>> prepare(Scope scope) override {
    GANTRY_CO_TRY(Result<void> made, co_await parts.blocking.run([this, scope] { return prepare_blocking(scope); }));
    co_return made;
  }

  Result<void> prepare_blocking(const Scope& scope) override {
    if (is_ready(scope)) return {};
    std::lock_guard lock(changes);
    const auto now = ring.load();
    if (now->newest(scope) != nullptr) return {};
    KeyRing::Keys keys = now->keys();
    const DataKey& made = add_key(keys, scope);
    KeyChange change{.expected = row.fingerprint, .master = {}, .keys = {{scope, {wrapped(master, scope, made)}}}};
    if (auto written = write_keys(parts.database, change); !written)
      return std::unexpected(std::move(written).error().wrap("make a data key of " + scope.path()));
    ring.store(std::make_shared<const KeyRing>(std::move(keys)));
    return {};
  }

  Result<std::string> seal(const Scope& scope, std::string_view context, std::string_view plaintext) override {
    return ring.load()->seal(scope, context, plaintext, parts.random);
  }
  Result<std::string> open(const Scope& scope, std::string_view context, std::string_view sealed) override {
    return ring.load()->open(scope, context, sealed);
  }

  const DataKey& add_key(KeyRing::Keys& keys, const Scope& scope) {
    std::vector<DataKey>& of_scope = keys[scope];
    const uint32_t id = of_scope.empty() ? 1 : of_scope.back().id + 1;
    of_scope.push_back(
        {id, parts.clock.now(), std::make_shared<const SecretKey>(SecretKey::make_random(parts.random))});
    return of_scope.back();
  }

  KeyRow wrapped(const SecretKey& by, const Scope& scope, const DataKey& key) {
    return {key.id, wrap(by, scope, key, parts.random), key.created_at};
  }

  Result<void> begin_or_load();
  Result<Rotated> rotate_blocking(const std::optional<std::filesystem::path>& new_key_file);

  Parts parts;
  Snapshot<KeyRing> ring;
  // Held across the transaction of every change, by threads that may wait: the master key in memory is the one of the
  // store whenever a data key is wrapped.
  mutable std::mutex changes;
  SecretKey master;
  MasterRow row;  // of `master`
};

Result<void> Vault::State::begin_or_load() {
  GANTRY_TRY(auto stored, read_master(parts.database));
  const std::string given = fingerprint(master);
  if (stored && stored->fingerprint != given) return wrong_key(given, *stored);
  if (!stored) {
    stored = MasterRow{.fingerprint = given, .generation = 1, .since = parts.clock.now()};
    GANTRY_TRY_VOID(write_keys(parts.database, {.expected = {}, .master = stored, .keys = {}}));
  }
  row = *std::move(stored);
  GANTRY_TRY(const KeyRows rows, read_keys(parts.database));
  GANTRY_TRY(KeyRing loaded, unwrap_all(master, rows));
  ring.store(std::make_shared<const KeyRing>(std::move(loaded)));
  // Checkpoints are of no tenant; the journal seals them for the scope of the server without asking.
  return prepare_blocking(Scope::standard());
}

Result<Rotated> Vault::State::rotate_blocking(const std::optional<std::filesystem::path>& new_key_file) {
  std::optional<SecretKey> next;
  if (new_key_file) {
    GANTRY_TRY(next, read_master_key(*new_key_file));
  }
  std::lock_guard lock(changes);
  if (next && *next == master)
    return fail(ErrorId::GR1003, "the key in {} is the one that is in use", new_key_file->string());
  const SecretKey& by = next ? *next : master;
  KeyChange change{.expected = row.fingerprint, .master = {}, .keys = {}};
  Rotated rotated{.new_master = next.has_value(), .fingerprint = row.fingerprint, .generation = row.generation};
  if (next) {
    change.master = {.fingerprint = fingerprint(by), .generation = row.generation + 1, .since = parts.clock.now()};
    rotated.fingerprint = change.master->fingerprint;
    rotated.generation = change.master->generation;
  }
  KeyRing::Keys keys = ring.load()->keys();
  for (auto& [scope, of_scope] : keys) {
    std::vector<KeyRow>& rows = change.keys[scope];
    for (const DataKey& key : of_scope)
      if (next) rows.push_back(wrapped(by, scope, key));
    rotated.wrapped += rows.size();
    rows.push_back(wrapped(by, scope, add_key(keys, scope)));
    ++rotated.made;
  }
  GANTRY_TRY_VOID(write_keys(parts.database, change));
  if (change.master) {
    master = *std::move(next);
    row = *std::move(change.master);
  }
  ring.store(std::make_shared<const KeyRing>(std::move(keys)));
  return rotated;
}

Vault::Vault(std::unique_ptr<State> state) : state_(std::move(state)) {}
Vault::~Vault() = default;

Result<std::unique_ptr<Vault>> Vault::open(Parts parts, const KeySource& source) {
  GANTRY_TRY(auto key, load_master_key(source));
  if (key) {
    auto state = std::make_unique<State>(parts, *std::move(key));
    GANTRY_TRY_VOID(state->begin_or_load());
    return std::unique_ptr<Vault>(new Vault(std::move(state)));
  }
  GANTRY_TRY(const auto stored, read_master(parts.database));
  if (stored)
    return std::unexpected(
        Error(ErrorId::GR1002,
              fmt::format("the data directory is encrypted and no key is configured: since {} the key has the "
                          "fingerprint {}",
                          format_time(stored->since), stored->fingerprint))
            .with_hint("gantry up --encryption-key-file FILE, or set GANTRY_ENCRYPTION_KEY_FILE"));
  return std::unique_ptr<Vault>(new Vault(nullptr));
}

journal::PayloadCipher* Vault::cipher() { return state_.get(); }

Status Vault::status() const {
  if (!state_) return {};
  Status status{.enabled = true};
  {
    std::lock_guard lock(state_->changes);
    status.fingerprint = state_->row.fingerprint;
    status.generation = state_->row.generation;
    status.master_since = state_->row.since;
  }
  for (const auto& [scope, keys] : state_->ring.load()->keys())
    status.scopes.push_back({scope, keys.back().id, keys.size(), keys.back().created_at});
  return status;
}

Task<Result<Rotated>> Vault::rotate(std::optional<std::filesystem::path> new_key_file) {
  if (!state_)
    co_return std::unexpected(Error(ErrorId::GR1004, "this server has no encryption key")
                                  .with_hint("gantry up --encryption-key-file FILE begins to encrypt"));
  State* state = state_.get();
  GANTRY_CO_TRY(Result<Rotated> rotated, co_await state->parts.blocking.run([state, file = std::move(new_key_file)] {
    return state->rotate_blocking(file);
  }));
  co_return rotated;
}

}  // namespace gantry::vault
