// Relational state: specs, revisions, instances, keys, and the finished history that the journal
// projects. What must never be lost is in the journal; what is here is either small and flushed at
// once (specs, keys) or can be projected again (finished requests).
//
//   Database   one store; reads run on a few reader connections, writes on one writer thread
//   Session    what a unit of work gets: statements inside one transaction, bound to one scope
//   Statement  a prepared statement, for batches
//   Row        one row of an answer
//   Migrations the numbered schema steps that a folder contributes through the composition root
//
// Every call carries a Scope and there is no way around it: a statement that does not name `:scope`
// is refused, and so is a schema in which a table has no `scope` column. `:scope` is bound by the
// session; all other values are `?` in order. Use it on any thread: the Task forms from I/O threads,
// the `_blocking` forms from threads that may wait (never from an I/O thread).
//
// Example:
//
//   auto replicas = co_await database.read(scope, [name](Session& session) {
//     return session.find<int64_t>("SELECT replicas FROM agents WHERE scope = :scope AND name = ?", {name},
//                                  [](const Row& row) { return row.integer(0); });
//   });   // Result<std::optional<int64_t>>
#pragma once

#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "async/async.h"
#include "base/base.h"

namespace gantry::store {

class StatementDriver;
class SessionDriver;

/// One value for a `?`. It refers to the text or bytes it was made from: pass it at once.
class Parameter {
 public:
  using Value = std::variant<std::monostate, int64_t, double, std::string_view, std::span<const uint8_t>>;

  Parameter(std::nullopt_t) {}
  template <std::integral T>
  Parameter(T value) : value_(static_cast<int64_t>(value)) {}
  Parameter(double value) : value_(value) {}
  Parameter(std::string_view text) : value_(text) {}
  Parameter(const std::string& text) : value_(std::string_view(text)) {}
  Parameter(const char* text) : value_(std::string_view(text)) {}
  Parameter(std::span<const uint8_t> bytes) : value_(bytes) {}
  /// An id is stored as its 16 bytes, which sort by time.
  template <class Tag>
  Parameter(const Id<Tag>& id) : value_(std::span<const uint8_t>(id.bytes())) {}
  /// A time is stored as Unix milliseconds.
  Parameter(Time time) : value_(int64_t{gantry::unix_ms(time)}) {}
  template <class T>
  Parameter(const std::optional<T>& value) {
    if (value.has_value()) value_ = Parameter(*value).value_;
  }

  const Value& value() const { return value_; }

 private:
  Value value_;
};

/// The values for the `?` of one statement, in order: `{name, 3, id}` or a vector of Parameter.
class Parameters {
 public:
  Parameters() = default;
  Parameters(std::initializer_list<Parameter> values) : values_(values.begin(), values.size()) {}
  Parameters(const std::vector<Parameter>& values) : values_(values) {}
  std::span<const Parameter> values() const { return values_; }

 private:
  std::span<const Parameter> values_;
};

/// One row of an answer; columns count from 0. Valid inside the function that received it. A column
/// of another type reads as the zero value, NULL included: `is_null` tells.
class Row {
 public:
  explicit Row(StatementDriver& statement) : statement_(&statement) {}

  bool is_null(int column) const;
  int64_t integer(int column) const;
  double real(int column) const;
  /// Valid until the next row.
  std::string_view text(int column) const;
  std::span<const uint8_t> blob(int column) const;
  std::string string(int column) const { return std::string(text(column)); }
  Time time(int column) const { return time_from_unix_ms(integer(column)); }
  std::optional<Time> optional_time(int column) const;
  std::optional<std::string> optional_string(int column) const;
  /// The zero id unless the column holds 16 bytes.
  template <class IdType>
  IdType id(int column) const {
    IdBytes bytes{};
    auto stored = blob(column);
    if (stored.size() == bytes.size()) std::copy(stored.begin(), stored.end(), bytes.begin());
    return IdType(bytes);
  }

 private:
  StatementDriver* statement_;
};

/// A prepared statement of one session; it goes back to the connection's cache when destroyed.
class Statement {
 public:
  explicit Statement(StatementDriver& driver);
  Statement(Statement&& other) noexcept : driver_(std::exchange(other.driver_, nullptr)) {}
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  /// Runs it to its end; the number of rows that it changed.
  Result<int64_t> execute(Parameters parameters);
  /// Calls `take` for each row; one that returns a bool ends it with false.
  template <class Take>
  Result<> each(Parameters parameters, Take take);

 private:
  Result<> begin(Parameters parameters);
  Result<bool> step();
  void reset();
  StatementDriver* driver_;
};

/// The statements of one unit of work: one transaction in one scope. A reading session sees one
/// consistent snapshot. Used by one thread, valid inside the function that received it.
class Session {
 public:
  explicit Session(SessionDriver& driver) : driver_(driver) {}
  Session(const Session&) = delete;

