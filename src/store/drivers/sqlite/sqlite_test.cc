// The SQLite driver: the conformance suite, and the faults that only a file can have.
#include <sqlite3.h>
#include <sys/stat.h>

#include <fstream>
#include <latch>

#include "store/driver_suite.h"

namespace gantry::store {
namespace {

Result<std::unique_ptr<Database>> open_in(const std::filesystem::path& directory,
                                          std::span<const Migrations> migrations) {
  return open_sqlite(directory / "store.db", migrations, {.cached_statements = 3});
}

INSTANTIATE_TEST_SUITE_P(Sqlite, DriverSuite, testing::Values(StoreUnderTest{"sqlite", open_in}),
                         [](const auto& test) { return test.param.name; });

class SqliteFaults : public testing::Test {
 protected:
  std::filesystem::path path() const { return directory_.path() / "store.db"; }
  std::unique_ptr<Database> open(SqliteOptions options = {}) {
    auto opened = open_sqlite(path(), suite::boxes, options);
    EXPECT_TRUE(opened.has_value()) << opened.error().reason();
    return opened.has_value() ? std::move(*opened) : nullptr;
  }
  static Result<int64_t> put(Database& database, std::string name, std::string_view content = "") {
    return database.write_blocking(Scope::standard(), [&](Session& session) {
      return session.execute("INSERT INTO boxes (scope, name, content) VALUES (:scope, ?, ?)", {name, content});
    });
  }

  TemporaryDirectory directory_;
};

TEST_F(SqliteFaults, IsReadableByItsOwnerOnly) {
  auto database = open();
  ASSERT_TRUE(put(*database, "a").has_value());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat status{};
    ASSERT_EQ(::stat((path().string() + suffix).c_str(), &status), 0) << suffix;
    EXPECT_EQ(status.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(SqliteFaults, RollsBackWhenTheDiskIsFullAndGoesOnWhenThereIsSpace) {
  auto database = open({.max_size = kibibytes(256)});
  const std::string big(300 << 10, 'x');
  auto full = put(*database, "big", big);
  ASSERT_FALSE(full.has_value());
  EXPECT_EQ(full.error().id(), ErrorId::GR0201) << full.error().reason();
  EXPECT_FALSE(full.error().hint().empty());
  EXPECT_TRUE(put(*database, "small").has_value());
}

TEST_F(SqliteFaults, SaysThatAnotherProgramHoldsTheLock) {
  auto database = open({.lock_patience = std::chrono::milliseconds(1)});
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  auto locked = put(*database, "a");
  ASSERT_FALSE(locked.has_value());
  EXPECT_EQ(locked.error().id(), ErrorId::GR0202) << locked.error().reason();
  sqlite3_close(other);
  EXPECT_TRUE(put(*database, "a").has_value());
}

TEST_F(SqliteFaults, RefusesAFileThatIsNoDatabase) {
  std::ofstream(path()) << std::string(8192, 'x');
  auto opened = open_sqlite(path(), suite::boxes);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().id(), ErrorId::GR0203) << opened.error().reason();
}

TEST_F(SqliteFaults, RefusesADatabaseOfAnotherProgram) {
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "CREATE TABLE theirs (x)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  auto opened = open_sqlite(path(), suite::boxes);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().id(), ErrorId::GR0203) << opened.error().reason();
}

TEST_F(SqliteFaults, FindsDamagedPages) {
  {
    auto database = open();
    for (int i = 0; i < 200; ++i)
      ASSERT_TRUE(put(*database, fmt::format("box-{}", i), std::string(500, 'x')).has_value());
  }
  {
    // Behind the pages that hold the schema: rows of boxes.
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096 * 10);
    file << std::string(4096 * 10, '\x5a');
  }
  auto database = open();
  auto checked = database->check();
  ASSERT_FALSE(checked.has_value());
  EXPECT_EQ(checked.error().id(), ErrorId::GR0203) << checked.error().reason();
  auto read = database->read_blocking(Scope::standard(), [](Session& session) {
    return session.each("SELECT content FROM boxes WHERE scope = :scope", {}, [](const Row&) {});
  });
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().id(), ErrorId::GR0203) << read.error().reason();
}

TEST_F(SqliteFaults, SaysThatTheDirectoryIsNotThere) {
  auto opened = open_sqlite(directory_.path() / "missing" / "store.db", suite::boxes);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().id(), ErrorId::GR0205) << opened.error().reason();
}

TEST_F(SqliteFaults, RefusesAFormatThatANewerVersionWrote) {
  open().reset();
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "PRAGMA user_version = 99", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  auto opened = open_sqlite(path(), suite::boxes);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().id(), ErrorId::GR0204);
}

Task<void> block_writer(Database& database, std::latch& entered, std::latch& go) {
  auto done = co_await database.write(Scope::standard(), [&](Session&) -> Result<> {
    entered.count_down();
    go.wait();
    return {};
  });
  EXPECT_TRUE(done.has_value());
}

Task<void> write_one(Database& database, std::atomic<int>& refused) {
  auto done = co_await database.write(Scope::standard(), [](Session&) -> Result<> { return {}; });
  if (!done.has_value() && done.error().code() == Code::exhausted) ++refused;
}

TEST_F(SqliteFaults, RefusesWritesBeyondTheBoundOfTheQueue) {
  // Before the database, whose thread still holds on to their executor when the last write has returned.
  IoThreads threads(1);
  threads.start();
  auto database = open({.queued_writes = 4});
  TaskGroup group;
  std::latch entered(1);
  std::latch go(1);
  std::atomic<int> refused = 0;
  group.spawn(threads.executor(0), block_writer(*database, entered, go));
  entered.wait();
  for (int i = 0; i < 10; ++i) group.spawn(threads.executor(0), write_one(*database, refused));
  // The refused ones end by themselves; the four that wait and the first do not.
  while (group.size() > 5) std::this_thread::yield();
  EXPECT_EQ(refused, 6);
  go.count_down();
  group.join();
}

}  // namespace
}  // namespace gantry::store
