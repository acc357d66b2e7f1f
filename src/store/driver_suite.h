// What every driver of the store must do: one parameterised suite. A driver's test file says how its
// store is opened and instantiates it:
//
//   INSTANTIATE_TEST_SUITE_P(Sqlite, DriverSuite, testing::Values(StoreUnderTest{"sqlite", open}));
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "store/store.h"

namespace gantry::store {

/// How the suite opens a store; each call with the same directory opens the same store.
struct StoreUnderTest {
  std::string name;
  std::function<Result<std::unique_ptr<Database>>(const std::filesystem::path& directory,
                                                  std::span<const Migrations> migrations)>
      open;
};
inline void PrintTo(const StoreUnderTest& store, std::ostream* out) { *out << store.name; }

/// A directory that goes away with the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gantry-store-XXXXXX").string();
    // SAFETY: mkdtemp(3) writes into the string, which has its length already.
    GANTRY_CHECK(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

namespace suite {

inline constexpr std::string_view boxes_steps[] = {
    "CREATE TABLE boxes (scope INTEGER NOT NULL, name TEXT NOT NULL, size INTEGER, content BLOB, weight REAL, "
    "PRIMARY KEY (scope, name))",
    "ALTER TABLE boxes ADD COLUMN made_at INTEGER",
};
inline constexpr Migrations boxes[] = {{"boxes", boxes_steps}};
inline constexpr std::string_view insert_box = "INSERT INTO boxes (scope, name, size) VALUES (:scope, ?, ?)";
inline constexpr std::string_view count_boxes = "SELECT count(*) FROM boxes WHERE scope = :scope";

inline Result<int64_t> count(Session& session) {
  GANTRY_TRY(auto counted, session.find<int64_t>(count_boxes, {}, [](const Row& row) { return row.integer(0); }));
  return counted.value_or(-1);
}

}  // namespace suite

class DriverSuite : public testing::TestWithParam<StoreUnderTest> {
 protected:
  void SetUp() override { open(suite::boxes); }

  void open(std::span<const Migrations> migrations) {
    database_.reset();
    auto opened = GetParam().open(directory_.path(), migrations);
    ASSERT_TRUE(opened.has_value()) << opened.error().reason();
    database_ = std::move(*opened);
  }
  Result<int64_t> put(std::string name, int64_t size, Scope scope = Scope::standard()) {
    return database_->write_blocking(
        scope, [&](Session& session) { return session.execute(suite::insert_box, {name, size}); });
  }
  int64_t count(Scope scope = Scope::standard()) { return database_->read_blocking(scope, suite::count).value_or(-1); }

  TemporaryDirectory directory_;
  std::unique_ptr<Database> database_;
};

TEST_P(DriverSuite, KeepsEveryTypeOfValue) {
  SeededRandom random(1);
  ManualClock clock;
  const AgentId id = AgentId::make(clock, random);
  const Time made_at = clock.now();
  const std::string text("a\0b 'quoted' \xc3\xa4", 15);
  auto written = database_->write_blocking(Scope::standard(), [&](Session& session) {
    return session.execute(
        "INSERT INTO boxes (scope, name, size, content, weight, made_at) VALUES (:scope, ?, ?, ?, ?, ?)",
        {text, int64_t{-5'000'000'000}, id, 2.5, made_at});
  });
  ASSERT_TRUE(written.has_value()) << written.error().reason();
  EXPECT_EQ(*written, 1);
  int rows = 0;
  auto read = database_->read_blocking(Scope::standard(), [&](Session& session) {
    return session.each("SELECT name, size, content, weight, made_at, NULL FROM boxes WHERE scope = :scope", {},
                        [&](const Row& row) {
                          ++rows;
                          EXPECT_EQ(row.string(0), text);
                          EXPECT_EQ(row.integer(1), -5'000'000'000);
                          EXPECT_EQ(row.id<AgentId>(2), id);
                          EXPECT_EQ(row.real(3), 2.5);
                          EXPECT_EQ(row.time(4), made_at);
                          EXPECT_TRUE(row.is_null(5));
                          EXPECT_EQ(row.optional_time(5), std::nullopt);
                          EXPECT_EQ(row.optional_string(5), std::nullopt);
                          EXPECT_FALSE(row.id<AgentId>(5));
                        });
  });
  ASSERT_TRUE(read.has_value()) << read.error().reason();
  EXPECT_EQ(rows, 1);
}

TEST_P(DriverSuite, TellsAnEmptyTextAndAnEmptyBlobFromNothing) {
  auto written = database_->write_blocking(Scope::standard(), [&](Session& session) {
    return session.execute("INSERT INTO boxes (scope, name, content, weight) VALUES (:scope, ?, ?, ?)",
                           {std::string_view(), std::span<const uint8_t>(), std::optional<double>()});
  });
  ASSERT_TRUE(written.has_value()) << written.error().reason();
  auto read = database_->read_blocking(Scope::standard(), [&](Session& session) {
    return session.each("SELECT name, content, weight FROM boxes WHERE scope = :scope", {}, [](const Row& row) {
      EXPECT_FALSE(row.is_null(0));
      EXPECT_FALSE(row.is_null(1));
      EXPECT_TRUE(row.is_null(2));
    });
  });
  EXPECT_TRUE(read.has_value());
}

TEST_P(DriverSuite, ShowsAScopeOnlyItsOwnRows) {
  const Scope other{"acme", "sales", "prod"};
  ASSERT_TRUE(put("a", 1).has_value());
  ASSERT_TRUE(put("a", 2, other).has_value());
  ASSERT_TRUE(put("b", 3, other).has_value());
  EXPECT_EQ(count(), 1);
  EXPECT_EQ(count(other), 2);
  EXPECT_EQ(count(Scope{"nobody", "was", "here"}), 0);
  EXPECT_EQ(database_->scopes().value(), (std::vector<Scope>{Scope::standard(), other}));
}

TEST_P(DriverSuite, RefusesAStatementThatNamesNoScope) {
  auto read = database_->read_blocking(Scope::standard(), [](Session& session) {
    return session.find<int64_t>("SELECT count(*) FROM boxes", {}, [](const Row& row) { return row.integer(0); });
  });
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code(), Code::internal);
  EXPECT_NE(read.error().reason().find("does not name :scope"), std::string::npos) << read.error().reason();
}

TEST_P(DriverSuite, RefusesASchemaWithATableThatHasNoScope) {
  static constexpr std::string_view steps[] = {"CREATE TABLE loose (name TEXT)"};
  const Migrations both[] = {suite::boxes[0], {"loose", steps}};
  database_.reset();
  auto opened = GetParam().open(directory_.path(), both);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code(), Code::internal);
}

TEST_P(DriverSuite, RollsBackWhenTheWorkFails) {
  auto failed = database_->write_blocking(Scope::standard(), [](Session& session) -> Result<> {
    GANTRY_TRY_VOID(session.execute(suite::insert_box, {"a", 1}));
    return fail(Code::denied, "changed my mind");
  });
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code(), Code::denied);
  EXPECT_EQ(count(), 0);
}

TEST_P(DriverSuite, ForgetsAScopeThatWasMadeInARolledBackTransaction) {
  const Scope other{"acme", "sales", "prod"};
  auto failed = database_->write_blocking(other, [](Session&) -> Result<> { return fail(Code::denied, "no"); });
  ASSERT_FALSE(failed.has_value());
  EXPECT_TRUE(database_->scopes().value().empty());
  ASSERT_TRUE(put("a", 1, other).has_value());
  EXPECT_EQ(count(other), 1);
}

TEST_P(DriverSuite, ReportsAViolatedConstraintAsConflict) {
  ASSERT_TRUE(put("a", 1).has_value());
  auto twice = put("a", 2);
  ASSERT_FALSE(twice.has_value());
  EXPECT_EQ(twice.error().code(), Code::conflict);
  EXPECT_EQ(count(), 1);
}

TEST_P(DriverSuite, RefusesToWriteInAReadingSession) {
  auto written = database_->read_blocking(
      Scope::standard(), [](Session& session) { return session.execute(suite::insert_box, {"a", 1}); });
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code(), Code::internal);
}

TEST_P(DriverSuite, ChecksTheNumberOfValues) {
  auto written = database_->write_blocking(
      Scope::standard(), [](Session& session) { return session.execute(suite::insert_box, {"only one"}); });
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code(), Code::internal);
}

TEST_P(DriverSuite, LetsAStatementBeUsedInsideItsOwnLoop) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(put(fmt::format("box-{}", i), i).has_value());
  constexpr std::string_view all = "SELECT name FROM boxes WHERE scope = :scope";
  int pairs = 0;
  auto read = database_->read_blocking(Scope::standard(), [&](Session& session) {
    return session.each(
        all, {}, [&](const Row&) { EXPECT_TRUE(session.each(all, {}, [&](const Row&) { ++pairs; }).has_value()); });
  });
  EXPECT_TRUE(read.has_value());
  EXPECT_EQ(pairs, 9);
}

