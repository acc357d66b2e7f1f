// Behaviour of the journal through its door.
#include "journal/journal.h"

#include <gtest/gtest.h>

#include <atomic>

#include "journal/journal_test_fixture.h"

namespace gantry::journal {
namespace {

TEST_F(JournalTest, NumbersRecordsFromOneAndReadsThemBack) {
  auto journal = open();
  auto first = appender_.append(*journal, entry_of("head ", "body"));
  auto second = appender_.append(*journal, "two");
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->seq, 1u);
  EXPECT_EQ(second->seq, 2u);
  EXPECT_EQ(journal->durable_seq(), 2u);
  EXPECT_EQ(journal->read(first->location).value_or(""), "head body");

  auto reader = journal->reader(1);
  auto batch = reader->next(10);
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->size(), 2u);
  const Record& record = (*batch)[0];
  EXPECT_EQ(record.payload, "head body");
  EXPECT_EQ(record.kind, test_kind);
  EXPECT_EQ(record.scope, Scope::standard());
  EXPECT_EQ(record.entity[15], 7);
  EXPECT_EQ(record.location, first->location);
  journal->stop();
}

TEST_F(JournalTest, AppliesFoldsBeforeTheAppenderResumes) {
  ChainFold fold;
  auto journal = make();
  journal->add(fold);
  ASSERT_TRUE(journal->open());
  for (uint64_t i = 1; i <= 50; ++i) {
    ASSERT_TRUE(appender_.append(*journal, fmt::format("payload {}", i)));
    EXPECT_EQ(fold.state().last_seq, i);
  }
  journal->stop();
}

TEST_F(JournalTest, CommitsManyAppendersWithFewFlushes) {
  auto journal = open(options_that_keep_all());
  std::atomic<int> failures = 0;
  for (int i = 0; i < 64; ++i)
    appender_.group().spawn(appender_.next(), append_in_a_row(*journal, fmt::format("writer {}", i), 50, failures));
  ASSERT_TRUE(eventually([&] { return appender_.group().size() == 0; }));
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(journal->durable_seq(), 64u * 50);
  const Stats stats = journal->stats();
  EXPECT_EQ(stats.records, 64u * 50);
  EXPECT_LT(stats.groups, stats.records / 2);

  // Each appender's records are in the order of its appends.
  auto all = read_all(*journal);
  ASSERT_TRUE(all);
  std::map<std::string, int> next;
  for (const auto& [seq, payload] : *all) {
    const size_t space = payload.rfind(' ');
    EXPECT_EQ(std::stoi(payload.substr(space + 1)), next[payload.substr(0, space)]++);
  }
  journal->stop();
}

TEST_F(JournalTest, KeepsTheRecordsOfAnAppendManyTogetherInOrder) {
  auto journal = open();
  auto many = appender_.append_many(*journal, {entry_of("a"), entry_of("b"), entry_of("c")});
  ASSERT_TRUE(many);
  ASSERT_EQ(many->size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ((*many)[i].seq, i + 1);
    EXPECT_EQ(journal->read((*many)[i].location).value_or(""), std::string(1, static_cast<char>('a' + i)));
  }
  EXPECT_TRUE(appender_.append_many(*journal, {}));
  journal->stop();
}

