#include "base/units.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

using namespace std::chrono_literals;

TEST(Duration, IsReadInEveryUnitAndInSeveral) {
  struct Row {
    std::string_view text;
    Duration value;
  };
  for (const Row& row :
       {Row{"0", 0s}, Row{"30s", 30s}, Row{"1m30s", 90s}, Row{"250ms", 250ms}, Row{"2h", 2h}, Row{"7d", 168h},
        Row{"1.5s", 1500ms}, Row{"10us", 10us}, Row{"1ns", 1ns}, Row{"0.5ms", 500us}}) {
    auto value = parse_duration(row.text);
    ASSERT_TRUE(value.has_value()) << row.text;
    EXPECT_EQ(*value, row.value) << row.text;
  }
}

TEST(Duration, RefusesWhatHasNoUnitOrIsNoNumber) {
  for (std::string_view text : {"", "5", "s", "5 s", "-5s", "5x", "1..5s", "5.", "5.s", ".", "1e3s", "5s ", "293y"})
    EXPECT_FALSE(parse_duration(text).has_value()) << text;
}

TEST(Duration, RefusesWhatDoesNotFitAndKeepsEveryNanosecondOfWhatDoes) {
  EXPECT_FALSE(parse_duration("107000d").has_value());
  EXPECT_FALSE(parse_duration("99999999999999999999s").has_value());
  // 53 bits of a double end at 104 days.
  EXPECT_EQ(parse_duration("106751d1ns").value() - parse_duration("106751d").value(), 1ns);
}

TEST(Duration, IsPrintedSoThatItIsReadBack) {
  struct Row {
    Duration value;
    std::string_view exact, brief;
  };
  for (const Row& row : {Row{0s, "0s", "0us"}, Row{90s, "1m30s", "1m30s"}, Row{250ms, "250ms", "250ms"},
                         Row{76h + 12min, "3d4h12m", "3d4h"}, Row{72h + 12min, "3d12m", "3d"},
                         Row{12500ms, "12s500ms", "12s"}, Row{1234us, "1ms234us", "1ms"}}) {
    EXPECT_EQ(format_duration(row.value), row.exact);
    EXPECT_EQ(format_duration_short(row.value), row.brief);
    EXPECT_EQ(parse_duration(row.exact).value(), row.value);
  }
}

TEST(Bytes, AreReadWithBinaryAndDecimalSuffixes) {
  struct Row {
    std::string_view text;
    uint64_t value;
  };
  for (const Row& row : {Row{"1000", 1000}, Row{"512Mi", 512ull << 20}, Row{"2Gi", 2ull << 30}, Row{"64Ki", 64 << 10},
                         Row{"100M", 100'000'000}, Row{"1k", 1000}, Row{"0.5Gi", 512ull << 20}, Row{"0", 0}})
    EXPECT_EQ(parse_bytes(row.text).value().count, row.value) << row.text;
  for (std::string_view text : {"", "Mi", "5MB", "512mi", "-1", "1 Gi", "9999999Ti"})
    EXPECT_FALSE(parse_bytes(text).has_value()) << text;
}

TEST(Bytes, ArePrintedExactlyAndForPeople) {
  struct Row {
    uint64_t value;
    std::string_view exact, brief;
  };
  for (const Row& row :
       {Row{0, "0", "0 B"}, Row{512ull << 20, "512Mi", "512.0 MiB"}, Row{1'500'000, "1500k", "1.4 MiB"},
        Row{1023, "1023", "1023 B"}, Row{(1ull << 60) + 1, "1152921504606846977", "1048576.0 TiB"}}) {
    EXPECT_EQ(format_bytes({row.value}), row.exact);
    EXPECT_EQ(format_bytes_short({row.value}), row.brief);
    EXPECT_EQ(parse_bytes(row.exact).value().count, row.value);
  }
}

TEST(Cpu, IsReadInCoresAndThousandths) {
  struct Row {
    std::string_view text;
    uint32_t value;
    std::string_view printed;
  };
  for (const Row& row : {Row{"500m", 500, "500m"}, Row{"2", 2000, "2"}, Row{"0.5", 500, "500m"},
                         Row{"1.25", 1250, "1250m"}, Row{"1024", 1'024'000, "1024"}}) {
    EXPECT_EQ(parse_cpu(row.text).value().count, row.value) << row.text;
    EXPECT_EQ(format_cpu({row.value}), row.printed);
  }
  for (std::string_view text : {"", "0", "0m", "m", "1025", "5x", "-1"})
    EXPECT_FALSE(parse_cpu(text).has_value()) << text;
}

TEST(Time, IsReadWithFractionAndOffsetAndPrintedInUtc) {
  struct Row {
    std::string_view text, printed;
  };
  for (const Row& row : {Row{"2026-11-20T18:12:00Z", "2026-11-20T18:12:00.000Z"},
                         Row{"2026-11-20t18:12:00.1239z", "2026-11-20T18:12:00.123Z"},
                         Row{"2026-11-20 18:12:00+01:30", "2026-11-20T16:42:00.000Z"},
                         Row{"2026-01-01T00:00:00-00:01", "2026-01-01T00:01:00.000Z"},
                         Row{"1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"},
                         Row{"2024-02-29T12:00:60Z", "2024-02-29T12:01:00.000Z"}}) {
    auto value = parse_time(row.text);
    ASSERT_TRUE(value.has_value()) << row.text;
    EXPECT_EQ(format_time(*value), row.printed);
  }
}

TEST(Time, RefusesDaysThatDoNotExistAndYearsThatDoNotFit) {
  for (std::string_view text :
       {"", "2026-11-20", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+0100", "2300-01-01T00:00:00Z", "1600-01-01T00:00:00Z", "20x6-01-01T00:00:00Z"})
    EXPECT_FALSE(parse_time(text).has_value()) << text;
}

TEST(Bytes, AreWrittenInTheShortestExactForm) {
  EXPECT_EQ(format_bytes({2'000'000'000}), "2G");
  EXPECT_EQ(format_bytes({1'024'000}), "1024k");
  EXPECT_EQ(format_bytes({1'000}), "1k");
  EXPECT_EQ(format_bytes({1023}), "1023");
  EXPECT_EQ(format_bytes({0}), "0");
}

TEST(Duration, TheMostNegativeOneIsWritten) {
  EXPECT_EQ(format_duration(Duration::min()), "-106751d23h47m16s854ms775us808ns");
}

TEST(Time, RefusesAFractionWithoutDigitsAndOffsetsBeyondADay) {
  for (std::string_view text : {"2023-01-01T00:00:00.Z", "2023-01-01T00:00:00+24:00", "2023-01-01T00:00:00+01:60"})
    EXPECT_FALSE(parse_time(text).has_value()) << text;
}

}  // namespace
}  // namespace gantry