TEST_P(DriverSuite, WritesABatchOfSeveralScopesInOneTransaction) {
  const Scope other{"acme", "sales", "prod"};
  auto written = database_->write_blocking(
      Scope::standard(),
      [&](Session& session) -> Result<> {
        for (int i = 0; i < 1000; ++i) {
          if (i == 500) GANTRY_TRY_VOID(session.enter(other));
          GANTRY_TRY(Statement insert, session.prepare(suite::insert_box));
          GANTRY_TRY_VOID(insert.execute({fmt::format("box-{}", i), i}));
        }
        return {};
      },
      Durability::deferred);
  ASSERT_TRUE(written.has_value()) << written.error().reason();
  EXPECT_EQ(count(), 500);
  EXPECT_EQ(count(other), 500);
}

TEST_P(DriverSuite, KeepsWhatWasWrittenAcrossAReopening) {
  ASSERT_TRUE(put("a", 1).has_value());
  open(suite::boxes);
  EXPECT_EQ(count(), 1);
}

TEST_P(DriverSuite, AppliesOnlyTheStepsThatAreMissing) {
  static constexpr std::string_view three[] = {suite::boxes_steps[0], suite::boxes_steps[1],
                                               "UPDATE boxes SET size = size * 2 WHERE scope > 0"};
  const Migrations newer[] = {{"boxes", three}};
  ASSERT_TRUE(put("a", 4).has_value());
  // Twice: the third step must run once.
  open(newer);
  open(newer);
  auto size = database_->read_blocking(Scope::standard(), [](Session& session) {
    return session.find<int64_t>("SELECT size FROM boxes WHERE scope = :scope", {},
                                 [](const Row& row) { return row.integer(0); });
  });
  EXPECT_EQ(size.value(), 8);
}