  /// From the cache or compiled now. `internal` if `sql` does not name `:scope` or is not valid.
  Result<Statement> prepare(std::string_view sql);
  /// Runs one statement; the number of rows that it changed.
  Result<int64_t> execute(std::string_view sql, Parameters parameters = {});
  /// Calls `take(const Row&)` for each row of the answer.
  template <class Take>
  Result<> each(std::string_view sql, Parameters parameters, Take take);
  /// `make(const Row&) -> T` of each row.
  template <class T, class Make>
  Result<std::vector<T>> list(std::string_view sql, Parameters parameters, Make make);
  /// `make` of the first row, nullopt if there is none.
  template <class T, class Make>
  Result<std::optional<T>> find(std::string_view sql, Parameters parameters, Make make);

  const Scope& scope() const;
  /// Goes on in another scope inside the same transaction: for a projection whose batch holds
  /// records of several scopes and must store its position together with them.
  Result<> enter(const Scope& scope);

 private:
  SessionDriver& driver_;
};

/// Whether a write is on the disk when the call returns.
enum class Durability {
  flushed,   ///< survives a power failure
  deferred,  ///< survives a crash of the process, not of the machine: only for what is projected again
};

/// The schema of one folder: step i (from 1) leads from version i-1 to i. Steps are never edited.
struct Migrations {
  std::string_view component;               ///< the folder: `agents`
  std::span<const std::string_view> steps;  ///< SQL, each run in one transaction
};

/// How much room the store takes.
struct Usage {
  Bytes database;
  Bytes log;  ///< the write-ahead log
};

/// One store. Thread-safe.
class Database {
 public:
  virtual ~Database() = default;

  /// Runs `work(Session&) -> Result<T>` on a reader.
  template <class Work>
  Task<std::invoke_result_t<Work, Session&>> read(Scope scope, Work work);
  /// Runs `work` on the writer thread in one transaction: kept if it returns a value, rolled back if
  /// it returns an error. `exhausted` if the queue of the writer is full.
  template <class Work>
  Task<std::invoke_result_t<Work, Session&>> write(Scope scope, Work work, Durability durability = Durability::flushed);
  template <class Work>
  std::invoke_result_t<Work, Session&> read_blocking(const Scope& scope, Work work);
  template <class Work>
  std::invoke_result_t<Work, Session&> write_blocking(const Scope& scope, Work work,
                                                      Durability durability = Durability::flushed);

  /// Every scope that ever wrote, oldest first: how start-up visits everything without a call that
  /// has no scope. Blocks.
  virtual Result<std::vector<Scope>> scopes() = 0;
  /// Writes a consistent copy while others go on working; `to` must not exist. Blocks.
  virtual Result<> backup(const std::filesystem::path& to) = 0;
  /// Reads every page; GR0203 names what is damaged. Blocks.
  virtual Result<> check() = 0;
  virtual Result<Usage> usage() = 0;
  /// Ends queued work, then refuses more with `unavailable`. Idempotent. Not from an I/O thread.
  virtual void stop() = 0;

 protected:
  enum class Access { read, write_flushed, write_deferred };
  using ErasedWork = std::function<Result<>(Session&)>;
  static Access access_of(Durability durability);
  virtual Task<Result<>> run(Access access, Scope scope, ErasedWork work) = 0;
  virtual Result<> run_blocking(Access access, const Scope& scope, const ErasedWork& work) = 0;
};

/// Bounds of the SQLite driver.
struct SqliteOptions {
  size_t readers = 2;                                ///< reader connections, each with its thread
  size_t queued_reads = 1024;                        ///< reads that may wait for a reader
  size_t queued_writes = 4096;                       ///< writes that may wait for the writer
  size_t cached_statements = 64;                     ///< prepared statements kept for each connection
  Duration lock_patience = std::chrono::seconds(5);  ///< how long another process may hold the file
  Bytes max_size = gibibytes(256);                   ///< of the database file; above it the disk counts as full
  Bytes cache = mebibytes(4);                        ///< page cache of each connection
};

/// Opens or creates the SQLite database at `path` (mode 0600, WAL) and brings its schema up to date.
/// GR0201 disk full, GR0202 locked, GR0203 damaged, GR0204 written by a newer version, GR0205 not
/// writable. Blocks. Only the composition root and tests call it.
Result<std::unique_ptr<Database>> open_sqlite(const std::filesystem::path& path, std::span<const Migrations> migrations,
                                              SqliteOptions options = {});

}  // namespace gantry::store

#include "store/detail.h"
