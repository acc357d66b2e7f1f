// The SQLite driver: one writer, a few readers, and the maintenance calls.
#include <latch>
#include <system_error>

#include "os/os.h"
#include "store/drivers/sqlite/schema.h"
#include "store/drivers/sqlite/work_queue.h"

namespace gantry::store {
namespace sqlite {
namespace {

/// Creates the file with mode 0600 if it is not there: SQLite would let the umask decide, and gives
/// its log the mode of the database. The descriptor is closed before SQLite locks the file, since
/// closing any descriptor drops a process's POSIX locks.
Result<> create_file(const std::filesystem::path& path) {
  auto created = os::open_file(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (created.has_value() || created.error().code() == Code::conflict) return {};
  const bool full = created.error().code() == Code::exhausted;
  return fail(full ? ErrorId::GR0201 : ErrorId::GR0205, "{}", created.error().reason());
}

Job::Kind kind_of(bool reads, bool flushed) {
  if (reads) return Job::Kind::read;
  return flushed ? Job::Kind::write_flushed : Job::Kind::write_deferred;
}

Bytes size_of(const std::filesystem::path& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  return Bytes{error ? 0 : static_cast<uint64_t>(size)};
}

class SqliteDatabase final : public Database {
 public:
  SqliteDatabase(std::filesystem::path path, SqliteOptions options, std::unique_ptr<Connection> writer,
                 std::vector<std::unique_ptr<Connection>> readers)
      : path_(std::move(path)),
        options_(options),
        writes_("store-write", one(std::move(writer)), options.queued_writes),
        reads_("store-read", std::move(readers), options.queued_reads) {}
  ~SqliteDatabase() override { stop(); }

  Result<std::vector<Scope>> scopes() override;
  Result<> backup(const std::filesystem::path& to) override;
  Result<> check() override;
  Result<Usage> usage() override;

  void stop() override {
    GANTRY_CHECK(!IoThreads::current().has_value());
    writes_.stop();
    reads_.stop();
  }

 protected:
  Task<Result<>> run(Access access, Scope scope, ErasedWork work) override;
  Result<> run_blocking(Access access, const Scope& scope, const ErasedWork& work) override;

 private:
  static std::vector<std::unique_ptr<Connection>> one(std::unique_ptr<Connection> connection) {
    std::vector<std::unique_ptr<Connection>> list;
    list.push_back(std::move(connection));
    return list;
  }
  WorkQueue& queue_of(Access access) { return access == Access::read ? reads_ : writes_; }
  static Job::Kind job_kind(Access access) { return kind_of(access == Access::read, access == Access::write_flushed); }
  Result<> copy_to(const std::filesystem::path& to);

  const std::filesystem::path path_;
  const SqliteOptions options_;
  WorkQueue writes_;
  WorkQueue reads_;
};

Task<Result<>> SqliteDatabase::run(Access access, Scope scope, ErasedWork work) {
  Result<> outcome;
  auto keep = [&](Suspended caller) {
    // std::function wants something that can be copied.
    auto waiting = std::make_shared<Suspended>(std::move(caller));
    queue_of(access).submit({job_kind(access), std::move(scope), std::move(work), [waiting, &outcome](Result<> result) {
                               outcome = std::move(result);
                               std::move(*waiting).resume();
                             }});
  };
  co_await suspend(keep);
  co_return outcome;
}

Result<> SqliteDatabase::run_blocking(Access access, const Scope& scope, const ErasedWork& work) {
  GANTRY_CHECK(!IoThreads::current().has_value());
  Result<> outcome;
  std::latch ended(1);
  queue_of(access).submit({job_kind(access), scope, work, [&](Result<> result) {
                             outcome = std::move(result);
                             ended.count_down();
                           }});
  ended.wait();
  return outcome;
}

Result<std::vector<Scope>> SqliteDatabase::scopes() {
  GANTRY_TRY(std::unique_ptr<Connection> connection, Connection::open(path_, Mode::read_only, options_));
  sqlite3_stmt* raw = nullptr;
  int status = sqlite3_prepare_v2(
      connection->handle(), "SELECT tenant, domain, environment FROM store_scopes ORDER BY id", -1, &raw, nullptr);
  CompiledStatement statement(raw);
  std::vector<Scope> all;
  const auto text = [&](int column) {
    // SAFETY: SQLite gives UTF-8 as unsigned char, terminated; the columns are NOT NULL.
    return std::string(reinterpret_cast<const char*>(sqlite3_column_text(raw, column)));
  };
  while (status == SQLITE_OK || status == SQLITE_ROW) {
    status = sqlite3_step(raw);
    if (status == SQLITE_ROW) all.push_back({text(0), text(1), text(2)});
  }
  if (status != SQLITE_DONE) return std::unexpected(error_of(connection->handle(), status, "list the scopes"));
  return all;
}

Result<> SqliteDatabase::backup(const std::filesystem::path& to) {
  if (std::error_code error; std::filesystem::exists(to, error))
    return fail(Code::conflict, "back up the store: {} exists already", to.string());
  auto copied = copy_to(to);
  if (copied.has_value()) return {};
  // Half a backup is worse than none.
  std::error_code ignored;
  std::filesystem::remove(to, ignored);
  return std::unexpected(std::move(copied).error().wrap(fmt::format("back up the store to {}", to.string())));
}

Result<> SqliteDatabase::copy_to(const std::filesystem::path& to) {
  GANTRY_TRY(std::unique_ptr<Connection> source, Connection::open(path_, Mode::read_only, options_));
  GANTRY_TRY_VOID(create_file(to));
  sqlite3* raw = nullptr;
  int status = sqlite3_open_v2(to.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  Handle target(raw);
  if (status != SQLITE_OK) return std::unexpected(error_of(raw, status, "open the copy"));
  sqlite3_backup* backup = sqlite3_backup_init(raw, "main", source->handle(), "main");
  if (backup == nullptr) return std::unexpected(error_of(raw, sqlite3_errcode(raw), "begin the copy"));
  // All pages in one step: one snapshot of the log, so writers go on and never restart the copy.
  status = sqlite3_backup_step(backup, -1);
  const int finished = sqlite3_backup_finish(backup);
  if (status != SQLITE_DONE) return std::unexpected(error_of(raw, status, "copy the pages"));
  if (finished != SQLITE_OK) return std::unexpected(error_of(raw, finished, "end the copy"));
  return {};
}

Result<> SqliteDatabase::check() {
  GANTRY_TRY(std::unique_ptr<Connection> connection, Connection::open(path_, Mode::read_only, options_));
  sqlite3_stmt* raw = nullptr;
  int status = sqlite3_prepare_v2(connection->handle(), "PRAGMA integrity_check(5)", -1, &raw, nullptr);
  CompiledStatement statement(raw);
  std::string problems;
  while (status == SQLITE_OK || status == SQLITE_ROW) {
    status = sqlite3_step(raw);
    if (status != SQLITE_ROW) break;
    // SAFETY: SQLite gives UTF-8 as unsigned char, terminated; the pragma answers text.
    const std::string_view line = reinterpret_cast<const char*>(sqlite3_column_text(raw, 0));
    if (line != "ok") problems += (problems.empty() ? "" : "; ") + std::string(line);
  }
  if (status != SQLITE_DONE) return std::unexpected(error_of(connection->handle(), status, "check the store"));
  if (!problems.empty()) return fail(ErrorId::GR0203, "check the store: {}", problems);
  return {};
}

Result<Usage> SqliteDatabase::usage() {
  std::filesystem::path log = path_;
  log += "-wal";
  return Usage{.database = size_of(path_), .log = size_of(log)};
}

}  // namespace
}  // namespace sqlite

Result<std::unique_ptr<Database>> open_sqlite(const std::filesystem::path& path, std::span<const Migrations> migrations,
                                              SqliteOptions options) {
  const auto named = [&](Error error) {
    return std::unexpected(std::move(error).wrap(fmt::format("open the store {}", path.string())));
  };
  if (auto created = sqlite::create_file(path); !created.has_value()) return named(created.error());
  auto writer = sqlite::Connection::open(path, sqlite::Mode::read_write, options);
  if (!writer.has_value()) return named(writer.error());
  if (auto migrated = sqlite::migrate(**writer, migrations); !migrated.has_value()) return named(migrated.error());
  std::vector<std::unique_ptr<sqlite::Connection>> readers;
  for (size_t i = 0; i < std::max<size_t>(options.readers, 1); ++i) {
    auto reader = sqlite::Connection::open(path, sqlite::Mode::read_only, options);
    if (!reader.has_value()) return named(reader.error());
    readers.push_back(std::move(*reader));
  }
  return std::make_unique<sqlite::SqliteDatabase>(path, options, std::move(*writer), std::move(readers));
}

}  // namespace gantry::store