TEST_P(DriverSuite, LeavesTheSchemaAsItWasWhenAStepFails) {
  static constexpr std::string_view broken[] = {suite::boxes_steps[0], suite::boxes_steps[1],
                                                "CREATE TABLE more (scope INTEGER NOT NULL); SELECT nonsense()"};
  const Migrations newer[] = {{"boxes", broken}};
  ASSERT_TRUE(put("a", 4).has_value());
  database_.reset();
  auto opened = GetParam().open(directory_.path(), newer);
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().reason().find("migrate boxes to version 3"), std::string::npos) << opened.error().reason();
  open(suite::boxes);
  EXPECT_EQ(count(), 1);
}

TEST_P(DriverSuite, RefusesASchemaThatANewerVersionChanged) {
  static constexpr std::string_view older_steps[] = {suite::boxes_steps[0]};
  const Migrations older[] = {{"boxes", older_steps}};
  for (const auto& migrations : {std::span<const Migrations>(older), std::span<const Migrations>()}) {
    database_.reset();
    auto opened = GetParam().open(directory_.path(), migrations);
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().id(), ErrorId::GR0204);
    EXPECT_FALSE(opened.error().hint().empty());
  }
}

TEST_P(DriverSuite, BacksUpAConsistentCopyWhileWritersGoOn) {
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(put(fmt::format("box-{}", i), i).has_value());
  std::atomic<bool> ended = false;
  // Each transaction writes two rows, so a copy with an odd number would be torn.
  std::thread writer([&] {
    for (int i = 0; !ended; ++i) {
      auto both = database_->write_blocking(
          Scope::standard(),
          [&](Session& session) -> Result<> {
            GANTRY_TRY_VOID(session.execute(suite::insert_box, {fmt::format("left-{}", i), i}));
            GANTRY_TRY_VOID(session.execute(suite::insert_box, {fmt::format("right-{}", i), i}));
            return {};
          },
          Durability::deferred);
      EXPECT_TRUE(both.has_value());
    }
  });
  TemporaryDirectory elsewhere;
  std::filesystem::create_directory(elsewhere.path() / "copy");
  auto saved = database_->backup(elsewhere.path() / "copy" / "store.db");
  ended = true;
  writer.join();
  ASSERT_TRUE(saved.has_value()) << saved.error().reason();
  auto copy = GetParam().open(elsewhere.path() / "copy", suite::boxes);
  ASSERT_TRUE(copy.has_value()) << copy.error().reason();
  auto copied = (*copy)->read_blocking(Scope::standard(), suite::count);
  ASSERT_TRUE(copied.has_value());
  EXPECT_GE(*copied, 100);
  EXPECT_EQ(*copied % 2, 0);
}

