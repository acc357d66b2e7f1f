#include "store/drivers/sqlite/connection.h"

#include <cerrno>
#include <limits>

namespace gantry::store::sqlite {
namespace {

// Scopes are few; a connection that saw more asks again.
constexpr size_t scope_ids_kept = 4096;

ErrorId id_of(sqlite3* handle, int status) {
  switch (status & 0xff) {
    case SQLITE_FULL:
      return ErrorId::GR0201;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return ErrorId::GR0202;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      return ErrorId::GR0203;
    case SQLITE_IOERR:
      // A full disk can also show as a failed write of the log or of its index.
      if (handle != nullptr && sqlite3_system_errno(handle) == ENOSPC) return ErrorId::GR0201;
      return ErrorId::GR0205;
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return ErrorId::GR0205;
    default:
      return ErrorId::none;
  }
}

std::string_view advice_about(ErrorId id) {
  switch (id) {
    case ErrorId::GR0201:
      return "free space on the disk of the data directory; service returns without a restart";
    case ErrorId::GR0202:
      return "end the other program that has the database open, such as a sqlite3 shell";
    case ErrorId::GR0203:
      return "stop the server and restore a backup of the data directory";
    case ErrorId::GR0205:
      return "check the owner, the mode and the mount options of the data directory";
    default:
      return "";
  }
}

Code code_of_status(int status) {
  switch (status & 0xff) {
    case SQLITE_CONSTRAINT:
      return Code::conflict;
    case SQLITE_NOMEM:
      return Code::exhausted;
    case SQLITE_INTERRUPT:
      return Code::cancelled;
    case SQLITE_TOOBIG:
      return Code::invalid;
    default:
      return Code::internal;
  }
}

}  // namespace

Error error_of(sqlite3* handle, int status, std::string_view what) {
  // The handle's text says more than the status, but only while it is about this status.
  const bool same = handle != nullptr && (sqlite3_errcode(handle) & 0xff) == (status & 0xff);
  std::string reason = fmt::format("{}: {}", what, same ? sqlite3_errmsg(handle) : sqlite3_errstr(status));
  ErrorId id = id_of(handle, status);
  if (id == ErrorId::none) return Error(code_of_status(status), std::move(reason));
  return Error(id, std::move(reason)).with_hint(advice_about(id));
}

Result<std::unique_ptr<SqliteStatement>> SqliteStatement::compile(sqlite3* handle, std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  const char* rest = nullptr;
  int status =
      sqlite3_prepare_v3(handle, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &raw, &rest);
  CompiledStatement compiled(raw);
  if (status != SQLITE_OK) return std::unexpected(error_of(handle, status, fmt::format("compile '{}'", sql)));
  const std::string_view left = trim(sql.substr(static_cast<size_t>(rest - sql.data())));
  if (compiled == nullptr || !left.empty()) return fail(Code::internal, "'{}' is not one statement", sql);
  std::unique_ptr<SqliteStatement> statement(new SqliteStatement(handle, std::move(compiled)));
  GANTRY_TRY_VOID(statement->find_parameters(sql));
  return statement;
}

Result<> SqliteStatement::find_parameters(std::string_view sql) {
  const int count = sqlite3_bind_parameter_count(compiled_.get());
  for (int i = 1; i <= count; ++i) {
    const char* name = sqlite3_bind_parameter_name(compiled_.get(), i);
    if (name == nullptr)
      indexes_.push_back(i);
    else if (std::string_view(name) == ":scope")
      scope_index_ = i;
    else
      return fail(Code::internal, "parameter {} of '{}' is neither ? nor :scope", name, sql);
  }
  if (scope_index_ == 0) return fail(Code::internal, "'{}' does not name :scope", sql);
  return {};
}

void SqliteStatement::take(Ownership ownership, int64_t scope_id, uint64_t now) {
  ownership_ = ownership;
  scope_id_ = scope_id;
  in_use_ = true;
  last_used_ = now;
}

void SqliteStatement::release() {
  in_use_ = false;
  if (ownership_ == Ownership::own) delete this;
}

Result<> SqliteStatement::bind(std::span<const Parameter> parameters) {
  if (parameters.size() != indexes_.size())
    return fail(Code::internal, "'{}' takes {} values, got {}", sqlite3_sql(compiled_.get()), indexes_.size(),
                parameters.size());
  int status = sqlite3_bind_int64(compiled_.get(), scope_index_, scope_id_);
  for (size_t i = 0; i < parameters.size() && status == SQLITE_OK; ++i)
    status = bind_one(indexes_[i], parameters[i].value());
  if (status != SQLITE_OK) return std::unexpected(error_of(handle_, status, "bind a value"));
  return {};
}

int SqliteStatement::bind_one(int index, const Parameter::Value& value) {
  sqlite3_stmt* statement = compiled_.get();
  // SQLITE_STATIC everywhere: the values outlive the run, which ends before `execute` or `each` returns.
  if (const auto* integer = std::get_if<int64_t>(&value)) return sqlite3_bind_int64(statement, index, *integer);
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    // A null pointer would be bound as NULL.
    const char* data = text->data() == nullptr ? "" : text->data();
    return sqlite3_bind_text64(statement, index, data, text->size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  if (const auto* bytes = std::get_if<std::span<const uint8_t>>(&value)) {
    if (bytes->empty()) return sqlite3_bind_zeroblob(statement, index, 0);
    return sqlite3_bind_blob64(statement, index, bytes->data(), bytes->size(), SQLITE_STATIC);
  }
  if (const auto* real = std::get_if<double>(&value)) return sqlite3_bind_double(statement, index, *real);
  return sqlite3_bind_null(statement, index);
}

Result<bool> SqliteStatement::step() {
  int status = sqlite3_step(compiled_.get());
  if (status == SQLITE_ROW) return true;
  if (status == SQLITE_DONE) return false;
  return std::unexpected(error_of(handle_, status, "run a statement"));
}

bool SqliteStatement::is_null(int column) { return sqlite3_column_type(compiled_.get(), column) == SQLITE_NULL; }
int64_t SqliteStatement::integer(int column) { return sqlite3_column_int64(compiled_.get(), column); }
double SqliteStatement::real(int column) { return sqlite3_column_double(compiled_.get(), column); }

std::string_view SqliteStatement::text(int column) {
  // SAFETY: SQLite gives UTF-8 as unsigned char; the length is asked for after the text, as its manual demands.
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(compiled_.get(), column));
  if (data == nullptr) return {};
  return {data, static_cast<size_t>(sqlite3_column_bytes(compiled_.get(), column))};
}

std::span<const uint8_t> SqliteStatement::blob(int column) {
  const auto* data = static_cast<const uint8_t*>(sqlite3_column_blob(compiled_.get(), column));
  if (data == nullptr) return {};
  return {data, static_cast<size_t>(sqlite3_column_bytes(compiled_.get(), column))};
}

Result<std::unique_ptr<Connection>> Connection::open(const std::filesystem::path& path, Mode mode,
                                                     const SqliteOptions& options) {
  sqlite3* raw = nullptr;
  // No mutex: a connection belongs to one thread at a time. A reader also opens read-write, since
  // it must be able to recover the shared index of the log; query_only below keeps it from writing.
  int status =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, nullptr);
  Handle handle(raw);
  if (status != SQLITE_OK) return std::unexpected(error_of(raw, status, "open"));
  std::unique_ptr<Connection> connection(new Connection(std::move(handle), mode, options.cached_statements));
  GANTRY_TRY_VOID(connection->configure(options));
  return connection;
}

