// For tests: the real journal on a disk in memory that fails on command.
#pragma once

#include <map>
#include <mutex>

#include "journal/journal.h"
#include "journal/memory_disk.h"

namespace gantry::journal {

/// A cipher that hides and checks as a real one does, with keys that anybody can guess: for tests of what is sealed
/// when. Counts what it was asked for. Thread-safe.
class FakeCipher final : public PayloadCipher {
 public:
  bool is_ready(const Scope& scope) const override;
  Task<Result<void>> prepare(Scope scope) override;
  Result<void> prepare_blocking(const Scope& scope) override;
  Result<std::string> seal(const Scope& scope, std::string_view context, std::string_view plaintext) override;
  Result<std::string> open(const Scope& scope, std::string_view context, std::string_view sealed) override;

  /// What is sealed from now on has another key; what was sealed can still be opened.
  void rotate();
  uint64_t opened() const;

 private:
  mutable std::mutex mutex_;
  std::map<Scope, uint32_t> newest_;
  uint64_t seals_ = 0;
  uint64_t opened_ = 0;
};

/// The driver `segments` on a memory disk, with small segments and short waits. `disk`, `clock` and
/// `random` outlive it. Several may follow each other on one disk, like processes.
std::unique_ptr<Journal> make_memory_journal(MemoryDisk& disk, Clock& clock, Random& random);
/// The options it uses, to start from.
Options memory_journal_options();
std::unique_ptr<Journal> make_memory_journal(MemoryDisk& disk, Options options, Clock& clock, Random& random);

}  // namespace gantry::journal