TEST_F(JournalTest, RefusesWhatCannotBeWritten) {
  auto journal = open();
  auto too_long = appender_.append(*journal, std::string(kibibytes(64).count + 1, 'x'));
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code(), Code::invalid);

  Entry no_scope = entry_of("x");
  no_scope.scope.tenant.clear();
  auto unscoped = appender_.append(*journal, std::move(no_scope));
  ASSERT_FALSE(unscoped);
  EXPECT_EQ(unscoped.error().code(), Code::invalid);

  auto too_many = appender_.append_many(*journal, std::vector<Entry>(3, entry_of(std::string(60'000, 'x'))));
  ASSERT_FALSE(too_many);
  EXPECT_EQ(too_many.error().code(), Code::invalid);
  EXPECT_EQ(journal->durable_seq(), 0u);
  journal->stop();
}

TEST_F(JournalTest, FailsAppendsAfterStop) {
  auto journal = open();
  journal->stop();
  auto late = appender_.append(*journal, "late");
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().id(), ErrorId::GR0101);
}

TEST_F(JournalTest, IsAsBeforeAfterACleanRestart) {
  ChainFold before;
  {
    auto journal = make();
    journal->add(before);
    ASSERT_TRUE(journal->open());
    for (int i = 0; i < 3000; ++i) ASSERT_TRUE(appender_.append(*journal, fmt::format("{:0300}", i)));
    journal->stop();
  }
  ChainFold after;
  auto journal = make();
  journal->add(after);
  ASSERT_TRUE(journal->open());
  EXPECT_EQ(after.state(), before.state());
  EXPECT_EQ(after.applied(), 0u) << "the checkpoint of stop() holds everything";
  EXPECT_EQ(journal->durable_seq(), 3000u);
  auto next = appender_.append(*journal, "next");
  ASSERT_TRUE(next);
  EXPECT_EQ(next->seq, 3001u);
  auto all = read_all(*journal);
  ASSERT_TRUE(all) << all.error().reason();
  EXPECT_EQ(all->size(), 3001u);
  journal->stop();
}

TEST_F(JournalTest, GivesAFoldThatIsNewTheWholeLog) {
  ChainFold old;
  {
    auto journal = make();
    journal->add(old);
    ASSERT_TRUE(journal->open());
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(appender_.append(*journal, std::to_string(i)));
    journal->stop();
  }
  ChainFold same;
  ChainFold added("added later");
  auto journal = make();
  journal->add(same);
  journal->add(added);
  ASSERT_TRUE(journal->open());
  EXPECT_EQ(added.state(), old.state());
  EXPECT_EQ(added.applied(), 100u);
  EXPECT_EQ(same.applied(), 0u);
  journal->stop();
}

TEST_F(JournalTest, ReaderWaitsForMoreAndEndsAtStop) {
  auto journal = open();
  auto reader = journal->reader(1);
  EXPECT_FALSE(reader->wait(std::chrono::milliseconds(1)));
  std::thread later([&] { EXPECT_TRUE(appender_.append(*journal, "late")); });
  EXPECT_TRUE(reader->wait(std::chrono::seconds(60)));
  later.join();
  auto batch = reader->next(10);
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->size(), 1u);
  EXPECT_EQ((*batch)[0].payload, "late");

  std::atomic<bool> ended = false;
  std::thread waiting([&] {
    EXPECT_FALSE(reader->wait(std::chrono::minutes(5)));
    ended = true;
  });
  journal->stop();
  waiting.join();
  EXPECT_TRUE(ended);
}

Task<void> wait_durable(Journal& journal, uint64_t seq, SteadyTime deadline, std::promise<bool>& out) {
  out.set_value(co_await journal.until_durable(seq, deadline));
}

TEST_F(JournalTest, WakesCoroutinesThatWaitForASequence) {
  auto journal = open();
  std::promise<bool> reached;
  std::promise<bool> late;
  const SteadyTime now = clock_.steady();
  appender_.group().spawn(appender_.next(), wait_durable(*journal, 2, now + std::chrono::minutes(5), reached));
  appender_.group().spawn(appender_.next(), wait_durable(*journal, 99, now + std::chrono::milliseconds(5), late));
  ASSERT_TRUE(appender_.append(*journal, "one"));
  ASSERT_TRUE(appender_.append(*journal, "two"));
  EXPECT_TRUE(reached.get_future().get());
  EXPECT_FALSE(late.get_future().get());
  journal->stop();
}

TEST_F(JournalTest, ReadersSeeEveryRecordOnceWhileItIsWritten) {
  auto journal = open(options_that_keep_all());
  constexpr uint64_t total = 4000;
  std::atomic<int> failures = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i)
    readers.emplace_back([&] {
      auto reader = journal->reader(1);
      for (uint64_t expected = 1; expected <= total;) {
        auto batch = reader->next(64);
        if (!batch) {
          ++failures;
          return;
        }
        for (const Record& record : *batch)
          if (record.seq != expected++) ++failures;
        if (batch->empty()) reader->wait(std::chrono::seconds(5));
      }
    });
  for (int i = 0; i < 40; ++i)
    appender_.group().spawn(appender_.next(), append_in_a_row(*journal, std::string(700, 'x'), total / 40, failures));
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(failures, 0);
  EXPECT_GT(journal->usage()->segments.size(), 5u) << "more than one segment must be involved";
  journal->stop();
}

TEST_F(JournalTest, HasCallersWaitForRoomAndRefusesTheOnesAboveTheBound) {
  Options options = memory_journal_options();
  options.queue_entries = 4;
  options.blocked_appends = 8;
  auto journal = open(options);
  std::vector<std::future<Result<Appended>>> started;
  for (int i = 0; i < 400; ++i) started.push_back(appender_.start(*journal, entry_of("x")));
  int done = 0;
  for (auto& one : started) {
    auto result = one.get();
    if (result) ++done;
    if (!result) EXPECT_EQ(result.error().id(), ErrorId::GR0105);
  }
  EXPECT_GE(done, 12);
  EXPECT_EQ(journal->durable_seq(), static_cast<uint64_t>(done));
  journal->stop();
}

}  // namespace
}  // namespace gantry::journal
