#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>

#include "journal/journal.h"

namespace gantry::journal {
namespace {

// Reads every record back the moment that it is told of it.
class ReadingFold final : public Fold {
 public:
  void watch(Journal& journal) { journal_ = &journal; }
  std::string_view name() const override { return "reading"; }
  void apply(const Record& record) override {
    ++seen;
    auto payload = journal_->read(record.location);
    if (!payload || *payload != record.payload) ++missed;
  }
  std::string checkpoint() override { return {}; }
  Result<void> restore(std::string_view) override { return {}; }
  void reset() override {}
  bool needs(uint64_t, uint64_t) override { return false; }

  std::atomic<int> seen = 0;
  std::atomic<int> missed = 0;

 private:
  Journal* journal_ = nullptr;
};

Task<void> append_some(Journal& journal, int count) {
  for (int i = 0; i < count; ++i) {
    auto done = co_await journal.append(
        {.kind = Kind{1}, .scope = Scope::standard(), .entity = {}, .head = "head", .body = std::to_string(i)});
    EXPECT_TRUE(done.has_value());
  }
}

TEST(Journal, ARecordCanBeReadByItsLocationAsSoonAsAFoldKnowsIt) {
  std::string pattern = (std::filesystem::temp_directory_path() / "fold-read-XXXXXX").string();
  // SAFETY: mkdtemp writes into its argument.
  std::filesystem::path directory = ::mkdtemp(pattern.data());
  IoThreads threads(1);
  threads.start();
  SystemClock clock;
  SystemRandom random;
  ReadingFold fold;
  Options options;
  options.directory = directory;
  auto journal = make_segments(std::move(options), clock, random);
  fold.watch(*journal);
  journal->add(fold);
  ASSERT_TRUE(journal->open().has_value());
  TaskGroup group;
  for (int i = 0; i < 8; ++i) group.spawn(threads.executor(0), append_some(*journal, 25));
  group.join();
  EXPECT_EQ(fold.seen, 200);
  EXPECT_EQ(fold.missed, 0);
  journal->stop();
  threads.stop();
  std::filesystem::remove_all(directory);
}

// Where the writer and a projection stand, as each of them sees it.
class Meeting {
 public:
  void reach(int& place, int value) {
    std::lock_guard lock(mutex_);
    place = value;
    moved_.notify_all();
  }
  void wait(const int& place, int value) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(moved_.wait_for(lock, std::chrono::seconds(60), [&] { return place >= value; }));
  }
  int value(const int& place) {
    std::lock_guard lock(mutex_);
    return place;
  }

  int folding = 0;     // the record that the fold is being told of
  int folded = 0;      // the last one that it knows
  int projecting = 0;  // batches that the projection was given

 private:
  std::mutex mutex_;
  std::condition_variable moved_;
};

// Takes its time over record 3: the log holds it already.
class SlowFold final : public Fold {
 public:
  explicit SlowFold(Meeting& meeting) : meeting_(meeting) {}
  std::string_view name() const override { return "slow"; }
  void apply(const Record& record) override {
    const int seq = static_cast<int>(record.seq);
    meeting_.reach(meeting_.folding, seq);
    if (seq == 3) meeting_.wait(meeting_.projecting, 2);
    meeting_.reach(meeting_.folded, seq);
  }
  std::string checkpoint() override { return {}; }
  Result<void> restore(std::string_view) override { return {}; }
  void reset() override {}
  bool needs(uint64_t, uint64_t) override { return false; }

 private:
  Meeting& meeting_;
};

// Works on record 1 until the fold is at record 3, so that 2 is durable and 3 is only written.
class CuriousProjection final : public Projection {
 public:
  explicit CuriousProjection(Meeting& meeting) : meeting_(meeting) {}
  std::string_view name() const override { return "curious"; }
  Result<uint64_t> reached() override { return uint64_t{0}; }
  Result<uint64_t> project(std::span<const Record> batch) override {
    early += static_cast<int>(batch.back().seq) > meeting_.value(meeting_.folded);
    meeting_.reach(meeting_.projecting, ++calls_);
    if (calls_ == 1) meeting_.wait(meeting_.folding, 3);
    return batch.back().seq;
  }
  Result<bool> needs(uint64_t, uint64_t) override { return false; }

  std::atomic<int> early = 0;  // batches with a record that the fold did not know

 private:
  Meeting& meeting_;
  int calls_ = 0;
};

TEST(Journal, AProjectionIsGivenNoRecordThatTheFoldsDoNotKnow) {
  std::string pattern = (std::filesystem::temp_directory_path() / "fold-first-XXXXXX").string();
  // SAFETY: mkdtemp writes into its argument.
  std::filesystem::path directory = ::mkdtemp(pattern.data());
  IoThreads threads(1);
  threads.start();
  SystemClock clock;
  SystemRandom random;
  Meeting meeting;
  SlowFold fold(meeting);
  CuriousProjection projection(meeting);
  Options options;
  options.directory = directory;
  options.projection_linger = Duration::zero();
  auto journal = make_segments(std::move(options), clock, random);
  journal->add(fold);
  journal->add(projection);
  ASSERT_TRUE(journal->open().has_value());
  for (int i = 0; i < 3; ++i) {
    if (i == 1) meeting.wait(meeting.projecting, 1);
    TaskGroup group;
    group.spawn(threads.executor(0), append_some(*journal, 1));
    group.join();
  }
  journal->stop();
  EXPECT_EQ(projection.early, 0);
  threads.stop();
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace gantry::journal
