// One SQLite connection: options, errors in our terms, and a cache of compiled statements. Used by
// one thread at a time.
#pragma once

#include <sqlite3.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "store/driver.h"

namespace gantry::store::sqlite {

class Connection;

/// The error of a failed call, with the id that its cause has (GR02xx).
Error error_of(sqlite3* handle, int status, std::string_view what);

struct CloseHandle {
  void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
};
using Handle = std::unique_ptr<sqlite3, CloseHandle>;

struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using CompiledStatement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

/// A compiled statement that belongs to its connection's cache, or to itself.
class SqliteStatement final : public StatementDriver {
 public:
  enum class Ownership { cached, own };
  static Result<std::unique_ptr<SqliteStatement>> compile(sqlite3* handle, std::string_view sql);

  Result<> bind(std::span<const Parameter> parameters) override;
  Result<bool> step() override;
  void reset() override { sqlite3_reset(compiled_.get()); }
  int64_t changes() override { return sqlite3_changes64(handle_); }
  void release() override;

  bool is_null(int column) override;
  int64_t integer(int column) override;
  double real(int column) override;
  std::string_view text(int column) override;
  std::span<const uint8_t> blob(int column) override;

  bool only_reads() const { return sqlite3_stmt_readonly(compiled_.get()) != 0; }
  /// Takes it out of the cache's hands for one user, who works in the scope with this id.
  void take(Ownership ownership, int64_t scope_id, uint64_t now);
  bool in_use() const { return in_use_; }
  uint64_t last_used() const { return last_used_; }

 private:
  SqliteStatement(sqlite3* handle, CompiledStatement compiled) : handle_(handle), compiled_(std::move(compiled)) {}
  Result<> find_parameters(std::string_view sql);
  int bind_one(int index, const Parameter::Value& value);

  sqlite3* handle_;
  CompiledStatement compiled_;
  int scope_index_ = 0;
  std::vector<int> indexes_;  // of the `?`, in order
  Ownership ownership_ = Ownership::cached;
  int64_t scope_id_ = 0;
  bool in_use_ = false;
  uint64_t last_used_ = 0;
};

/// What a connection may do.
enum class Mode { read_write, read_only };

class Connection {
 public:
  static Result<std::unique_ptr<Connection>> open(const std::filesystem::path& path, Mode mode,
                                                  const SqliteOptions& options);

  /// Runs statements of ours that belong to no scope: pragmas, transactions, schema.
  Result<> run(const std::string& sql);
  /// The first column of the first row as an integer; 0 if there is no row.
  Result<int64_t> number(const std::string& sql);

  Result<SqliteStatement*> prepare(std::string_view sql, int64_t scope_id);
  /// The id of a scope; a writer makes one, a reader gets 0 (which no row has) for an unknown one.
  Result<int64_t> scope_id(const Scope& scope);
  /// Scope ids made in a transaction that was rolled back do not exist.
  void forget_scopes() { scope_ids_.clear(); }
  /// How commits of this connection reach the disk.
  Result<> set_durability(Durability durability);

  Mode mode() const { return mode_; }
  sqlite3* handle() { return handle_.get(); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  Connection(Handle handle, Mode mode, size_t cached) : handle_(std::move(handle)), mode_(mode), cached_(cached) {}
  Result<> configure(const SqliteOptions& options);
  void evict_one();

  Handle handle_;
  Mode mode_;
  size_t cached_;
  uint64_t uses_ = 0;
  std::optional<Durability> durability_;
  std::map<Scope, int64_t> scope_ids_;
  std::unordered_map<std::string, std::unique_ptr<SqliteStatement>, Hash, std::equal_to<>> statements_;
};

/// A transaction of one unit of work; rolled back when destroyed uncommitted.
class Transaction final : public SessionDriver {
 public:
  static Result<std::unique_ptr<Transaction>> begin(Connection& connection, const Scope& scope);
  ~Transaction() override;
  Result<> commit();

  Result<StatementDriver*> prepare(std::string_view sql) override;
  const Scope& scope() const override { return scope_; }
  Result<> enter(const Scope& scope) override;

 private:
  explicit Transaction(Connection& connection) : connection_(connection) {}

  Connection& connection_;
  Scope scope_;
  int64_t scope_id_ = 0;
  bool open_ = false;
};

}  // namespace gantry::store::sqlite
