// Checkpoints, the list of deletions, the index of compressed segments: what is parsed is never trusted.
#include <gtest/gtest.h>

#include "journal/drivers/segments/checkpoint.h"
#include "journal/drivers/segments/compressed.h"
#include "journal/drivers/segments/deletions.h"
#include "journal/journal_testing.h"

namespace gantry::journal::segments {
namespace {

Checkpoint sample_checkpoint() {
  return {.seq = 77,
          .segment = 3,
          .offset = 4096,
          .time = Time(Duration(99)),
          .folds = {{"requests", std::string("state\0with zero", 15)}, {"empty", ""}}};
}

SegmentHeader header_of(uint64_t number, uint64_t previous) {
  return {.number = number, .first_seq = number * 100, .previous = previous, .previous_end = previous * 1000};
}

TEST(Checkpoint, ComesBackAsItWas) {
  auto decoded = decode_checkpoint(encode_checkpoint(sample_checkpoint()));
  ASSERT_TRUE(decoded) << decoded.error().reason();
  EXPECT_EQ(decoded->seq, 77u);
  EXPECT_EQ(decoded->segment, 3u);
  EXPECT_EQ(decoded->offset, 4096u);
  EXPECT_EQ(decoded->time, Time(Duration(99)));
  ASSERT_EQ(decoded->folds.size(), 2u);
  EXPECT_EQ(decoded->folds[0].bytes, std::string("state\0with zero", 15));
  EXPECT_EQ(decoded->folds[1].name, "empty");
}

TEST(Checkpoint, IsRefusedWithAnyByteChangedOrMissing) {
  const std::string bytes = encode_checkpoint(sample_checkpoint());
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string wrong = bytes;
    wrong[at] = static_cast<char>(wrong[at] ^ 0x20);
    EXPECT_FALSE(decode_checkpoint(wrong)) << at;
    EXPECT_FALSE(decode_checkpoint(std::string_view(bytes).substr(0, at))) << at;
  }
  EXPECT_FALSE(decode_checkpoint(bytes + "x"));
}

TEST(Deletions, JoinsWhatIsAdjacentAndRemembersWhatCameBefore) {
  Deletions deletions;
  deletions.add(header_of(5, 4));
  deletions.add(header_of(8, 6));  // 7 was abandoned
  deletions.add(header_of(6, 5));
  ASSERT_NE(deletions.find(7), nullptr);
  EXPECT_EQ(deletions.find(5)->last, 8u);
  EXPECT_EQ(deletions.find(8)->previous, 4u);
  EXPECT_EQ(deletions.find(8)->previous_end, 4000u);
  EXPECT_EQ(deletions.find(8)->first_seq, 500u);
  EXPECT_EQ(deletions.find(4), nullptr);
  EXPECT_EQ(deletions.find(9), nullptr);

  auto parsed = Deletions::parse(deletions.text());
  ASSERT_TRUE(parsed) << parsed.error().reason();
  EXPECT_EQ(parsed->text(), deletions.text());
}

TEST(Deletions, AreTheSameInWhateverOrderTheyCome) {
  std::vector<SegmentHeader> headers;
  for (uint64_t number = 1; number <= 6; ++number) headers.push_back(header_of(number, number - 1));
  std::vector<size_t> order{0, 1, 2, 3, 4, 5};
  do {
    Deletions deletions;
    for (size_t i : order) deletions.add(headers[i]);
    ASSERT_NE(deletions.find(3), nullptr);
    EXPECT_EQ(deletions.find(3)->first, 1u);
    EXPECT_EQ(deletions.find(3)->last, 6u);
    EXPECT_EQ(deletions.find(3)->previous, 0u);
  } while (std::ranges::next_permutation(order).found);
}

TEST(Deletions, AreRefusedWhenChanged) {
  Deletions deletions;
  deletions.add(header_of(5, 4));
  const std::string text = deletions.text();
  for (size_t at = 0; at < text.size(); ++at) {
    std::string wrong = text;
    wrong[at] = static_cast<char>(wrong[at] ^ 1);
    EXPECT_FALSE(Deletions::parse(wrong)) << at;
    EXPECT_FALSE(Deletions::parse(std::string_view(text).substr(0, at))) << at;
  }
}

TEST(SegmentIndex, ComesBackAndIsRefusedWhenChanged) {
  SegmentIndex index{.header = header_of(9, 8), .extent = {.end = 3000, .last_seq = 950}};
  index.entries = {{0, 0, 1024, 100, 900}, {1024, 100, 1976, 400, 900}};
  const std::string bytes = encode_index(index);
  const uint64_t file_size = 500 + bytes.size();
  auto decoded = decode_index(bytes, file_size);
  ASSERT_TRUE(decoded) << decoded.error().reason();
  EXPECT_EQ(decoded->header.number, 9u);
  EXPECT_EQ(decoded->extent.last_seq, 950u);
  ASSERT_EQ(decoded->entries.size(), 2u);
  EXPECT_EQ(decoded->entries[1].file_size, 400u);
  // In front of it may be anything: the tail of a file is read.
  EXPECT_TRUE(decode_index("frames" + bytes, file_size));
  EXPECT_FALSE(decode_index(bytes, file_size + 1));
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string wrong = bytes;
    wrong[at] = static_cast<char>(wrong[at] ^ 0x20);
    EXPECT_FALSE(decode_index(wrong, file_size)) << at;
  }
}

}  // namespace
}  // namespace gantry::journal::segments
