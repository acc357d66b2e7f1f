#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

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

}  // namespace
}  // namespace gantry::journal
