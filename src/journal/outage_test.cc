// A disk that is full, read-only or broken: what callers are told, and that service returns by itself.
#include <gtest/gtest.h>

#include <cerrno>

#include "journal/journal_testing.h"

namespace gantry::journal {
namespace {

class OutageTest : public testing::Test {
 protected:
  std::unique_ptr<Journal> open() {
    Options options = memory_journal_options();
    options.segment_size = kibibytes(64);
    options.group_size = kibibytes(16);
    options.entry_size = kibibytes(8);
    options.compression = Compression::off;
    options.notify = [this](Severity severity, std::string_view text) {
      std::lock_guard lock(mutex_);
      notices_.emplace_back(severity, text);
    };
    auto journal = make_memory_journal(disk_, options, clock_, random_);
    journal->add(fold_);
    EXPECT_TRUE(journal->open());
    return journal;
  }
  bool was_told(Severity severity, std::string_view part) {
    std::lock_guard lock(mutex_);
    for (const auto& [one, text] : notices_)
      if (one == severity && text.find(part) != text.npos) return true;
    return false;
  }
  Result<Appended> append(Journal& journal, Priority priority) {
    return appender_.append(journal, entry_of(std::string(4000, 'x'), {}, priority));
  }

  MemoryDisk disk_;
  SystemClock clock_;
  SeededRandom random_{1};
  ChainFold fold_;
  Appender appender_;
  std::mutex mutex_;
  std::vector<std::pair<Severity, std::string>> notices_;
};

TEST_F(OutageTest, AFullDiskRefusesNewWorkFirstAndStillFinishesOldWork) {
  auto journal = open();
  // Two segments ahead, the second of which is the reserve.
  ASSERT_TRUE(eventually([&] { return journal->usage()->prepared_on_disk == kibibytes(128); }));
  disk_.set_capacity(disk_.used());

  uint64_t accepted = 0;
  Result<Appended> result;
  while ((result = append(*journal, Priority::accept))) ++accepted;
  EXPECT_GE(accepted, 15u) << "the active segment and the one prepared behind it are used up first";
  EXPECT_EQ(result.error().id(), ErrorId::GR0101);
  EXPECT_EQ(journal->health(), Health::reserve);
  EXPECT_TRUE(was_told(Severity::error, "cannot allocate a segment"));

  uint64_t finished = 0;
  while (append(*journal, Priority::finish)) ++finished;
  EXPECT_GE(finished, 10u) << "the reserve is a whole segment";
  EXPECT_FALSE(append(*journal, Priority::accept));
  EXPECT_EQ(fold_.state().count, accepted + finished);

  disk_.set_capacity(~uint64_t{0});
  ASSERT_TRUE(eventually([&] { return append(*journal, Priority::accept).has_value(); }));
  ASSERT_TRUE(eventually([&] { return journal->health() == Health::ready; }));
  EXPECT_TRUE(eventually([&] { return was_told(Severity::info, "can allocate segments again"); }));
  journal->stop();
}

TEST_F(OutageTest, AFailedFlushRefusesItsGroupAndMovesToANewSegment) {
  auto journal = open();
  auto before = append(*journal, Priority::accept);
  ASSERT_TRUE(before);
  // Let the files be prepared, so that the next operations are the writer's: write, then flush.
  ASSERT_TRUE(eventually([&] { return journal->usage()->prepared_on_disk == kibibytes(128); }));
  ASSERT_TRUE(journal->tidy_up());
  disk_.plan({.kind = FaultKind::fail, .at = disk_.operations() + 1, .length = 1, .number = EIO});
  auto refused = append(*journal, Priority::accept);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id(), ErrorId::GR0101);
  EXPECT_EQ(refused.error().code(), Code::unavailable);
  EXPECT_TRUE(was_told(Severity::error, "a write to the journal failed"));
  EXPECT_EQ(journal->stats().failed_groups, 1u);

  auto after = append(*journal, Priority::accept);
  ASSERT_TRUE(after);
  EXPECT_EQ(after->seq, before->seq + 1) << "the sequence has no hole";
  EXPECT_GT(after->location.segment, before->location.segment);
  EXPECT_EQ(read_all(*journal)->size(), 2u);
  journal->stop();
}

TEST_F(OutageTest, ADiskThatTakesNothingSaysSoAndComesBackByItself) {
  auto journal = open();
  ASSERT_TRUE(append(*journal, Priority::accept));
  ASSERT_TRUE(eventually([&] { return journal->usage()->prepared_on_disk == kibibytes(128); }));
  disk_.plan({.kind = FaultKind::fail, .at = 0, .length = ~uint64_t{0}, .number = EROFS});

  auto first = append(*journal, Priority::accept);
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().id(), ErrorId::GR0102) << "not even that it is void can be written";
  auto later = append(*journal, Priority::finish);
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().id(), ErrorId::GR0101) << "this one was never tried";
  EXPECT_EQ(journal->health(), Health::down);

  disk_.plan({});
  ASSERT_TRUE(eventually([&] { return append(*journal, Priority::accept).has_value(); }));
  EXPECT_EQ(journal->health(), Health::ready);
  EXPECT_TRUE(was_told(Severity::info, "the journal can write again"));
  const ChainFold::State state = fold_.state();
  journal->stop();

  auto again = open();
  EXPECT_EQ(fold_.state(), state);
  again->stop();
}

TEST_F(OutageTest, ADeadDiskDoesNotHoldUpStop) {
  auto journal = open();
  ASSERT_TRUE(append(*journal, Priority::accept));
  disk_.plan({.kind = FaultKind::fail, .at = 0, .length = ~uint64_t{0}, .number = EIO});
  EXPECT_FALSE(append(*journal, Priority::accept));
  journal->stop();
}

}  // namespace
}  // namespace gantry::journal
