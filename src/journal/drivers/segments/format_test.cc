#include "journal/drivers/segments/format.h"

#include <gtest/gtest.h>

#include "crypto/crypto.h"
#include "journal/journal_testing.h"

namespace gantry::journal::segments {
namespace {

SegmentHeader sample_header() {
  return {.number = 7,
          .first_seq = 1000,
          .previous = 5,
          .previous_end = 4096,
          .salt = 0x1122334455667788,
          .group_limit = 65536,
          .created = Time(std::chrono::seconds(1'700'000'000))};
}

std::string sample_frame(uint32_t salt, std::string body = "the body") {
  std::string bytes;
  encode_frame(entry_of("the head", std::move(body)),
               {.seq = 42, .time = Time(Duration(5)), .flags = 1, .salt_crc = salt}, bytes);
  return bytes;
}

TEST(SegmentHeader, ComesBackAsItWas) {
  SegmentHeader out;
  ASSERT_EQ(decode_header(encode_header(sample_header()), out), HeaderStatus::valid);
  EXPECT_EQ(out.number, 7u);
  EXPECT_EQ(out.first_seq, 1000u);
  EXPECT_EQ(out.previous, 5u);
  EXPECT_EQ(out.previous_end, 4096u);
  EXPECT_EQ(out.salt, 0x1122334455667788u);
  EXPECT_EQ(out.group_limit, 65536u);
  EXPECT_EQ(out.created, sample_header().created);
}

TEST(SegmentHeader, SurvivesTheLossOfEitherCopy) {
  for (size_t copy : {size_t{0}, header_copy_size}) {
    std::string bytes = encode_header(sample_header());
    bytes[copy + 20] = static_cast<char>(bytes[copy + 20] ^ 1);
    SegmentHeader out;
    EXPECT_EQ(decode_header(bytes, out), HeaderStatus::valid) << copy;
  }
}

TEST(SegmentHeader, IsDamagedWhenBothCopiesAre) {
  std::string bytes = encode_header(sample_header());
  bytes[20] ^= 1;
  bytes[header_copy_size + 20] ^= 1;
  SegmentHeader out;
  EXPECT_EQ(decode_header(bytes, out), HeaderStatus::damaged);
}

TEST(SegmentHeader, IsUnusedWhenItsFirstWriteWasTornAtAnyByte) {
  const std::string bytes = encode_header(sample_header());
  // Shorter than the checked fields of the first copy.
  for (size_t length = 0; length < 72; ++length) {
    std::string torn = bytes.substr(0, length) + std::string(header_size - length, '\0');
    SegmentHeader out;
    // A prefix that lost only zeros is whole.
    if (torn.substr(0, header_copy_size) == bytes.substr(0, header_copy_size)) continue;
    EXPECT_EQ(decode_header(torn, out), HeaderStatus::unused) << length;
  }
}

TEST(SegmentHeader, OfANewerVersionIsRecognised) {
  std::string bytes = encode_header(sample_header());
  put<uint32_t>(bytes.data() + 8, format_version + 1);
  put<uint32_t>(bytes.data() + header_copy_size + 8, format_version + 1);
  SegmentHeader out;
  EXPECT_EQ(decode_header(bytes, out), HeaderStatus::newer);
}

TEST(Frame, ComesBackAsItWas) {
  const std::string bytes = sample_frame(salt_crc(1));
  EXPECT_EQ(bytes.size() % frame_alignment, 0u);
  Frame frame;
  ASSERT_EQ(decode_frame(bytes, salt_crc(1), frame), FrameStatus::valid);
  EXPECT_EQ(frame.size, frame_size(entry_of("the head", "the body")));
  EXPECT_EQ(frame.seq, 42u);
  EXPECT_EQ(frame.time, Time(Duration(5)));
  EXPECT_EQ(frame.kind, test_kind);
  EXPECT_EQ(frame.flags, 1);
  EXPECT_EQ(frame.entity[15], 7);
  EXPECT_EQ(frame.scope, "default/default/dev");
  EXPECT_EQ(frame.payload, "the headthe body");
}

TEST(Frame, IsNeverValidWithAFlippedBit) {
  const std::string bytes = sample_frame(salt_crc(1));
  Frame frame;
  ASSERT_EQ(decode_frame(bytes, salt_crc(1), frame), FrameStatus::valid);
  const size_t size = frame.size;
  for (size_t bit = 0; bit < size * 8; ++bit) {
    std::string wrong = bytes;
    wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_NE(decode_frame(wrong, salt_crc(1), frame), FrameStatus::valid) << bit;
  }
}

TEST(Frame, IsNeverValidWhenCutShort) {
  const std::string bytes = sample_frame(salt_crc(1));
  Frame frame;
  ASSERT_EQ(decode_frame(bytes, salt_crc(1), frame), FrameStatus::valid);
  for (size_t length = 0; length < frame.size; ++length) {
    Frame out;
    EXPECT_NE(decode_frame(std::string_view(bytes).substr(0, length), salt_crc(1), out), FrameStatus::valid) << length;
  }
}

TEST(Frame, OfAnotherSegmentIsNotAccepted) {
  Frame frame;
  EXPECT_EQ(decode_frame(sample_frame(salt_crc(1)), salt_crc(2), frame), FrameStatus::damaged);
}

TEST(Frame, IsTheEndWhenItsHeaderIsZeros) {
  Frame frame;
  EXPECT_EQ(decode_frame(std::string(512, '\0'), salt_crc(1), frame), FrameStatus::zeros);
  EXPECT_EQ(decode_frame({}, salt_crc(1), frame), FrameStatus::zeros);
}

TEST(RecordMaker, RefusesAScopeThatIsNone) {
  Frame frame{.size = 50, .seq = 1, .scope = "only-one-part"};
  auto record = RecordMaker().make(frame, 3, 1024);
  ASSERT_FALSE(record);
  EXPECT_EQ(record.error().id(), ErrorId::GR0103);
}

}  // namespace
}  // namespace gantry::journal::segments
