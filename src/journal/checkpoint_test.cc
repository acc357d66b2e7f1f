// When checkpoints are taken, and that nobody waits for one.
#include <gtest/gtest.h>

#include <condition_variable>

#include "journal/journal_test_fixture.h"

namespace gantry::journal {
namespace {

// Remembers every payload, so that its state is as large as the log, and lets its snapshot be taken only when told.
class LargeFold final : public Fold {
 public:
  enum class Taken { whole, in_pieces };
  explicit LargeFold(Taken how) : how_(how) {}
  std::string_view name() const override { return "large"; }
  void apply(const Record& record) override {
    std::lock_guard lock(mutex_);
    state_ += fmt::format("{}\n", record.payload);
  }
  std::string checkpoint() override { return state(); }
  std::unique_ptr<Snapshot> snapshot() override {
    if (how_ == Taken::whole) return Fold::snapshot();
    return std::make_unique<Pieces>(*this, state());
  }
  Result<void> restore(std::string_view bytes) override {
    std::lock_guard lock(mutex_);
    state_ = bytes;
    return {};
  }
  void reset() override {
    std::lock_guard lock(mutex_);
    state_.clear();
  }
  bool needs(uint64_t, uint64_t) override { return false; }

  std::string state() const {
    std::lock_guard lock(mutex_);
    return state_;
  }
  void hold(bool held) {
    std::lock_guard lock(mutex_);
    held_ = held;
    released_.notify_all();
  }
  bool is_waited_for() const {
    std::lock_guard lock(mutex_);
    return waiting_;
  }

 private:
  class Pieces final : public Snapshot {
   public:
    Pieces(LargeFold& fold, std::string state) : fold_(fold), rest_(std::move(state)) {}
    bool append_to(std::string& out) override {
      std::unique_lock lock(fold_.mutex_);
      fold_.waiting_ = true;
      fold_.released_.wait(lock, [this] { return !fold_.held_; });
      fold_.waiting_ = false;
      out += rest_.substr(0, 10'000);
      rest_.erase(0, 10'000);
      return !rest_.empty();
    }

   private:
    LargeFold& fold_;
    std::string rest_;
  };

  const Taken how_;
  mutable std::mutex mutex_;
  std::condition_variable released_;
  bool held_ = false, waiting_ = false;
  std::string state_;
};

class CheckpointTest : public JournalTest {
 protected:
  // A checkpoint begins within it.
  void append_a_segment(Journal& journal) {
    for (int i = 0; i < 10; ++i)
      ASSERT_TRUE(appender_.append(journal, fmt::format("{} {}", number_++, std::string(kibibytes(10).count, 'x'))));
  }
  int number_ = 0;
};

TEST_F(CheckpointTest, AppendsGoOnWhileOneIsTakenAndItIsOfItsMoment) {
  std::string all;
  {
    LargeFold fold(LargeFold::Taken::in_pieces);
    auto journal = make();
    journal->add(fold);
    ASSERT_TRUE(journal->open());
    append_a_segment(*journal);
    fold.hold(true);
    while (!fold.is_waited_for() && !HasFatalFailure()) append_a_segment(*journal);
    // Whoever waited for the checkpoint would wait for ever.
    append_a_segment(*journal);
    const uint64_t written = journal->stats().checkpoints;
    fold.hold(false);
    ASSERT_TRUE(eventually([&] { return journal->stats().checkpoints > written; }));
    all = fold.state();
    // No checkpoint at the end: what follows begins at the one that was held up, and reads the log behind it.
    disk_.restore_power(Loss::some);
    journal->stop();
  }
  LargeFold again(LargeFold::Taken::in_pieces);
  auto journal = make();
  journal->add(again);
  ASSERT_TRUE(journal->open());
  EXPECT_EQ(again.state(), all);
  journal->stop();
}

TEST_F(CheckpointTest, OfALargeStateComesAfterTwiceItsSizeOfLog) {
  LargeFold fold(LargeFold::Taken::whole);
  auto journal = make();
  journal->add(fold);
  ASSERT_TRUE(journal->open());
  append_a_segment(*journal);
  ASSERT_TRUE(eventually([&] { return journal->stats().checkpoints > 0; }));
  for (int i = 0; i < 39; ++i) append_a_segment(*journal);
  // Of 4 MB, after some 0.06, 0.2, 0.5 and 1.6.
  EXPECT_LE(journal->stats().checkpoints, 8u);
  journal->stop();
}

TEST_F(CheckpointTest, OfASmallStateComesWithEverySegment) {
  ChainFold fold;
  auto journal = make();
  journal->add(fold);
  ASSERT_TRUE(journal->open());
  // One that is due while the one before is written comes with the next append.
  EXPECT_TRUE(eventually([&] {
    append_a_segment(*journal);
    return HasFatalFailure() || journal->stats().checkpoints > 20;
  }));
  journal->stop();
}

}  // namespace
}  // namespace gantry::journal
