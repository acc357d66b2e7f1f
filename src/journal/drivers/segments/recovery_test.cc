#include "journal/drivers/segments/recovery.h"

#include <gtest/gtest.h>

#include "journal/drivers/segments/compressed.h"
#include "journal/drivers/segments/segments.h"
#include "journal/journal_testing.h"

namespace gantry::journal::segments {
namespace {

const std::string first_segment = "segments/00000000000000000001.log";

/// Lives of a journal on one disk. No compression and no housekeeping, so that the files stay put.
class RecoveryTest : public testing::Test {
 protected:
  static Options options() {
    Options options = memory_journal_options();
    options.compression = Compression::off;
    options.housekeeping_every = std::chrono::hours(1);
    options.checkpoint_every = gibibytes(1);
    return options;
  }

  /// Appends one by one, so that each is a group, and dies without a checkpoint at the end.
  std::vector<Appended> write_and_crash(int count, size_t size = 200) {
    std::vector<Appended> receipts;
    auto journal = make_memory_journal(disk_, options(), clock_, random_);
    EXPECT_TRUE(journal->open());
    for (int i = 0; i < count; ++i) {
      auto receipt = appender_.append(*journal, fmt::format("{:04} {}", i, std::string(size, 'x')));
      EXPECT_TRUE(receipt);
      if (receipt) receipts.push_back(*receipt);
    }
    disk_.plan({.kind = FaultKind::cut, .at = disk_.operations()});
    journal->stop();
    disk_.restore_power(Loss::none);
    return receipts;
  }

  Result<uint64_t> reopen() {
    ChainFold fold;
    auto journal = make_memory_journal(disk_, options(), clock_, random_);
    journal->add(fold);
    GANTRY_TRY_VOID(journal->open());
    const uint64_t seq = journal->durable_seq();
    EXPECT_EQ(fold.state().last_seq, seq);
    journal->stop();
    return seq;
  }

  void expect_data_loss(std::string_view part) {
    auto opened = reopen();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code(), Code::data_loss);
    EXPECT_EQ(opened.error().id(), ErrorId::GR0103);
    EXPECT_NE(opened.error().reason().find(part), std::string::npos) << opened.error().reason();
  }

  void drop_checkpoints() {
    for (const std::string& name : disk_.names("checkpoints")) disk_.remove_file("checkpoints/" + name);
  }

