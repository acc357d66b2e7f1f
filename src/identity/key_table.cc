#include "identity/key_table.h"

namespace gantry::identity {
namespace {

constexpr std::string_view steps[] = {R"sql(
  CREATE TABLE identity_keys (
    scope      INTEGER NOT NULL REFERENCES store_scopes (id),
    id         BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    hash       BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
  ) STRICT;
  CREATE UNIQUE INDEX identity_live_names ON identity_keys (scope, name) WHERE revoked_at IS NULL;
)sql"};

PrincipalKind kind_from(std::string_view text) { return text == "root" ? PrincipalKind::root : PrincipalKind::key; }

std::span<const uint8_t> span_of(const crypto::Digest& digest) { return digest; }

/// How many rows a `SELECT count(*)` counted.
Result<int64_t> count(store::Session& session, std::string_view sql, store::Parameters parameters) {
  GANTRY_TRY(const auto counted,
             session.find<int64_t>(sql, parameters, [](const store::Row& row) { return row.integer(0); }));
  return counted.value_or(0);
}

}  // namespace

store::Migrations migrations() { return {"identity", steps}; }

Result<> insert_key(store::Session& session, const StoredKey& stored) {
  GANTRY_TRY_VOID(session.execute(
      "INSERT INTO identity_keys (scope, id, name, kind, hash, created_at) VALUES (:scope, ?, ?, ?, ?, ?)",
      {stored.key.id, stored.key.name, to_string(stored.key.kind), span_of(stored.hash), stored.key.created_at}));
  return {};
}

Result<std::vector<StoredKey>> list_keys(store::Session& session) {
  return session.list<StoredKey>(
      "SELECT id, name, kind, hash, created_at, revoked_at FROM identity_keys WHERE scope = :scope ORDER BY rowid", {},
      [&](const store::Row& row) {
        StoredKey stored{.key = {.id = row.id<KeyId>(0),
                                 .name = row.string(1),
                                 .kind = kind_from(row.text(2)),
                                 .scope = session.scope(),
                                 .created_at = row.time(4),
                                 .revoked_at = row.optional_time(5)}};
        const auto hash = row.blob(3);
        if (hash.size() == stored.hash.size()) std::copy(hash.begin(), hash.end(), stored.hash.begin());
        return stored;
      });
}

Result<bool> live_name_exists(store::Session& session, const std::string& name) {
  GANTRY_TRY(const int64_t found, count(session,
                                        "SELECT count(*) FROM identity_keys WHERE scope = :scope AND name = ? AND "
                                        "revoked_at IS NULL",
                                        {name}));
  return found > 0;
}

Result<bool> hash_exists(store::Session& session, const crypto::Digest& hash) {
  GANTRY_TRY(const int64_t found,
             count(session, "SELECT count(*) FROM identity_keys WHERE scope = :scope AND hash = ?", {span_of(hash)}));
  return found > 0;
}

Result<> revoke_key(store::Session& session, KeyId key, Time now) {
  GANTRY_TRY(const int64_t changed,
             session.execute("UPDATE identity_keys SET revoked_at = ? WHERE scope = :scope AND id = ? AND "
                             "revoked_at IS NULL",
                             {now, key}));
  if (changed == 0) return fail(Code::not_found, "there is no live key {}", key);
  // After the update, in the same transaction: an error takes it back.
  GANTRY_TRY(const int64_t roots, count(session,
                                        "SELECT count(*) FROM identity_keys WHERE scope = :scope AND kind = 'root' AND "
                                        "revoked_at IS NULL",
                                        {}));
  if (roots == 0) return fail(ErrorId::GR0903, "{} is the last root key of {}", key, session.scope().path());
  return {};
}

}  // namespace gantry::identity
