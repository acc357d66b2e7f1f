#include "vault/key_table.h"

#include "crypto/crypto.h"

namespace gantry::vault {
namespace {

constexpr std::string_view steps[] = {R"sql(
  CREATE TABLE vault_master (
    scope       INTEGER NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    since       INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE vault_keys (
    scope      INTEGER NOT NULL,
    id         INTEGER NOT NULL,
    wrapped    BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (scope, id)
  ) STRICT, WITHOUT ROWID;
)sql"};

Result<std::optional<MasterRow>> find_master(store::Session& session) {
  return session.find<MasterRow>("SELECT fingerprint, generation, since FROM vault_master WHERE scope = :scope", {},
                                 [](const store::Row& row) {
                                   return MasterRow{row.string(0), static_cast<uint32_t>(row.integer(1)), row.time(2)};
                                 });
}

Result<void> check_expected(store::Session& session, const std::optional<std::string>& expected) {
  GANTRY_TRY(const auto stored, find_master(session));
  const bool same = stored.has_value() == expected.has_value() && (!stored || stored->fingerprint == *expected);
  if (same) return {};
  return std::unexpected(Error(Code::conflict, "the master key of the store is another one than this server has")
                             .with_hint("restart the server with the key that the last rotation gave"));
}

Result<void> apply(store::Session& session, const KeyChange& change) {
  GANTRY_TRY_VOID(check_expected(session, change.expected));
  if (change.master)
    GANTRY_TRY_VOID(session.execute(
        "INSERT OR REPLACE INTO vault_master (scope, fingerprint, generation, since) VALUES (:scope, ?, ?, ?)",
        {change.master->fingerprint, change.master->generation, change.master->since}));
  for (const auto& [scope, rows] : change.keys) {
    GANTRY_TRY_VOID(session.enter(scope));
    for (const KeyRow& row : rows)
      GANTRY_TRY_VOID(
          session.execute("INSERT OR REPLACE INTO vault_keys (scope, id, wrapped, created_at) VALUES (:scope, ?, ?, ?)",
                          {row.id, crypto::bytes_of(row.wrapped), row.created_at}));
  }
  return {};
}

}  // namespace

store::Migrations migrations() { return {.component = "vault", .steps = steps}; }

// One master key for the server: its row is in the server's own scope.
Result<std::optional<MasterRow>> read_master(store::Database& database) {
  return database.read_blocking(Scope::standard(), find_master);
}

Result<KeyRows> read_keys(store::Database& database) {
  KeyRows all;
  GANTRY_TRY(const std::vector<Scope> scopes, database.scopes());
  for (const Scope& scope : scopes) {
    auto read = [](store::Session& session) {
      return session.list<KeyRow>("SELECT id, wrapped, created_at FROM vault_keys WHERE scope = :scope ORDER BY id", {},
                                  [](const store::Row& row) {
                                    const auto wrapped = row.blob(1);
                                    return KeyRow{static_cast<uint32_t>(row.integer(0)),
                                                  std::string(wrapped.begin(), wrapped.end()), row.time(2)};
                                  });
    };
    GANTRY_TRY(auto rows, database.read_blocking(scope, read));
    if (!rows.empty()) all.emplace(scope, std::move(rows));
  }
  return all;
}

Result<void> write_keys(store::Database& database, const KeyChange& change) {
  return database.write_blocking(Scope::standard(), [&](store::Session& session) { return apply(session, change); });
}

}  // namespace gantry::vault