  MemoryDisk disk_;
  SystemClock clock_;
  SeededRandom random_{3};
  Appender appender_;
};

TEST_F(RecoveryTest, FindsEveryRecordAfterACrash) {
  write_and_crash(20);
  EXPECT_EQ(reopen().value_or(0), 20u);
  // And again after the clean stop of that life.
  EXPECT_EQ(reopen().value_or(0), 20u);
}

TEST_F(RecoveryTest, CutsALastRecordThatIsDamaged) {
  // Nothing was written behind it: it cannot be told from a write that was never finished.
  const auto receipts = write_and_crash(20);
  disk_.corrupt(first_segment, receipts.back().location.offset + 50, 1);
  EXPECT_EQ(reopen().value_or(0), 19u);
}

TEST_F(RecoveryTest, ReportsBitRotInTheMiddleOfTheActiveSegment) {
  drop_checkpoints();
  const auto receipts = write_and_crash(20);
  drop_checkpoints();
  for (size_t record : {size_t{0}, size_t{7}, size_t{18}}) {
    const uint64_t offset = receipts[record].location.offset;
    for (uint64_t at : {offset, offset + 4, offset + 9, offset + 60}) {
      SCOPED_TRACE(fmt::format("record {} byte {}", record, at - offset));
      disk_.corrupt(first_segment, at, 0x10);
      expect_data_loss(fmt::format("segment 1 is damaged at offset {}", offset));
      disk_.corrupt(first_segment, at, 0x10);
    }
  }
  EXPECT_EQ(reopen().value_or(0), 20u);
}

TEST_F(RecoveryTest, ReportsARecordThatBecameZeros) {
  const auto receipts = write_and_crash(20);
  drop_checkpoints();
  const Location lost = receipts[5].location;
  const std::string content = disk_.content(first_segment);
  for (uint64_t at = lost.offset; at < lost.offset + lost.size; ++at)
    disk_.corrupt(first_segment, at, static_cast<uint8_t>(content[at]));
  expect_data_loss(fmt::format("offset {}", lost.offset));
}

TEST_F(RecoveryTest, ReportsBitRotInASealedSegmentOfTheTail) {
  const auto receipts = write_and_crash(2000);
  drop_checkpoints();
  ASSERT_GT(receipts.back().location.segment, 2u);
  // Also in its last record, which in the active segment would be a torn write.
  size_t last = 0;
  while (receipts[last + 1].location.segment == 1) ++last;
  disk_.corrupt(first_segment, receipts[last].location.offset + 100, 4);
  expect_data_loss(fmt::format("segment 1 is damaged at offset {}", receipts[last].location.offset));
}

TEST_F(RecoveryTest, ReportsASegmentThatIsMissing) {
  write_and_crash(2000);
  disk_.remove_file("segments/00000000000000000002.log");
  expect_data_loss("segment 2 is missing");
}

TEST_F(RecoveryTest, ReportsASegmentWithoutAReadableHeader) {
  write_and_crash(2000);
  disk_.corrupt("segments/00000000000000000002.log", 30, 1);
  EXPECT_EQ(reopen().value_or(0), 2000u) << "the second copy of the header is there";
  disk_.corrupt("segments/00000000000000000002.log", header_copy_size + 30, 1);
  expect_data_loss("segment 2 is damaged at offset 0");
}

TEST_F(RecoveryTest, ReportsALogThatEndsBeforeItsCheckpoint) {
  ASSERT_EQ(write_and_crash(5).size(), 5u);
  ASSERT_EQ(reopen().value_or(0), 5u);
  // The clean stop left a checkpoint at 5 in the first segment; now that segment is gone with all behind it.
  for (const std::string& name : disk_.names("segments")) disk_.remove_file("segments/" + name);
  expect_data_loss("a checkpoint was written behind record 5");
}

TEST_F(RecoveryTest, UsesTheOlderCheckpointIfTheNewestIsDamaged) {
  write_and_crash(10);
  ASSERT_EQ(reopen().value_or(0), 10u);
  write_and_crash(10);
  ASSERT_EQ(reopen().value_or(0), 20u);
  auto names = disk_.names("checkpoints");
  ASSERT_GE(names.size(), 2u);
  disk_.corrupt("checkpoints/" + names.back(), 40, 1);
  EXPECT_EQ(reopen().value_or(0), 20u);
}

TEST_F(RecoveryTest, RefusesFilesOfANewerFormat) {
  write_and_crash(10);
  ASSERT_EQ(reopen().value_or(0), 10u);
  auto expect_newer = [&](const std::string& name, std::vector<uint64_t> places) {
    for (uint64_t at : places) disk_.corrupt(name, at, 0x40);
    auto opened = reopen();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().id(), ErrorId::GR0104) << opened.error().reason();
    for (uint64_t at : places) disk_.corrupt(name, at, 0x40);
  };
  expect_newer(first_segment, {8, header_copy_size + 8});
  expect_newer("checkpoints/" + disk_.names("checkpoints").back(), {8});
  EXPECT_EQ(reopen().value_or(0), 10u);
}

TEST_F(RecoveryTest, TakesNoFrameInsideAPayloadForARecord) {
  // A caller who knows the format sends the bytes of a frame, right behind which the log happens to be torn.
  std::string forged;
  encode_frame(entry_of("forged"), {.seq = 3, .flags = flag_group_start, .salt_crc = salt_crc(0)}, forged);
  auto journal = make_memory_journal(disk_, options(), clock_, random_);
  ASSERT_TRUE(journal->open());
  ASSERT_TRUE(appender_.append(*journal, "first"));
  auto carrier = appender_.append(*journal, std::string(3, 'x') + forged);
  ASSERT_TRUE(carrier);
  disk_.plan({.kind = FaultKind::cut, .at = disk_.operations()});
  journal->stop();
  disk_.restore_power(Loss::none);
  disk_.corrupt(first_segment, carrier->location.offset + 45, 1);
  EXPECT_EQ(reopen().value_or(0), 1u) << "the torn record is cut, and what is inside it proves nothing";
}

TEST_F(RecoveryTest, CutsAnAppendManyThatIsNotWhole) {
  auto journal = make_memory_journal(disk_, options(), clock_, random_);
  ASSERT_TRUE(journal->open());
  ASSERT_TRUE(appender_.append(*journal, "first"));
  auto many = appender_.append_many(*journal, {entry_of("a"), entry_of("b"), entry_of("c")});
  ASSERT_TRUE(many);
  disk_.plan({.kind = FaultKind::cut, .at = disk_.operations()});
  journal->stop();
  disk_.restore_power(Loss::none);
  disk_.corrupt(first_segment, many->back().location.offset + 50, 1);
  EXPECT_EQ(reopen().value_or(0), 1u);
  // Its first two frames must not come back behind the record that is written next.
  write_and_crash(1, 1);
  EXPECT_EQ(reopen().value_or(0), 2u);
}

