#include "journal/drivers/segments/blob_store.h"

#include <gtest/gtest.h>

#include <thread>

#include "journal/memory_disk.h"

namespace gantry::journal::segments {
namespace {

class BlobTest : public testing::Test {
 protected:
  BlobTest() : storage_(disk_.storage()), blobs_(BlobParts{*storage_, clock_, random_}) { EXPECT_TRUE(blobs_.sweep()); }

  Result<BlobRef> write(std::string_view content) {
    GANTRY_TRY(auto writer, blobs_.create(Scope::standard()));
    // In pieces, as it streams in.
    for (size_t at = 0; at < content.size(); at += 1000) GANTRY_TRY_VOID(writer->write(content.substr(at, 1000)));
    return writer->finish();
  }
  std::string path_of(const BlobRef& ref) {
    const std::string hex = crypto::hex(ref.id);
    return "blobs/" + hex.substr(0, 2) + "/" + hex.substr(2);
  }

  MemoryDisk disk_;
  SystemClock clock_;
  SeededRandom random_{1};
  std::unique_ptr<Storage> storage_;
  BlobStore blobs_;
};

TEST_F(BlobTest, IsFoundUnderTheHashOfItsContent) {
  const std::string content(100'000, 'c');
  auto ref = write(content);
  ASSERT_TRUE(ref);
  EXPECT_EQ(ref->id, crypto::sha256(content));
  EXPECT_EQ(ref->size.count, content.size());
  EXPECT_EQ(blobs_.read(ref->id, mebibytes(1)).value_or(""), content);
  EXPECT_EQ(disk_.content(path_of(*ref)), content);
}

TEST_F(BlobTest, MayBeEmpty) {
  auto ref = write("");
  ASSERT_TRUE(ref);
  auto read = blobs_.read(ref->id, mebibytes(1));
  ASSERT_TRUE(read) << read.error().reason();
  EXPECT_EQ(*read, "");
}

TEST_F(BlobTest, IsStoredOnceHoweverOftenItIsWritten) {
  ASSERT_TRUE(write("same"));
  ASSERT_TRUE(write("same"));
  ASSERT_TRUE(write("other"));
  EXPECT_EQ(blobs_.usage()->count, 2u);
  EXPECT_TRUE(disk_.names("blobs/unfinished").empty());
}

TEST_F(BlobTest, LeavesNothingWhenItIsNotFinished) {
  {
    auto writer = blobs_.create(Scope::standard());
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->write("half"));
    EXPECT_EQ((*writer)->size().count, 4u);
  }
  EXPECT_TRUE(disk_.names("blobs/unfinished").empty());
}

TEST_F(BlobTest, IsSweptWhenTheProcessDiedWhileWriting) {
  auto writer = blobs_.create(Scope::standard());
  ASSERT_TRUE(writer);
  ASSERT_TRUE((*writer)->write("half"));
  disk_.restore_power(Loss::none);
  auto storage = disk_.storage();
  BlobStore next(BlobParts{*storage, clock_, random_});
  ASSERT_EQ(disk_.names("blobs/unfinished").size(), 1u);
  ASSERT_TRUE(next.sweep());
  EXPECT_TRUE(disk_.names("blobs/unfinished").empty());
}

TEST_F(BlobTest, IsThereAfterAPowerCutOnceItWasFinished) {
  auto ref = write("durable");
  ASSERT_TRUE(ref);
  disk_.restore_power(Loss::some);
  auto storage = disk_.storage();
  BlobStore next(BlobParts{*storage, clock_, random_});
  EXPECT_EQ(next.read(ref->id, mebibytes(1)).value_or(""), "durable");
}

TEST_F(BlobTest, IsReportedWhenDamagedBeforeItsLastBytesAreHandedOut) {
  auto ref = write(std::string(10'000, 'd'));
  ASSERT_TRUE(ref);
  disk_.corrupt(path_of(*ref), 17, 1);
  auto reader = blobs_.open(ref->id);
  ASSERT_TRUE(reader);
  std::string buffer(6'000, '\0');
  EXPECT_TRUE((*reader)->read(buffer));
  auto last = (*reader)->read(buffer);
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().id(), ErrorId::GR0103);
}

TEST_F(BlobTest, IsNotFoundUnderAnotherId) {
  EXPECT_EQ(blobs_.open(crypto::sha256("nothing")).error().code(), Code::not_found);
}

TEST_F(BlobTest, IsRefusedAboveTheLimitOfTheReader) {
  auto ref = write("12345");
  ASSERT_TRUE(ref);
  EXPECT_EQ(blobs_.read(ref->id, Bytes{4}).error().code(), Code::exhausted);
}

TEST_F(BlobTest, IsUnavailableWhenTheDiskIsFull) {
  auto writer = blobs_.create(Scope::standard());
  ASSERT_TRUE(writer);
  disk_.plan({.kind = FaultKind::fail, .at = disk_.operations(), .length = 1, .number = 28});
  auto written = (*writer)->write("x");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().id(), ErrorId::GR0101);
}

TEST_F(BlobTest, IsCollectedWhenNobodyRefersToItAndItIsOld) {
  auto kept = write("kept");
  auto dropped = write("dropped");
  ASSERT_TRUE(kept && dropped);
  auto referenced = [&](const BlobId& id) { return id == kept->id; };

  auto young = blobs_.collect(referenced, {.grace = std::chrono::hours(1)});
  ASSERT_TRUE(young);
  EXPECT_EQ(young->count, 0u);

  auto freed = blobs_.collect(referenced, {.grace = Duration::zero()});
  ASSERT_TRUE(freed);
  EXPECT_EQ(freed->count, 1u);
  EXPECT_EQ(freed->bytes.count, 7u);
  EXPECT_TRUE(blobs_.open(kept->id));
  EXPECT_FALSE(blobs_.open(dropped->id));
}

TEST_F(BlobTest, WrittenAgainDuringACollectionIsKept) {
  auto ref = write("again");
  ASSERT_TRUE(ref);
  const Time first = clock_.now();
  constexpr Duration grace = std::chrono::milliseconds(100);
  // `referenced` is where a record that names the blob may come into being.
  auto referenced = [&](const BlobId&) {
    EXPECT_TRUE(write("again"));
    return false;
  };
  while (clock_.now() - first <= grace) std::this_thread::yield();
  auto freed = blobs_.collect(referenced, {.grace = grace});
  ASSERT_TRUE(freed);
  EXPECT_EQ(freed->count, 0u);
  EXPECT_TRUE(blobs_.open(ref->id));
}

}  // namespace
}  // namespace gantry::journal::segments
