#include "base/id.h"

#include <gtest/gtest.h>

#include <set>

namespace gantry {
namespace {

using namespace std::chrono_literals;

TEST(Id, IsWrittenAsItsPrefixAnd26Characters) {
  IdBytes bytes{};
  EXPECT_EQ(encode_id(bytes), "00000000000000000000000000");
  bytes.fill(0xff);
  EXPECT_EQ(encode_id(bytes), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
  EXPECT_EQ(RequestId(bytes).to_string(), "req_7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
  EXPECT_EQ(fmt::format("{}", AgentId(bytes)), "agt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
}

TEST(Id, IsReadBackInEitherCase) {
  ManualClock clock;
  SeededRandom random(7);
  for (int i = 0; i < 1000; ++i) {
    RequestId id = RequestId::make(clock, random);
    EXPECT_EQ(RequestId::parse(id.to_string()).value(), id);
    std::string lower = "req_" + encode_id(id.bytes());
    for (size_t at = 4; at < lower.size(); ++at) lower[at] = static_cast<char>(std::tolower(lower[at]));
    EXPECT_EQ(RequestId::parse(lower).value(), id);
  }
}

TEST(Id, RefusesOtherPrefixesLengthsLettersAndMoreThan128Bits) {
  for (std::string_view text :
       {"", "req_", "agt_01JD0000000000000000000000", "req-01JD0000000000000000000000", "req_01JD000000000000000000000",
        "req_01JD00000000000000000000000", "req_01JD000000000000000000000U", "req_8ZZZZZZZZZZZZZZZZZZZZZZZZZ"}) {
    auto id = RequestId::parse(text);
    ASSERT_FALSE(id.has_value()) << text;
    EXPECT_EQ(id.error().code(), Code::invalid);
    EXPECT_NE(id.error().reason().find("req_"), std::string::npos) << "the reason names the prefix";
  }
}

TEST(Id, SortsByTheTimeWhenItWasMadeAndIsUnique) {
  ManualClock clock;
  SeededRandom random(1);
  std::string last;
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    RequestId id = RequestId::make(clock, random);
    EXPECT_EQ(id.unix_ms(), static_cast<uint64_t>(
                                std::chrono::floor<std::chrono::milliseconds>(clock.now()).time_since_epoch().count()));
    EXPECT_LT(last, id.to_string());
    EXPECT_TRUE(seen.insert(id.to_string()).second);
    last = id.to_string();
    clock.advance(1ms);
  }
}

TEST(Id, CarriesVersionAndVariantOfUuid7) {
  SeededRandom random(3);
  IdBytes bytes = make_uuid7(Time(1'700'000'000s), random);
  EXPECT_EQ(bytes[6] >> 4, 7);
  EXPECT_EQ(bytes[8] >> 6, 2);
}

TEST(Id, OfZeroIsNone) {
  SeededRandom random(3);
  ManualClock clock;
  EXPECT_FALSE(static_cast<bool>(RequestId()));
  EXPECT_TRUE(static_cast<bool>(RequestId::make(clock, random)));
}

}  // namespace
}  // namespace gantry
