// What tests of the folders above share: a real journal and a real store in a directory of their own, and a way to wait
// for what their calls promise.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "async/async.h"
#include "base/base.h"
#include "journal/journal.h"
#include "store/store.h"

namespace gantry::journal {

/// A fixture. Whoever derives from it opens: `open_storage`, then what registers with the journal, then `open_journal`;
/// and closes: `stop_storage`, what it made, then `drop_storage`. The directory lives as long as the test.
class StorageTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "gantry-test-XXXXXX").string();
    // SAFETY: mkdtemp writes into its argument.
    directory_ = ::mkdtemp(pattern.data());
    threads_.start();
  }
  void TearDown() override {
    threads_.stop();
    std::filesystem::remove_all(directory_);
  }

  void open_storage(std::span<const store::Migrations> steps, Options options = {}) {
    auto database = store::open_sqlite(directory_ / "store.db", steps);
    ASSERT_TRUE(database.has_value()) << database.error().reason();
    database_ = std::move(*database);
    options.directory = directory_ / "journal";
    journal_ = make_segments(options, clock_, random_);
    blocking_ = std::make_unique<BlockingPool>(2, 100);
  }
  void open_journal() {
    auto opened = journal_->open();
    ASSERT_TRUE(opened.has_value()) << opened.error().reason();
  }
  void stop_storage() {
    journal_->stop();
    database_->stop();
    blocking_->stop();
  }
  void drop_storage() {
    journal_.reset();
    database_.reset();
    blocking_.reset();
  }

  /// The result of a call that is for I/O threads.
  template <class T>
  T wait(Task<T> task) {
    std::optional<T> slot;
    TaskGroup group;
    group.spawn(threads_.executor(0), store_result(std::move(task), slot));
    group.join();
    return std::move(*slot);
  }
  template <class T>
  static Task<void> store_result(Task<T> task, std::optional<T>& slot) {
    slot.emplace(co_await std::move(task));
  }
  /// Fails the test when it does not come true.
  bool eventually(const std::function<bool()>& condition) {
    const SteadyTime until = clock_.steady() + std::chrono::seconds(60);
    while (!condition()) {
      if (clock_.steady() > until) {
        ADD_FAILURE() << "the condition did not come true";
        return false;
      }
      wait(pause());
    }
    return true;
  }
  /// Until every projection has everything that is durable.
  void settle() {
    eventually([&] {
      for (const Lag& lag : journal_->lag())
        if (lag.reached < journal_->durable_seq()) return false;
      return true;
    });
  }
  static Task<int> pause() {
    co_await sleep_for(std::chrono::milliseconds(1));
    co_return 0;
  }

  Scope scope_ = Scope::standard();
  SystemClock clock_;
  SystemRandom random_;
  IoThreads threads_{2};
  std::filesystem::path directory_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<BlockingPool> blocking_;
};

}  // namespace gantry::journal
