// The fixture of the tests that see the journal through its door.
#pragma once

#include <gtest/gtest.h>

#include <atomic>

#include "journal/journal_testing.h"

namespace gantry::journal {

class JournalTest : public testing::Test {
 protected:
  std::unique_ptr<Journal> make(Options options = memory_journal_options()) {
    options.notify = [this](Severity severity, std::string_view text) {
      std::lock_guard lock(notices_mutex_);
      notices_.emplace_back(severity, text);
    };
    return make_memory_journal(disk_, std::move(options), clock_, random_);
  }
  std::unique_ptr<Journal> open(Options options = memory_journal_options()) {
    auto journal = make(std::move(options));
    auto opened = journal->open();
    EXPECT_TRUE(opened) << opened.error().reason();
    return journal;
  }
  /// For journals that no fold or projection needs and that a test reads: the housekeeping, which would take away what
  /// nobody needs under its reader, does not run by itself.
  static Options options_that_keep_all() {
    Options options = memory_journal_options();
    options.housekeeping_every = std::chrono::hours(1);
    return options;
  }
  bool was_told(Severity severity, std::string_view part) {
    std::lock_guard lock(notices_mutex_);
    for (const auto& [one, text] : notices_)
      if (one == severity && text.find(part) != text.npos) return true;
    return false;
  }

  MemoryDisk disk_;
  SystemClock clock_;
  SeededRandom random_{1};
  Appender appender_;
  std::mutex notices_mutex_;
  std::vector<std::pair<Severity, std::string>> notices_;
};

inline Task<void> append_in_a_row(Journal& journal, std::string name, int count, std::atomic<int>& failures) {
  for (int i = 0; i < count; ++i)
    if (!co_await journal.append(entry_of(fmt::format("{} {}", name, i)))) ++failures;
}

}  // namespace gantry::journal
