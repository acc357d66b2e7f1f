#include "audit/audit.h"

#include <gtest/gtest.h>

#include "journal/storage_testing.h"

namespace gantry::audit {
namespace {

// What requests/ does with the records of the trail.
class Rows final : public journal::Projection {
 public:
  explicit Rows(store::Database& database) : database_(database) {}
  std::string_view name() const override { return "requests"; }
  Result<uint64_t> reached() override { return uint64_t{0}; }
  Result<uint64_t> project(std::span<const journal::Record> batch) override {
    return database_.write_blocking(Scope::standard(), [&](store::Session& session) -> Result<uint64_t> {
      for (const journal::Record& record : batch) {
        auto entry = from_payload(record.payload);
        if (!entry) return std::unexpected(entry.error());
        GANTRY_TRY_VOID(write_row(session, {record.seq, record.time, *entry}, record.scope));
      }
      return batch.back().seq;
    });
  }
  Result<bool> needs(uint64_t, uint64_t) override { return true; }

 private:
  store::Database& database_;
};

// A real journal and a real store; `reopen` is a restart of the server, after which every batch comes again.
class AuditTest : public journal::StorageTest {
 protected:
  void SetUp() override {
    StorageTest::SetUp();
    open();
  }
  void TearDown() override {
    close();
    StorageTest::TearDown();
  }
  void open() {
    const std::array steps{migrations()};
    open_storage(steps, {.projection_linger = std::chrono::milliseconds(1)});
    rows_ = std::make_unique<Rows>(*database_);
    journal_->add(*rows_);
    trail_ = std::make_unique<Trail>(Parts{*journal_, *database_, clock_}, options_);
    open_journal();
  }
  void close() {
    stop_storage();
    trail_.reset();
    journal_.reset();  // before what it projects into
    rows_.reset();
    drop_storage();
  }
  void reopen() {
    close();
    open();
  }

  void record(std::string principal, std::string action, std::string subject) {
    ASSERT_TRUE(wait(trail_->record(scope_, {principal, action, subject, {{"why", "test"}}})).has_value());
  }
  std::vector<std::string> subjects(Filter filter = {}) {
    auto page = wait(trail_->list(scope_, filter));
    EXPECT_TRUE(page.has_value()) << page.error().reason();
    std::vector<std::string> found;
    if (page)
      for (const Recorded& recorded : page->entries) found.push_back(recorded.entry.subject);
    return found;
  }

  Options options_;
  std::unique_ptr<Rows> rows_;
  std::unique_ptr<Trail> trail_;
};

using Names = std::vector<std::string>;

TEST_F(AuditTest, ListsWhatWasRecordedNewestFirstAlsoAfterARestart) {
  record("root", "request.purge", "req_a");
  record("ada", "request.requeue", "req_b");
  EXPECT_EQ(subjects(), (Names{"req_b", "req_a"}));
  reopen();
  EXPECT_EQ(subjects(), (Names{"req_b", "req_a"}));
  auto page = wait(trail_->list(scope_, {.limit = 1}));
  ASSERT_TRUE(page.has_value());
  EXPECT_EQ(page->entries.at(0).entry.principal, "ada");
  EXPECT_EQ(json::serialize(page->entries.at(0).entry.details), R"({"why":"test"})");
  EXPECT_EQ(subjects({.before_seq = page->next}), Names{"req_a"});
}

TEST_F(AuditTest, FiltersByActionSubjectPrincipalAndTime) {
  record("root", "request.purge", "req_a");
  record("ada", "request.requeue", "req_b");
  EXPECT_EQ(subjects({.action = "request.purge"}), Names{"req_a"});
  EXPECT_EQ(subjects({.subject = "req_b"}), Names{"req_b"});
  EXPECT_EQ(subjects({.principal = "ada"}), Names{"req_b"});
  EXPECT_EQ(subjects({.since = clock_.now() + std::chrono::hours(1)}), Names{});
  auto elsewhere = Scope::parse("other/default/dev");
  ASSERT_TRUE(elsewhere.has_value());
  auto page = wait(trail_->list(*elsewhere, {}));
  ASSERT_TRUE(page.has_value());
  EXPECT_TRUE(page->entries.empty());
}

TEST_F(AuditTest, RecordsARepeatedReadOnce) {
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(wait(trail_->record_read(scope_, {"root", "request.read", "req_a", {}})).has_value());
  ASSERT_TRUE(wait(trail_->record_read(scope_, {"ada", "request.read", "req_a", {}})).has_value());
  EXPECT_EQ(subjects(), (Names{"req_a", "req_a"}));
}

TEST_F(AuditTest, KeepsNoMoreEntriesThanItsBound) {
  options_ = {.max_entries = 2, .prune_every = Duration{}};
  reopen();
  for (std::string subject : {"a", "b", "c", "d"}) {
    record("root", "request.purge", subject);
    EXPECT_EQ(subjects().front(), subject);
  }
  record("root", "request.purge", "e");
  EXPECT_EQ(subjects(), (Names{"e", "d", "c"}));
}

TEST_F(AuditTest, ForgetsEntriesWhoseRetentionHasPassed) {
  record("root", "request.purge", "a");
  EXPECT_EQ(subjects(), Names{"a"});
  options_ = {.retention = Duration{}, .prune_every = Duration{}};
  trail_ = std::make_unique<Trail>(Parts{*journal_, *database_, clock_}, options_);
  record("root", "request.purge", "b");
  EXPECT_EQ(subjects({.subject = "a"}), Names{});
}

TEST(AuditRecord, IsRefusedIfItIsNone) {
  for (std::string_view bad : {"", "{}", "[]", R"({"format":2})", R"({"format":1,"principal":"a"})"})
    EXPECT_FALSE(from_payload(bad).has_value()) << bad;
}

}  // namespace
}  // namespace gantry::audit
