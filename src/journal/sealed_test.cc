// What a cipher hides and what it leaves as it was.
#include <gtest/gtest.h>

#include "journal/drivers/segments/format.h"
#include "journal/journal_test_fixture.h"

namespace gantry::journal {
namespace {

constexpr std::string_view marker = "the-secret-marker";

class SealedTest : public JournalTest {
 protected:
  Options options(PayloadCipher* cipher) {
    Options options = memory_journal_options();
    options.cipher = cipher;
    return options;
  }
  std::unique_ptr<Journal> open_with(PayloadCipher* cipher, Fold* fold = nullptr) {
    auto journal = make(options(cipher));
    if (fold != nullptr) journal->add(*fold);
    auto opened = journal->open();
    EXPECT_TRUE(opened) << opened.error().reason();
    return journal;
  }
  /// The files that hold the marker.
  std::vector<std::string> readable_files() {
    std::vector<std::string> found;
    std::vector<std::string> directories{"segments", "checkpoints", "blobs/unfinished"};
    for (int byte = 0; byte < 256; ++byte) directories.push_back(fmt::format("blobs/{:02x}", byte));
    for (const std::string& directory : directories)
      for (const std::string& name : disk_.names(directory))
        if (disk_.content(fmt::format("{}/{}", directory, name)).find(marker) != std::string::npos)
          found.push_back(name);
    return found;
  }
  BlobRef write_blob(Journal& journal, std::string_view content) {
    auto writer = journal.blobs().create(Scope::standard());
    EXPECT_TRUE(writer && (*writer)->write(content));
    auto ref = (*writer)->finish();
    EXPECT_TRUE(ref);
    return ref.value_or(BlobRef{});
  }

  FakeCipher cipher_;
};

/// A fold whose state is the last payload.
class LastFold final : public Fold {
 public:
  std::string_view name() const override { return "last"; }
  void apply(const Record& record) override { last = record.payload; }
  std::string checkpoint() override { return last; }
  Result<void> restore(std::string_view bytes) override {
    last = bytes;
    return {};
  }
  void reset() override { last.clear(); }
  bool needs(uint64_t, uint64_t) override { return true; }
  std::string last;
};

void write_everything(Journal& journal, Appender& appender) {
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(appender.append(journal, entry_of(fmt::format("{} {} ", marker, i), std::string(marker))));
  auto writer = journal.blobs().create(Scope::standard());
  ASSERT_TRUE(writer && (*writer)->write(marker) && (*writer)->finish());
}

TEST_F(SealedTest, NothingThatWasWrittenIsReadableOnDisk) {
  LastFold fold;
  auto journal = open_with(&cipher_, &fold);
  write_everything(*journal, appender_);
  journal->stop();
  EXPECT_FALSE(disk_.names("checkpoints").empty());
  EXPECT_EQ(readable_files(), std::vector<std::string>{});
}

TEST_F(SealedTest, AllOfItIsReadableWithoutACipher) {
  LastFold fold;
  auto journal = open_with(nullptr, &fold);
  write_everything(*journal, appender_);
  journal->stop();
  EXPECT_GE(readable_files().size(), 3u) << "a segment, a checkpoint and a blob";
}

TEST_F(SealedTest, FoldsProjectionsReadersAndReadsSeeThePlaintext) {
  LastFold fold;
  RowsProjection rows;
  auto journal = make(options(&cipher_));
  journal->add(fold);
  journal->add(rows);
  ASSERT_TRUE(journal->open());
  auto receipt = appender_.append(*journal, entry_of("head ", "body"));
  ASSERT_TRUE(receipt);
  EXPECT_EQ(fold.last, "head body");
  EXPECT_EQ(journal->read(receipt->location).value_or(""), "head body");
  auto all = read_all(*journal);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->back().second, "head body");
  EXPECT_TRUE(eventually([&] { return rows.rows() == std::vector<std::string>{"head body"}; }));
  journal->stop();
}

TEST_F(SealedTest, TheThreadThatWritesOpensNothing) {
  ChainFold fold;
  auto journal = open_with(&cipher_, &fold);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(appender_.append(*journal, "payload"));
  EXPECT_EQ(fold.state().count, 50u);
  EXPECT_EQ(cipher_.opened(), 0u);
  journal->stop();
}

TEST_F(SealedTest, RecoveryReplaysWhatLiesBehindTheCheckpoint) {
  ChainFold before;
  auto journal = open_with(&cipher_, &before);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(appender_.append(*journal, fmt::format("payload {}", i)));
  ASSERT_TRUE(journal->tidy_up());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(appender_.append(*journal, fmt::format("tail {}", i)));
  // The next operation must be that of stop(), and not one that prepares a segment.
  ASSERT_TRUE(eventually([&] { return journal->usage()->prepared_on_disk == kibibytes(512); }));
  disk_.plan({.kind = FaultKind::cut, .at = disk_.operations()});
  journal->stop();
  disk_.restore_power(Loss::none);
  ChainFold after;
  auto next = open_with(&cipher_, &after);
  EXPECT_EQ(after.state(), before.state());
  EXPECT_EQ(after.applied(), 10u);
  next->stop();
}

TEST_F(SealedTest, APlainJournalGoesOnSealedAndKeepsWhatItHolds) {
  ChainFold fold;
  auto journal = open_with(nullptr, &fold);
  auto old = appender_.append(*journal, "written in the clear");
  ASSERT_TRUE(old);
  journal->stop();

  ChainFold next_fold;
  journal = open_with(&cipher_, &next_fold);
  EXPECT_EQ(next_fold.state(), fold.state());
  EXPECT_EQ(journal->read(old->location).value_or(""), "written in the clear");
  auto sealed = appender_.append(*journal, std::string(marker));
  ASSERT_TRUE(sealed);
  // An older program would take the sealed record of a plain segment for a payload.
  EXPECT_GT(sealed->location.segment, old->location.segment);
  EXPECT_EQ(journal->read(sealed->location).value_or(""), marker);
  journal->stop();
  EXPECT_EQ(readable_files(), std::vector<std::string>{});
}

TEST_F(SealedTest, IsRefusedWithoutACipher) {
  ChainFold fold;
  auto journal = open_with(&cipher_, &fold);
  ASSERT_TRUE(appender_.append(*journal, "one"));
  journal->stop();
  // With a checkpoint, and from the records alone.
  for (bool with_checkpoint : {true, false}) {
    if (!with_checkpoint)
      for (const std::string& name : disk_.names("checkpoints")) disk_.remove_file("checkpoints/" + name);
    ChainFold other;
    auto plain = make(options(nullptr));
    plain->add(other);
    auto opened = plain->open();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().id(), ErrorId::GR1002) << opened.error().reason();
  }
}

