// Every operation of a recorded workload fails once, in every way; after each, what was acknowledged is there, what
// was refused is not, and the folds are the folds over what is there.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "journal/journal_testing.h"

namespace gantry::journal {
namespace {

constexpr int writers = 4;
constexpr int appends_each = 12;

/// What is around every life of a journal; `cipher` null for a plain one.
struct World {
  Clock& clock;
  Random& random;
  PayloadCipher* cipher = nullptr;
};

Options small_options(const World& world) {
  Options options = memory_journal_options();
  options.cipher = world.cipher;
  options.segment_size = kibibytes(16);
  options.group_size = kibibytes(8);
  options.entry_size = kibibytes(4);
  options.checkpoint_every = kibibytes(8);
  options.housekeeping_every = std::chrono::milliseconds(1);
  options.probe_every = std::chrono::milliseconds(1);
  return options;
}

/// What the appenders were told. Thread-safe.
struct Ledger {
  std::mutex mutex;
  std::map<uint64_t, std::string> acknowledged;  // seq → payload
  std::set<std::string> refused;                 // payloads that must never appear
  std::set<std::string> doubtful;
  std::vector<std::vector<std::string>> batches;
  std::vector<std::pair<BlobId, std::string>> blobs;  // acknowledged, with their content
  std::atomic<int> other_errors = 0;
};

void note(Ledger& ledger, const std::vector<std::string>& payloads, const Result<std::vector<Appended>>& result) {
  std::lock_guard lock(ledger.mutex);
  if (result) {
    for (size_t i = 0; i < payloads.size(); ++i) ledger.acknowledged[(*result)[i].seq] = payloads[i];
    return;
  }
  if (result.error().id() == ErrorId::GR0101)
    ledger.refused.insert(payloads.begin(), payloads.end());
  else if (result.error().id() == ErrorId::GR0102)
    ledger.doubtful.insert(payloads.begin(), payloads.end());
  else
    ++ledger.other_errors;
}

// Payloads differ in length, so that frames straddle sectors in every way.
std::string payload_of(int round, int writer, int index) {
  std::string payload = fmt::format("{}/{}/{} ", round, writer, index);
  payload.append(static_cast<size_t>((writer * 977 + index * 331) % 1500), static_cast<char>('a' + index % 26));
  return payload;
}

Task<void> write_some(Journal& journal, Ledger& ledger, int round, int writer) {
  for (int i = 0; i < appends_each; ++i) {
    std::vector<std::string> payloads{payload_of(round, writer, i)};
    if (i % 3 == 2) payloads.push_back(payloads[0] + " and its second half");
    std::vector<Entry> entries;
    for (const std::string& payload : payloads)
      entries.push_back(entry_of(payload, {}, i % 2 == 0 ? Priority::finish : Priority::accept));
    if (payloads.size() > 1) {
      std::lock_guard lock(ledger.mutex);
      ledger.batches.push_back(payloads);
    }
    auto result = co_await journal.append_many(std::move(entries));
    note(ledger, payloads, result);
  }
}

void write_blobs(Journal& journal, Ledger& ledger, int round) {
  for (int i = 0; i < 3; ++i) {
    const std::string content = fmt::format("blob {} of {} ", i, i == 2 ? 0 : round) + std::string(3000, 'b');
    auto writer = journal.blobs().create(Scope::standard());
    if (!writer || !(*writer)->write(content)) continue;
    auto ref = (*writer)->finish();
    if (!ref) continue;
    std::lock_guard lock(ledger.mutex);
    ledger.blobs.emplace_back(ref->id, content);
  }
}

/// Appenders on several threads, blobs, and the housekeeping that runs by itself.
void run_workload(Journal& journal, Appender& appender, Ledger& ledger, int round) {
  for (int i = 0; i < writers; ++i) appender.group().spawn(appender.next(), write_some(journal, ledger, round, i));
  write_blobs(journal, ledger, round);
  ASSERT_TRUE(eventually([&] { return appender.group().size() == 0; }));
}

void expect_faithful(const Ledger& ledger, Journal& journal, const ChainFold& fold) {
  auto all = read_all(journal);
  ASSERT_TRUE(all) << all.error().reason();
  ChainFold::State expected;
  std::map<std::string, uint64_t> found;
  uint64_t next = 1;
  for (const auto& [seq, payload] : *all) {
    EXPECT_EQ(seq, next++);
    ChainFold::step(expected, seq, payload);
    EXPECT_TRUE(found.emplace(payload, seq).second) << "twice: " << payload.substr(0, 12);
    EXPECT_FALSE(ledger.refused.contains(payload)) << "refused but stored: " << payload.substr(0, 12);
  }
  EXPECT_EQ(fold.state(), expected);
  for (const auto& [seq, payload] : ledger.acknowledged) {
    ASSERT_TRUE(found.contains(payload)) << "lost: " << payload.substr(0, 12);
    EXPECT_EQ(found[payload], seq);
  }
  for (const auto& batch : ledger.batches) {
    EXPECT_EQ(found.contains(batch[0]), found.contains(batch[1])) << "half a batch: " << batch[0].substr(0, 12);
    if (found.contains(batch[0])) EXPECT_EQ(found[batch[0]] + 1, found[batch[1]]);
  }
  for (const auto& [id, content] : ledger.blobs) {
    auto read = journal.blobs().read(id, mebibytes(1));
    ASSERT_TRUE(read) << read.error().reason();
    EXPECT_EQ(*read, content);
  }
  EXPECT_EQ(ledger.other_errors, 0);
}

enum class Form { plain, sealed };

class FaultTest : public testing::TestWithParam<std::tuple<FaultKind, Form>> {
 protected:
  World world() { return {clock_, random_, std::get<Form>(GetParam()) == Form::sealed ? &cipher_ : nullptr}; }
  SystemClock clock_;
  SeededRandom random_{1};
  FakeCipher cipher_;
};

uint64_t count_operations(const World& world) {
  MemoryDisk disk;
  Appender appender;
  Ledger ledger;
  ChainFold fold;
  auto journal = make_memory_journal(disk, small_options(world), world.clock, world.random);
  journal->add(fold);
  EXPECT_TRUE(journal->open());
  run_workload(*journal, appender, ledger, 0);
  journal->stop();
  EXPECT_EQ(ledger.refused.size() + ledger.doubtful.size(), 0u);
  return disk.operations();
}

// One life with a fault; false if the journal could not even be opened.
void live_with_fault(MemoryDisk& disk, const World& world, Appender& appender, Ledger& ledger, bool cut) {
  ChainFold fold;
  auto journal = make_memory_journal(disk, small_options(world), world.clock, world.random);
  journal->add(fold);
  if (!journal->open()) return;
  run_workload(*journal, appender, ledger, 0);
  if (!cut) {
    // The trouble is over: service must come back by itself.
    const std::string payload = "after the fault";
    EXPECT_TRUE(eventually([&] {
      auto result = appender.append_many(*journal, {entry_of(payload)});
      if (result) note(ledger, {payload}, result);
      return result.has_value();
    }));
    EXPECT_EQ(journal->health(), Health::ready);
  }
  journal->stop();
}

void check_one(uint64_t at, FaultKind kind, uint64_t length, int number, const World& world) {
  SCOPED_TRACE(fmt::format("operation {} kind {} length {} errno {}", at, static_cast<int>(kind), length, number));
  MemoryDisk disk(at * 7 + static_cast<uint64_t>(kind));
  Appender appender;
  Ledger ledger;
  disk.plan({.kind = kind, .at = at, .length = length, .number = number});
  live_with_fault(disk, world, appender, ledger, kind == FaultKind::cut);
  // What an appender was told after the power was gone reached nobody.
  if (disk.is_cut()) ledger.refused.clear();
  disk.restore_power(kind == FaultKind::cut && at % 3 == 0 ? Loss::none : Loss::some);

  // Twice: a recovery must not undo or redo anything either, and what it finds must be a base to go on from.
  for (int life = 1; life <= 2; ++life) {
    ChainFold fold;
    auto journal = make_memory_journal(disk, small_options(world), world.clock, world.random);
    journal->add(fold);
    auto opened = journal->open();
    ASSERT_TRUE(opened) << opened.error().reason();
    expect_faithful(ledger, *journal, fold);
    run_workload(*journal, appender, ledger, life);
    expect_faithful(ledger, *journal, fold);
    if (life == 1) {
      // The second recovery follows another crash, not a clean stop.
      disk.plan({.kind = FaultKind::cut, .at = disk.operations(), .length = 1, .number = 5});
    }
    journal->stop();
    disk.restore_power(Loss::some);
  }
}

TEST_P(FaultTest, LosesNothingAcknowledgedAtAnyOperation) {
  const uint64_t operations = count_operations(world());
  ASSERT_GT(operations, 60u);
  // Beyond the end too: the order of threads makes the number vary.
  for (uint64_t at = 0; at < operations + 20 && !HasFailure(); ++at)
    check_one(at, std::get<FaultKind>(GetParam()), 1, 5, world());
}

std::string name_of(const testing::TestParamInfo<FaultTest::ParamType>& info) {
  const std::string form = std::get<Form>(info.param) == Form::sealed ? "Sealed" : "";
  switch (std::get<FaultKind>(info.param)) {
    case FaultKind::fail:
      return form + "Fail";
    case FaultKind::tear:
      return form + "Tear";
    default:
      return form + "Cut";
  }
}
INSTANTIATE_TEST_SUITE_P(Kinds, FaultTest,
                         testing::Combine(testing::Values(FaultKind::fail, FaultKind::tear, FaultKind::cut),
                                          testing::Values(Form::plain, Form::sealed)),
                         name_of);

TEST(FaultsInARow, SurvivesOutagesOfManyOperationsThatBeginAnywhere) {
  SystemClock clock;
  SeededRandom random(1);
  const World world{clock, random};
  const uint64_t operations = count_operations(world);
  constexpr int enospc = 28;
  for (uint64_t at = 0; at < operations && !testing::Test::HasFailure(); at += 3) {
    check_one(at, FaultKind::fail, 25, enospc, world);
    check_one(at, FaultKind::tear, 25, 5, world);
  }
}

}  // namespace
}  // namespace gantry::journal
