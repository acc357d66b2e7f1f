// What happens to records after they are durable: projections, compression, deletion, space.
#include <gtest/gtest.h>

#include "journal/journal_test_fixture.h"

namespace gantry::journal {
namespace {

using RetentionTest = JournalTest;

TEST_F(RetentionTest, ProjectsEverythingInBatchesInOrder) {
  RowsProjection rows;
  rows.keep(true);
  auto journal = make();
  journal->add(rows);
  ASSERT_TRUE(journal->open());
  std::atomic<int> failures = 0;
  for (int i = 0; i < 32; ++i) appender_.group().spawn(appender_.next(), append_in_a_row(*journal, "w", 50, failures));
  ASSERT_TRUE(eventually([&] { return rows.rows().size() == 32 * 50; }));
  EXPECT_GT(rows.largest_batch(), 1u);
  auto all = read_all(*journal);
  ASSERT_TRUE(all);
  const auto projected = rows.rows();
  for (size_t i = 0; i < projected.size(); ++i) EXPECT_EQ(projected[i], (*all)[i].second);
  ASSERT_TRUE(eventually([&] { return journal->lag().at(0).records == 0; }));
  journal->stop();
}

// Few records may be many bytes: a batch ends with a segment, or after a megabyte.
TEST_F(RetentionTest, ProjectsWhatIsThereWithoutAPauseBetweenItsBatches) {
  constexpr size_t count = 60;
  {
    auto journal = open(options_that_keep_all());
    const std::string large(kibibytes(30).count, 'x');
    for (size_t i = 0; i < count; ++i) ASSERT_TRUE(appender_.append(*journal, large));
    journal->stop();
  }
  RowsProjection rows;
  Options options = options_that_keep_all();
  options.projection_linger = std::chrono::hours(1);
  auto journal = make(options);
  journal->add(rows);
  ASSERT_TRUE(journal->open());
  EXPECT_TRUE(eventually([&] { return rows.rows().size() == count; })) << rows.rows().size();
  EXPECT_LT(rows.largest_batch(), count);
  journal->stop();
}

TEST_F(RetentionTest, RepeatsABatchThatFailedAndTellsWhy) {
  RowsProjection rows;
  rows.fail_next(2);
  auto journal = make();
  journal->add(rows);
  ASSERT_TRUE(journal->open());
  ASSERT_TRUE(appender_.append(*journal, "one"));
  ASSERT_TRUE(eventually([&] { return rows.rows().size() == 1; }));
  EXPECT_TRUE(was_told(Severity::warning, "the tables are locked"));
  ASSERT_TRUE(eventually([&] { return was_told(Severity::info, "works again"); }));
  EXPECT_TRUE(eventually([&] { return journal->lag().at(0).failure.empty(); }));
  journal->stop();
}

TEST_F(RetentionTest, TellsHowFarAProjectionIsBehind) {
  Options options = memory_journal_options();
  options.lag_limit = 2;
  RowsProjection rows;
  rows.fail_next(1'000'000);
  auto journal = make(options);
  journal->add(rows);
  ASSERT_TRUE(journal->open());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(appender_.append(*journal, "x"));
  ASSERT_TRUE(eventually([&] { return !journal->lag().at(0).failure.empty(); }));
  const Lag lag = journal->lag().at(0);
  EXPECT_EQ(lag.projection, "rows");
  EXPECT_EQ(lag.records, 3u);
  EXPECT_TRUE(lag.lagging);
  journal->stop();
}

TEST_F(RetentionTest, ContinuesAProjectionBehindWhatItReached) {
  {
    auto journal = open();
    for (int i = 1; i <= 10; ++i) ASSERT_TRUE(appender_.append(*journal, std::to_string(i)));
    journal->stop();
  }
  RowsProjection rows;
  rows.start_at(7);
  auto journal = make();
  journal->add(rows);
  ASSERT_TRUE(journal->open());
  ASSERT_TRUE(eventually([&] { return rows.rows().size() == 3; }));
  EXPECT_EQ(rows.rows(), (std::vector<std::string>{"8", "9", "10"}));
  journal->stop();
}

TEST_F(RetentionTest, CompressesSealedSegmentsAndStillReadsThem) {
  ChainFold fold;
  auto journal = make();
  journal->add(fold);
  ASSERT_TRUE(journal->open());
  std::vector<Appended> receipts;
  for (int i = 0; i < 1500; ++i) {
    auto receipt = appender_.append(*journal, fmt::format("{:01000}", i));
    ASSERT_TRUE(receipt);
    receipts.push_back(*receipt);
  }
  ASSERT_TRUE(journal->tidy_up());
  auto usage = journal->usage();
  ASSERT_TRUE(usage);
  ASSERT_GT(usage->segments.size(), 4u);
  for (size_t i = 0; i + 1 < usage->segments.size(); ++i) {
    EXPECT_EQ(usage->segments[i].state, SegmentState::compressed);
    EXPECT_LT(usage->segments[i].on_disk.count, usage->segments[i].content.count / 4);
  }
  for (int i = 0; i < 1500; i += 7)
    EXPECT_EQ(journal->read(receipts[static_cast<size_t>(i)].location).value_or(""), fmt::format("{:01000}", i));
  auto all = read_all(*journal, 700);
  ASSERT_TRUE(all) << all.error().reason();
  ASSERT_EQ(all->size(), 801u);
  EXPECT_EQ(all->front().first, 700u);
  journal->stop();

  // And after a restart, without the checkpoint: the folds are made from the compressed segments.
  for (const std::string& name : disk_.names("checkpoints")) disk_.remove_file("checkpoints/" + name);
  ChainFold again;
  auto second = make();
  second->add(again);
  ASSERT_TRUE(second->open());
  EXPECT_EQ(again.state(), fold.state());
  second->stop();
}

TEST_F(RetentionTest, DeletesOnlyWhatNobodyNeeds) {
  ChainFold fold;
  RowsProjection rows;
  rows.keep(true);
  Options options = memory_journal_options();
  options.housekeeping_every = std::chrono::hours(1);
  auto journal = make(options);
  journal->add(fold);
  journal->add(rows);
  ASSERT_TRUE(journal->open());
  Appended kept;
  for (int i = 0; i < 1500; ++i) {
    auto receipt = appender_.append(*journal, fmt::format("{:01000}", i));
    ASSERT_TRUE(receipt);
    if (i == 600) kept = *receipt;
  }
  // Not by its rows: that it holds them is known to the journal a moment later.
  ASSERT_TRUE(eventually([&] { return journal->lag().at(0).records == 0; }));
  auto tidy = [&] { return journal->tidy_up() && journal->tidy_up(); };

  fold.need_only({kept.seq});
  ASSERT_TRUE(tidy());
  EXPECT_EQ(journal->first_seq(), 1u) << "the projection still points into all of it";

  rows.keep(false);
  fold.need_all();
  ASSERT_TRUE(tidy());
  EXPECT_EQ(journal->first_seq(), 1u) << "the fold needs all of it";

  fold.need_only({kept.seq});
  ASSERT_TRUE(tidy());
  auto usage = journal->usage();
  ASSERT_TRUE(usage);
  ASSERT_EQ(usage->segments.size(), 2u) << "the needed one and the active one";
  EXPECT_LE(usage->segments[0].first_seq, kept.seq);
  EXPECT_GE(usage->segments[0].last_seq, kept.seq);
  EXPECT_EQ(journal->read(kept.location).value_or(""), fmt::format("{:01000}", 600));
  EXPECT_EQ(journal->read({.segment = 1, .offset = 1024, .size = 100}).error().code(), Code::not_found);

  // A restart knows which segments were deleted on purpose, and a reader passes over them.
  const ChainFold::State state = fold.state();
  journal->stop();
  ChainFold again;
  again.need_only({kept.seq});
  auto second = make(options);
  second->add(again);
  ASSERT_TRUE(second->open());
  EXPECT_EQ(again.state(), state);
  auto all = read_all(*second);
  ASSERT_TRUE(all) << all.error().reason();
  EXPECT_EQ(all->back().first, 1500u);
  EXPECT_LT(all->size(), 1000u);
  second->stop();
}

TEST_F(RetentionTest, NeverDeletesWhatAProjectionHasNotReached) {
  ChainFold fold;
  fold.need_only({});
  RowsProjection rows;
  rows.fail_next(1'000'000);
  auto journal = make();
  journal->add(fold);
  journal->add(rows);
  ASSERT_TRUE(journal->open());
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(appender_.append(*journal, std::string(1000, 'x')));
  ASSERT_TRUE(journal->tidy_up());
  ASSERT_TRUE(journal->tidy_up());
  EXPECT_EQ(journal->first_seq(), 1u);
  journal->stop();
}

TEST_F(RetentionTest, TellsWhatUsesSpace) {
  auto journal = open();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(appender_.append(*journal, "x"));
  ASSERT_TRUE(journal->tidy_up());
  ASSERT_TRUE(eventually([&] { return journal->usage()->prepared_on_disk.count > 0; }));
  auto usage = journal->usage();
  ASSERT_TRUE(usage);
  ASSERT_EQ(usage->segments.size(), 1u);
  EXPECT_EQ(usage->segments[0].state, SegmentState::active);
  EXPECT_EQ(usage->segments[0].last_seq, 10u);
  EXPECT_GT(usage->segments_on_disk.count, 0u);
  EXPECT_GT(usage->checkpoints_on_disk.count, 0u);
  journal->stop();
}

}  // namespace
}  // namespace gantry::journal