// A start that takes the sealed checkpoint for a damaged one would report damage and not the missing key.
TEST_F(SealedTest, IsRefusedForTheLackOfACipherAlsoWhenOldSegmentsAreGone) {
  ChainFold fold;
  fold.need_only({});
  Options options_without_housekeeping = options_that_keep_all();
  options_without_housekeeping.cipher = &cipher_;
  auto journal = make(options_without_housekeeping);
  journal->add(fold);
  ASSERT_TRUE(journal->open());
  while (journal->usage()->segments.size() < 3) ASSERT_TRUE(appender_.append(*journal, std::string(20'000, 'g')));
  ASSERT_TRUE(journal->tidy_up());
  ASSERT_TRUE(journal->tidy_up());
  ASSERT_GT(journal->first_seq(), 1u);
  journal->stop();
  ChainFold other;
  auto plain = make(options(nullptr));
  plain->add(other);
  auto opened = plain->open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().id(), ErrorId::GR1002) << opened.error().reason();
}

TEST_F(SealedTest, AScopeGetsItsKeyAtItsFirstRecord) {
  auto journal = open_with(&cipher_);
  Entry entry = entry_of("payload");
  entry.scope = Scope{"acme", "support", "prod"};
  ASSERT_FALSE(cipher_.is_ready(entry.scope));
  auto receipt = appender_.append(*journal, entry);
  ASSERT_TRUE(receipt) << receipt.error().reason();
  EXPECT_TRUE(cipher_.is_ready(entry.scope));
  EXPECT_EQ(journal->read(receipt->location).value_or(""), "payload");
  EXPECT_TRUE(journal->blobs().create(Scope{"acme", "sales", "prod"}));
  journal->stop();
}

TEST_F(SealedTest, KeysOfBeforeARotationStillOpen) {
  auto journal = open_with(&cipher_);
  auto before = appender_.append(*journal, "before");
  cipher_.rotate();
  auto after = appender_.append(*journal, "after");
  ASSERT_TRUE(before && after);
  EXPECT_EQ(journal->read(before->location).value_or(""), "before");
  EXPECT_EQ(journal->read(after->location).value_or(""), "after");
  journal->stop();
}

TEST_F(SealedTest, SegmentsAreNotCompressed) {
  ChainFold fold;
  RowsProjection rows;
  rows.keep(true);
  auto journal = make(options(&cipher_));
  journal->add(fold);
  journal->add(rows);
  ASSERT_TRUE(journal->open());
  while (disk_.names("segments").size() < 4 || journal->usage()->segments.size() < 3)
    ASSERT_TRUE(appender_.append(*journal, std::string(20'000, 'c')));
  ASSERT_TRUE(journal->tidy_up());
  for (const SegmentInfo& segment : journal->usage()->segments) EXPECT_NE(segment.state, SegmentState::compressed);
  journal->stop();
}

TEST_F(SealedTest, AnEntryOfTheLargestSizeFits) {
  auto journal = open_with(&cipher_);
  const uint64_t largest = memory_journal_options().entry_size.count;
  EXPECT_TRUE(appender_.append(*journal, std::string(largest, 'l')));
  EXPECT_FALSE(appender_.append(*journal, std::string(largest + 1, 'l')));
  journal->stop();
}

TEST_F(SealedTest, APayloadCannotBeMovedToAnotherRecord) {
  using namespace segments;
  ASSERT_TRUE(cipher_.prepare_blocking(Scope::standard()));
  Entry entry = entry_of("payload");
  auto sealed = cipher_.seal(entry.scope, seal_context(entry.kind, entry.entity), "payload");
  ASSERT_TRUE(sealed);
  const std::string path = Scope::standard().path();
  const Frame right{
      .size = 100, .entity = entry.entity, .kind = entry.kind, .flags = flag_sealed, .scope = path, .payload = *sealed};
  EXPECT_TRUE(RecordMaker(&cipher_).make(right, 1, 1024));
  Frame other_entity = right, other_kind = right, other_scope = right;
  other_entity.entity[0] ^= 1;
  other_kind.kind = Kind{0x7f02};
  other_scope.scope = "default/default/prod";
  for (const Frame& frame : {other_entity, other_kind, other_scope}) {
    auto made = RecordMaker(&cipher_).make(frame, 1, 1024);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().id(), ErrorId::GR0103);
  }
}

TEST_F(SealedTest, BlobsOfEveryLengthComeBackAndHaveNoDuplicates) {
  auto journal = open_with(&cipher_);
  for (size_t size : {0u, 1u, 65'535u, 65'536u, 65'537u, 131'072u, 200'000u}) {
    std::string content(size, 'b');
    for (size_t i = 0; i < size; i += 7) content[i] = static_cast<char>('a' + i % 26);
    const BlobRef first = write_blob(*journal, content);
    const BlobRef second = write_blob(*journal, content);
    EXPECT_NE(first.id, second.id) << "equal contents must not be seen to be equal";
    EXPECT_EQ(first.size.count, size);
    EXPECT_EQ(journal->blobs().open(first.id).value()->size().count, size);
    EXPECT_EQ(journal->blobs().read(first.id, mebibytes(1)).value_or("missing"), content) << size;
  }
  EXPECT_EQ(journal->blobs().usage()->count, 14u);
  auto freed = journal->blobs().collect([](const BlobId&) { return false; }, {.grace = Duration::zero()});
  ASSERT_TRUE(freed);
  EXPECT_EQ(freed->count, 14u);
  journal->stop();
}

std::string blob_path(const BlobId& id) {
  const std::string hex = crypto::hex(id);
  return fmt::format("blobs/{}/{}.sealed", hex.substr(0, 2), hex.substr(2));
}

// Whoever changes a blob can also give it the name of what it has become: the chunks must tell.
TEST_F(SealedTest, ChunksOfABlobCannotBeMovedOrLeftOut) {
  auto journal = open_with(&cipher_);
  const std::string file = disk_.content(blob_path(write_blob(*journal, std::string(3 * 65'536, 'b')).id));
  const size_t header = 33 + Scope::standard().path().size();
  constexpr size_t chunk = 65'536 + PayloadCipher::overhead;
  ASSERT_EQ(file.size(), header + 3 * chunk);
  std::string swapped = file;
  std::swap_ranges(swapped.begin() + header, swapped.begin() + header + chunk, swapped.begin() + header + chunk);
  const std::string shortened = file.substr(0, header + 2 * chunk);
  const std::string other = disk_.content(blob_path(write_blob(*journal, std::string(3 * 65'536, 'b')).id));
  const std::string spliced = other.substr(0, header) + file.substr(header);
  auto storage = disk_.storage();
  for (const std::string& forged : {swapped, shortened, spliced}) {
    const BlobId id = crypto::sha256(forged);
    const std::string path = blob_path(id);
    ASSERT_TRUE(storage->make_directory(path.substr(0, 8)));
    auto out = storage->open(path, OpenMode::create);
    ASSERT_TRUE(out && (*out)->write(0, forged));
    auto read = journal->blobs().read(id, mebibytes(1));
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().id(), ErrorId::GR0103);
  }
  journal->stop();
}

}  // namespace
}  // namespace gantry::journal