TEST_P(DriverSuite, DoesNotOverwriteAFileByABackup) {
  ASSERT_TRUE(put("a", 1).has_value());
  const auto target = directory_.path() / "copy.db";
  ASSERT_TRUE(database_->backup(target).has_value());
  auto again = database_->backup(target);
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code(), Code::conflict);
}

TEST_P(DriverSuite, ChecksAHealthyStoreAndTellsItsSize) {
  ASSERT_TRUE(put("a", 1).has_value());
  EXPECT_TRUE(database_->check().has_value());
  EXPECT_GT(database_->usage().value().database.count, 0u);
}

TEST_P(DriverSuite, RefusesWorkAfterStop) {
  database_->stop();
  database_->stop();
  auto late = put("a", 1);
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code(), Code::unavailable);
}

namespace suite {

inline Task<void> write_and_read(Database& database, int first, std::atomic<int>& seen) {
  for (int i = first; i < first + 20; ++i) {
    auto written = co_await database.write(
        Scope::standard(), [i](Session& session) { return session.execute(insert_box, {fmt::format("box-{}", i), i}); },
        Durability::deferred);
    EXPECT_TRUE(written.has_value());
    auto read = co_await database.read(Scope::standard(), [i](Session& session) {
      return session.find<std::string>("SELECT name FROM boxes WHERE scope = :scope AND size = ?", {i},
                                       [](const Row& row) { return row.string(0); });
    });
    if (read.has_value() && *read == fmt::format("box-{}", i)) ++seen;
  }
}

}  // namespace suite

TEST_P(DriverSuite, LetsCoroutinesReadTheirOwnWrites) {
  IoThreads threads(2);
  threads.start();
  TaskGroup group;
  std::atomic<int> seen = 0;
  for (int i = 0; i < 10; ++i)
    group.spawn(threads.executor(static_cast<size_t>(i % 2)), suite::write_and_read(*database_, i * 100, seen));
  group.join();
  EXPECT_EQ(seen, 200);
  // Its threads still hold on to the executors when the last call has returned.
  database_->stop();
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DriverSuite);

}  // namespace gantry::store