TEST_F(RecoveryTest, DoesNotLetATornTailComeBackBehindNewRecords) {
  // Equal sizes: the new record ends exactly where a stale one begins.
  auto journal = make_memory_journal(disk_, options(), clock_, random_);
  ASSERT_TRUE(journal->open());
  ASSERT_TRUE(appender_.append(*journal, "0000"));
  auto many = appender_.append_many(*journal, {entry_of("1111"), entry_of("2222")});
  ASSERT_TRUE(many);
  disk_.plan({.kind = FaultKind::cut, .at = disk_.operations()});
  journal->stop();
  disk_.restore_power(Loss::none);
  disk_.corrupt(first_segment, many->front().location.offset + 50, 1);
  ASSERT_EQ(reopen().value_or(0), 1u);

  auto second = make_memory_journal(disk_, options(), clock_, random_);
  ASSERT_TRUE(second->open());
  ASSERT_TRUE(appender_.append(*second, "new!"));
  disk_.plan({.kind = FaultKind::cut, .at = disk_.operations()});
  second->stop();
  disk_.restore_power(Loss::none);
  EXPECT_EQ(reopen().value_or(0), 2u);
}

TEST_F(RecoveryTest, ReportsADamagedRecordToTheReaderAndTheCallOfRead) {
  const auto receipts = write_and_crash(2000);
  ASSERT_EQ(reopen().value_or(0), 2000u);
  // Before the checkpoint: a start does not look there.
  disk_.corrupt(first_segment, receipts[3].location.offset + 60, 1);
  auto journal = make_memory_journal(disk_, options(), clock_, random_);
  ASSERT_TRUE(journal->open());
  auto payload = journal->read(receipts[3].location);
  ASSERT_FALSE(payload);
  EXPECT_EQ(payload.error().id(), ErrorId::GR0103);
  auto reader = journal->reader(1);
  auto before = reader->next(100);
  ASSERT_TRUE(before);
  EXPECT_EQ(before->size(), 3u);
  auto at = reader->next(100);
  ASSERT_FALSE(at);
  EXPECT_NE(at.error().reason().find(fmt::format("segment 1 is damaged at offset {}", receipts[3].location.offset)),
            std::string::npos);
  journal->stop();
}

TEST_F(RecoveryTest, RefusesToCompressADamagedSegment) {
  const auto receipts = write_and_crash(2000);
  disk_.corrupt(first_segment, receipts[3].location.offset + 60, 1);
  ASSERT_EQ(reopen().error().id(), ErrorId::GR0103);
  auto storage = disk_.storage();
  SegmentHeader header;
  ASSERT_EQ(decode_header(disk_.content(first_segment), header), HeaderStatus::valid);
  SegmentHeader next;
  ASSERT_EQ(decode_header(disk_.content("segments/00000000000000000002.log"), next), HeaderStatus::valid);
  Segment segment(*storage, header, {next.previous_end, next.first_seq - 1}, Form::raw, nullptr);
  const std::atomic<bool> stop = false;
  auto compressed = compress(*storage, segment, stop);
  ASSERT_FALSE(compressed);
  EXPECT_EQ(compressed.error().id(), ErrorId::GR0103);
  for (const std::string& name : disk_.names("segments")) EXPECT_TRUE(name.ends_with(".log")) << name;
}

TEST_F(RecoveryTest, RefusesOptionsThatCannotWork) {
  struct Case {
    const char* name;
    void (*change)(Options&);
  };
  const Case cases[] = {
      {"segment too small", [](Options& options) { options.segment_size = {4096}; }},
      {"segment not aligned", [](Options& options) { options.segment_size = {100'000}; }},
      {"group above segment", [](Options& options) { options.group_size = gibibytes(1); }},
      {"entry above group", [](Options& options) { options.entry_size = mebibytes(100); }},
  };
  for (const Case& one : cases) {
    Options changed = options();
    one.change(changed);
    auto opened = make_memory_journal(disk_, changed, clock_, random_)->open();
    ASSERT_FALSE(opened) << one.name;
    EXPECT_EQ(opened.error().code(), Code::invalid) << one.name;
  }
}

}  // namespace
}  // namespace gantry::journal::segments