Result<> Connection::configure(const SqliteOptions& options) {
  sqlite3* handle = handle_.get();
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle,
                       static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(options.lock_patience).count()));
  // "x" is a name, never a string: a misspelt column is an error and not a constant.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  GANTRY_TRY_VOID(run("PRAGMA journal_mode = WAL"));
  GANTRY_TRY_VOID(run("PRAGMA foreign_keys = ON"));
  GANTRY_TRY_VOID(run("PRAGMA temp_store = MEMORY"));
  GANTRY_TRY_VOID(run(fmt::format("PRAGMA cache_size = -{}", options.cache.count >> 10)));
  if (mode_ == Mode::read_only) return run("PRAGMA query_only = ON");
  // After a burst of writes the log does not keep its largest size.
  GANTRY_TRY_VOID(run("PRAGMA journal_size_limit = 67108864"));
  GANTRY_TRY(const int64_t page_size, number("PRAGMA page_size"));
  return run(fmt::format("PRAGMA max_page_count = {}", options.max_size.count / static_cast<uint64_t>(page_size)));
}

Result<> Connection::run(const std::string& sql) {
  int status = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (status != SQLITE_OK) return std::unexpected(error_of(handle_.get(), status, sql.substr(0, 60)));
  return {};
}

Result<int64_t> Connection::number(const std::string& sql) {
  sqlite3_stmt* raw = nullptr;
  int status = sqlite3_prepare_v2(handle_.get(), sql.c_str(), -1, &raw, nullptr);
  CompiledStatement statement(raw);
  if (status == SQLITE_OK) status = sqlite3_step(raw);
  if (status == SQLITE_ROW) return sqlite3_column_int64(raw, 0);
  if (status == SQLITE_DONE) return 0;
  return std::unexpected(error_of(handle_.get(), status, sql.substr(0, 60)));
}

