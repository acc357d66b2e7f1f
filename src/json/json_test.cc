#include "json/json.h"

#include <gtest/gtest.h>

#include <bit>

namespace gantry::json {
namespace {

TEST(Parse, NamesLineColumnAndCauseOfASyntaxError) {
  struct Row {
    std::string text;
    std::string reason;
  };
  const Row rows[] = {
      {"", "line 1, column 1: the text ends too early"},
      {"[1,2", "line 1, column 5: the text ends too early"},
      {"{\"a\":}", "line 1, column 6: unexpected character '}'"},
      {"{\"a\": 1,\n \"b\" 2}", "line 2, column 6: unexpected character '2'"},
      {"[1] x", "line 1, column 5: text follows the end of the document"},
      {"[\"äöü\", x]", "line 1, column 9: unexpected character 'x'"},
      {"[\"\xff\"]", "line 1, column 3: unexpected byte 0xff"},
      {"[01]", "line 1, column 3: unexpected character '1'"},
      {"[1e400]", "line 1, column 7: the number is too large"},
      {"[\"\\ud800\"]", "line 1, column 9: unexpected character '\"'"},
  };
  for (const Row& row : rows) {
    auto parsed = parse(row.text);
    ASSERT_FALSE(parsed.has_value()) << row.text;
    EXPECT_EQ(parsed.error().code(), Code::invalid);
    EXPECT_EQ(parsed.error().reason(), row.reason) << row.text;
  }
}

TEST(Parse, RefusesWhatIsBeyondItsLimits) {
  EXPECT_TRUE(parse(std::string(64, '[') + std::string(64, ']')).has_value());
  auto deep = parse(std::string(65, '[') + std::string(65, ']'));
  ASSERT_FALSE(deep.has_value());
  EXPECT_EQ(deep.error().reason(), "line 1, column 65: lists and objects are nested too deeply");
  auto large = parse("[1,2,3]", {.max_bytes = 6});
  ASSERT_FALSE(large.has_value());
  EXPECT_EQ(large.error().reason(), "the document has 7 bytes, more than the limit of 6");
}

TEST(Parse, ReadsNumbersExactly) {
  // Boost 1.81 alone reads the first one unit in the last place off and the second as infinity.
  auto numbers = parse("[333333333.33333329, 1.7976931348623157e308, 4.9e-324, 1e-400, -1e-400, 9007199254740993]");
  ASSERT_TRUE(numbers.has_value());
  EXPECT_EQ(numbers->at(0).get_double(), 333333333.33333329);
  EXPECT_EQ(numbers->at(1).get_double(), 1.7976931348623157e308);
  EXPECT_EQ(numbers->at(2).get_double(), 4.9e-324);
  EXPECT_EQ(numbers->at(3).get_double(), 0.0);
  EXPECT_TRUE(std::signbit(numbers->at(4).get_double()));
  EXPECT_EQ(numbers->at(5).get_int64(), 9007199254740993);
}

TEST(Parse, PutsTheDocumentIntoTheStorageOfTheCaller) {
  unsigned char buffer[4096];
  boost::json::static_resource resource(buffer);
  auto parsed = parse(R"({"a":["a text that is longer than any small buffer"]})", {.storage = &resource});
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->at("a").storage().get(), &resource);
}

TEST(Parse, SurvivesAStorageThatIsTooSmall) {
  unsigned char buffer[16];
  boost::json::static_resource resource(buffer);
  auto parsed = parse(R"(["a text that is longer than sixteen bytes"])", {.storage = &resource});
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().code(), Code::exhausted);
}

TEST(Print, RoundTripsCompactAndPretty) {
  std::string text =
      R"({"b":[1,-2,18446744073709551615,1.5,1e+30],"a":{},"c":[],"d":"\u0001\n\"\\é","e":[null,true,false]})";
  auto value = parse(text);
  ASSERT_TRUE(value.has_value());
  EXPECT_EQ(json::serialize(*value), text);
  EXPECT_EQ(pretty(*value),
            "{\n  \"b\": [\n    1,\n    -2,\n    18446744073709551615,\n    1.5,\n    1e+30\n  ],\n  \"a\": {},\n"
            "  \"c\": [],\n  \"d\": \"\\u0001\\n\\\"\\\\é\",\n  \"e\": [\n    null,\n    true,\n    false\n  ]\n}");
  EXPECT_EQ(*parse(pretty(*value)), *value);
}

TEST(Print, WritesWhatIsNotANumberAsNull) {
  EXPECT_EQ(json::serialize(Array{std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}),
            "[null,null]");
}

