#include "store/drivers/sqlite/schema.h"

namespace gantry::store::sqlite {
namespace {

// "GNTY": tells our files from other SQLite databases (PRAGMA application_id).
constexpr int64_t application_id = 0x474e5459;
// The version of the tables of this folder itself (PRAGMA user_version).
constexpr int64_t format = 1;

constexpr const char* own_tables = R"sql(
  CREATE TABLE store_scopes (
    id          INTEGER PRIMARY KEY,
    tenant      TEXT NOT NULL,
    domain      TEXT NOT NULL,
    environment TEXT NOT NULL,
    UNIQUE (tenant, domain, environment)
  ) STRICT;
  CREATE TABLE store_schema (
    component TEXT PRIMARY KEY,
    version   INTEGER NOT NULL
  ) STRICT;
)sql";

constexpr std::string_view newer_hint = "install the version of gantry that wrote it, or restore an older backup";

/// Rolls back unless told otherwise.
class SchemaTransaction {
 public:
  explicit SchemaTransaction(Connection& connection) : connection_(connection) {}
  ~SchemaTransaction() {
    if (sqlite3_get_autocommit(connection_.handle()) == 0)
      sqlite3_exec(connection_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
  Result<> begin() { return connection_.run("BEGIN IMMEDIATE"); }
  Result<> commit() { return connection_.run("COMMIT"); }

 private:
  Connection& connection_;
};

/// A component is a folder name of ours, so it can stand in SQL text; checked all the same.
Result<std::string> quoted(std::string_view component) {
  if (!is_name(component)) return fail(Code::internal, "'{}' is not a component", component);
  return fmt::format("'{}'", component);
}

Result<> create(Connection& writer) {
  SchemaTransaction transaction(writer);
  GANTRY_TRY_VOID(transaction.begin());
  GANTRY_TRY_VOID(writer.run(own_tables));
  GANTRY_TRY_VOID(writer.run(fmt::format("PRAGMA application_id = {}", application_id)));
  GANTRY_TRY_VOID(writer.run(fmt::format("PRAGMA user_version = {}", format)));
  return transaction.commit();
}

Result<> check_file(Connection& writer) {
  GANTRY_TRY(const int64_t application, writer.number("PRAGMA application_id"));
  GANTRY_TRY(const int64_t version, writer.number("PRAGMA user_version"));
  GANTRY_TRY(const int64_t objects, writer.number("SELECT count(*) FROM sqlite_master"));
  if (application == 0 && version == 0 && objects == 0) return create(writer);
  if (application != application_id) return fail(ErrorId::GR0203, "the file is a database of another program");
  if (version > format)
    return std::unexpected(
        Error(ErrorId::GR0204, fmt::format("the store has format {}, this version of gantry knows {}", version, format))
            .with_hint(newer_hint));
  return {};
}

/// Refuses a database that a newer version has already changed.
Result<> check_components(Connection& writer, std::span<const Migrations> migrations) {
  std::string known = "''";
  for (const Migrations& one : migrations) {
    GANTRY_TRY(std::string name, quoted(one.component));
    known += "," + name;
    GANTRY_TRY(const int64_t version, writer.number("SELECT version FROM store_schema WHERE component = " + name));
    if (version > static_cast<int64_t>(one.steps.size()))
      return std::unexpected(Error(ErrorId::GR0204, fmt::format("the schema of {} has version {}, this version of "
                                                                "gantry knows {}",
                                                                one.component, version, one.steps.size()))
                                 .with_hint(newer_hint));
  }
  GANTRY_TRY(const int64_t others, writer.number(fmt::format("SELECT count(*) FROM store_schema WHERE component NOT IN "
                                                             "({})",
                                                             known)));
  if (others > 0)
    return std::unexpected(
        Error(ErrorId::GR0204,
              fmt::format("the store holds {} schemas that this version of gantry does not know", others))
            .with_hint(newer_hint));
  return {};
}

Result<> apply_step(Connection& writer, const Migrations& migrations, size_t number) {
  SchemaTransaction transaction(writer);
  GANTRY_TRY(const std::string name, quoted(migrations.component));
  GANTRY_TRY_VOID(transaction.begin());
  GANTRY_TRY_VOID(writer.run(std::string(migrations.steps[number - 1])));
  GANTRY_TRY_VOID(
      writer.run(fmt::format("INSERT INTO store_schema (component, version) VALUES ({}, {}) "
                             "ON CONFLICT (component) DO UPDATE SET version = excluded.version",
                             name, number)));
  return transaction.commit();
}

Result<> apply_missing(Connection& writer, const Migrations& migrations) {
  GANTRY_TRY(const std::string name, quoted(migrations.component));
  GANTRY_TRY(const int64_t version, writer.number("SELECT version FROM store_schema WHERE component = " + name));
  for (auto number = static_cast<size_t>(version) + 1; number <= migrations.steps.size(); ++number)
    if (auto applied = apply_step(writer, migrations, number); !applied.has_value())
      return std::unexpected(
          std::move(applied).error().wrap(fmt::format("migrate {} to version {}", migrations.component, number)));
  return {};
}

/// The promise of the door: no table without a scope.
Result<> check_scopes(Connection& writer) {
  GANTRY_TRY(
      const int64_t without,
      writer.number(
          "SELECT count(*) FROM sqlite_master AS t WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
          "AND t.name NOT LIKE 'store\\_%' ESCAPE '\\' AND NOT EXISTS "
          "(SELECT 1 FROM pragma_table_info(t.name) AS c WHERE c.name = 'scope' AND c.\"notnull\" = 1)"));
  if (without > 0) return fail(Code::internal, "{} tables have no column 'scope NOT NULL'", without);
  return {};
}

}  // namespace

Result<> migrate(Connection& writer, std::span<const Migrations> migrations) {
  GANTRY_TRY_VOID(writer.set_durability(Durability::flushed));
  GANTRY_TRY_VOID(check_file(writer));
  GANTRY_TRY_VOID(check_components(writer, migrations));
  for (const Migrations& one : migrations) GANTRY_TRY_VOID(apply_missing(writer, one));
  return check_scopes(writer);
}

}  // namespace gantry::store::sqlite