Result<> Connection::set_durability(Durability durability) {
  if (durability_ == durability) return {};
  GANTRY_TRY_VOID(run(durability == Durability::flushed ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL"));
  durability_ = durability;
  return {};
}

Result<SqliteStatement*> Connection::prepare(std::string_view sql, int64_t scope_id) {
  ++uses_;
  auto found = statements_.find(sql);
  if (found != statements_.end() && !found->second->in_use()) {
    found->second->take(SqliteStatement::Ownership::cached, scope_id, uses_);
    return found->second.get();
  }
  GANTRY_TRY(std::unique_ptr<SqliteStatement> statement, SqliteStatement::compile(handle_.get(), sql));
  if (mode_ == Mode::read_only && !statement->only_reads())
    return fail(Code::internal, "'{}' writes, but the session only reads", sql);
  if (found != statements_.end()) {
    // A statement that is used inside its own loop gets a second life outside of the cache.
    statement->take(SqliteStatement::Ownership::own, scope_id, uses_);
    return statement.release();
  }
  if (statements_.size() >= cached_) evict_one();
  SqliteStatement* raw = statement.get();
  raw->take(SqliteStatement::Ownership::cached, scope_id, uses_);
  statements_.emplace(sql, std::move(statement));
  return raw;
}

void Connection::evict_one() {
  auto oldest = statements_.end();
  for (auto it = statements_.begin(); it != statements_.end(); ++it)
    if (!it->second->in_use() && (oldest == statements_.end() || it->second->last_used() < oldest->second->last_used()))
      oldest = it;
  if (oldest != statements_.end()) statements_.erase(oldest);
}

Result<int64_t> Connection::scope_id(const Scope& scope) {
  if (auto found = scope_ids_.find(scope); found != scope_ids_.end()) return found->second;
  const auto query = [&](const char* sql) -> Result<int64_t> {
    sqlite3_stmt* raw = nullptr;
    int status = sqlite3_prepare_v2(handle_.get(), sql, -1, &raw, nullptr);
    CompiledStatement statement(raw);
    int index = 0;
    for (const std::string* part : {&scope.tenant, &scope.domain, &scope.environment})
      if (status == SQLITE_OK)
        status = sqlite3_bind_text64(raw, ++index, part->data(), part->size(), SQLITE_STATIC, SQLITE_UTF8);
    if (status == SQLITE_OK) status = sqlite3_step(raw);
    if (status == SQLITE_ROW) return sqlite3_column_int64(raw, 0);
    if (status == SQLITE_DONE) return 0;
    return std::unexpected(error_of(handle_.get(), status, "find the scope"));
  };
  GANTRY_TRY(int64_t id, query("SELECT id FROM store_scopes WHERE tenant = ? AND domain = ? AND environment = ?"));
  if (id == 0 && mode_ == Mode::read_only) return 0;
  if (id == 0) {
    GANTRY_TRY(id, query("INSERT INTO store_scopes (tenant, domain, environment) VALUES (?, ?, ?) RETURNING id"));
  }
  if (scope_ids_.size() >= scope_ids_kept) scope_ids_.clear();
  scope_ids_.emplace(scope, id);
  return id;
}

Result<std::unique_ptr<Transaction>> Transaction::begin(Connection& connection, const Scope& scope) {
  std::unique_ptr<Transaction> transaction(new Transaction(connection));
  // A writer takes its lock at once, so that it cannot fail in the middle for another writer.
  GANTRY_TRY_VOID(connection.run(connection.mode() == Mode::read_write ? "BEGIN IMMEDIATE" : "BEGIN"));
  transaction->open_ = true;
  GANTRY_TRY_VOID(transaction->enter(scope));
  return transaction;
}

Result<> Transaction::commit() {
  GANTRY_TRY_VOID(connection_.run("COMMIT"));
  open_ = false;
  return {};
}

Transaction::~Transaction() {
  if (!open_) return;
  connection_.forget_scopes();
  // A serious failure has rolled back by itself.
  if (sqlite3_get_autocommit(connection_.handle()) == 0)
    sqlite3_exec(connection_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

Result<StatementDriver*> Transaction::prepare(std::string_view sql) { return connection_.prepare(sql, scope_id_); }

Result<> Transaction::enter(const Scope& scope) {
  GANTRY_TRY(scope_id_, connection_.scope_id(scope));
  scope_ = scope;
  return {};
}

}  // namespace gantry::store::sqlite