TEST(Print, QuoteReplacesBytesThatAreNotUtf8) {
  EXPECT_EQ(quote("a\xff"), "\"a\xef\xbf\xbd\"");
  EXPECT_EQ(quote("\xc0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");                    // overlong
  EXPECT_EQ(quote("\xed\xa0\x80x").find('x'), quote("\xed\xa0\x80x").size() - 2);  // surrogate
  EXPECT_EQ(quote("\xf0\x9f\x98"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");    // cut off
  EXPECT_EQ(quote("\x7f€😀"), "\"\x7f€😀\"");
}

// RFC 8785 3.2.2 (its example) and 3.2.3 (sorting), byte for byte.
TEST(Canonical, MatchesTheExamplesOfTheRfc) {
  auto example = parse(R"({
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
    "literals": [null, true, false]
  })");
  ASSERT_TRUE(example.has_value());
  EXPECT_EQ(*canonical(*example),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
            "\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");

  auto sorting = parse(R"({
    "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
    "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"
  })");
  ASSERT_TRUE(sorting.has_value());
  EXPECT_EQ(*canonical(*sorting),
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
            "\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\","
            "\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

TEST(Canonical, SortsAKeyBeforeTheKeysThatItStarts) {
  EXPECT_EQ(*canonical(*parse(R"({"aa":1,"a":2,"":3})")), R"({"":3,"a":2,"aa":1})");
}

// RFC 8785 appendix B.
TEST(Canonical, PrintsTheNumberSamplesOfTheRfc) {
  struct Row {
    uint64_t bits;
    std::string_view text;
  };
  const Row rows[] = {
      {0x0000000000000000, "0"},
      {0x8000000000000000, "0"},
      {0x0000000000000001, "5e-324"},
      {0x8000000000000001, "-5e-324"},
      {0x7fefffffffffffff, "1.7976931348623157e+308"},
      {0xffefffffffffffff, "-1.7976931348623157e+308"},
      {0x4340000000000000, "9007199254740992"},
      {0xc340000000000000, "-9007199254740992"},
      {0x4430000000000000, "295147905179352830000"},
      {0x44b52d02c7e14af5, "9.999999999999997e+22"},
      {0x44b52d02c7e14af6, "1e+23"},
      {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
      {0x444b1ae4d6e2ef4e, "999999999999999700000"},
      {0x444b1ae4d6e2ef4f, "999999999999999900000"},
      {0x444b1ae4d6e2ef50, "1e+21"},
      {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
      {0x3eb0c6f7a0b5ed8d, "0.000001"},
      {0x41b3de4355555553, "333333333.3333332"},
      {0x41b3de4355555554, "333333333.33333325"},
      {0x41b3de4355555555, "333333333.3333333"},
      {0x41b3de4355555556, "333333333.3333334"},
      {0x41b3de4355555557, "333333333.33333343"},
      {0xbecbf647612f3696, "-0.0000033333333333333333"},
      {0x43143ff3c1cb0959, "1424953923781206.2"},
  };
  for (const Row& row : rows) EXPECT_EQ(format_number(std::bit_cast<double>(row.bits)), row.text);
}

TEST(Canonical, RefusesNumbersWithoutAnExactForm) {
  // 9007199254740993 would be printed as …992, and two different documents would have one hash.
  EXPECT_FALSE(canonical(*parse("[9007199254740993]")).has_value());
  EXPECT_FALSE(canonical(*parse("[18446744073709551615]")).has_value());
  EXPECT_FALSE(canonical(*parse("[9223372036854775807]")).has_value());
  // Exact as a double, but printed as …776000, which is another integer.
  EXPECT_FALSE(canonical(*parse("[-9223372036854775808]")).has_value());
  EXPECT_EQ(*canonical(*parse("[9007199254740992,-9007199254740992]")), "[9007199254740992,-9007199254740992]");
  // What a double prints is canonical already.
  EXPECT_EQ(*canonical(*parse("[9.007199254740995e17]")), "[900719925474099500]");
  EXPECT_EQ(*canonical(*parse("[900719925474099500]")), "[900719925474099500]");
  EXPECT_FALSE(canonical(Value(std::numeric_limits<double>::infinity())).has_value());
}

TEST(Fields, AreReachedByPath) {
  auto document =
      parse(R"({"spec":{"port":8000,"list":[{"name":"x"}],"none":null},"a":true,"d":1.5,"big":18446744073709551615})");
  ASSERT_TRUE(document.has_value());
  EXPECT_EQ(*get_int(*document, "spec.port"), 8000);
  EXPECT_EQ(*get_string(*document, "spec.list.0.name"), "x");
  EXPECT_EQ(*get_bool(*document, "a"), true);
  EXPECT_EQ(*get_double(*document, "spec.port"), 8000.0);
  EXPECT_EQ(*get_uint(*document, "big"), UINT64_MAX);
  EXPECT_EQ(*get_int_or(*document, "spec.none", 7), 7);
  EXPECT_EQ(*get_string_or(*document, "spec.missing", "fallback"), "fallback");
  EXPECT_EQ(find(*document, "spec.list.1"), nullptr);
  EXPECT_EQ(find(*document, "spec.list.x"), nullptr);
  EXPECT_EQ(find(*document, ""), &*document);
  EXPECT_EQ((*get_object(*document, "spec"))->size(), 3u);
  EXPECT_EQ((*get_array(*document, "spec.list"))->size(), 1u);
}

TEST(Fields, ErrorsNameThePathAndBothTypes) {
  auto document = parse(R"({"spec":{"port":"x","names":["a",1],"big":18446744073709551615,"half":1.5,"minus":-1}})");
  ASSERT_TRUE(document.has_value());
  EXPECT_EQ(get_int(*document, "spec.port").error().reason(), "spec.port: expected an integer, got a string");
  EXPECT_EQ(get_int_or(*document, "spec.port", 1).error().reason(), "spec.port: expected an integer, got a string");
  EXPECT_EQ(get_string(*document, "spec.name").error().reason(), "spec.name: a string is missing");
  EXPECT_EQ(get_strings(*document, "spec.names").error().reason(), "spec.names.1: expected a string, got 1");
  EXPECT_EQ(get_int(*document, "spec.big").error().reason(), "spec.big: expected an integer, got 18446744073709551615");
  EXPECT_EQ(get_int(*document, "spec.half").error().reason(), "spec.half: expected an integer, got 1.5");
  EXPECT_EQ(get_uint(*document, "spec.minus").error().reason(), "spec.minus: expected a non-negative integer, got -1");
  EXPECT_EQ(get_object(*document, "").value()->size(), 1u);
  EXPECT_EQ(get_object(*parse("1"), "").error().reason(), "the document: expected an object, got 1");
}

}  // namespace
}  // namespace gantry::json
