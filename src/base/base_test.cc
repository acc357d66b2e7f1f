// Errors, texts, scopes and clocks; units and ids have tests of their own.
#include "base/base.h"

#include <gtest/gtest.h>

#include <array>

namespace gantry {
namespace {

using namespace std::chrono_literals;

Result<int> port_of(int number) {
  if (number > 65535) return fail(Code::invalid, "port {} is above 65535", number);
  return number;
}
Result<int> twice(int number) {
  GANTRY_TRY(int port, port_of(number));
  GANTRY_TRY_VOID(port_of(port));
  return 2 * port;
}

TEST(Error, IsHandedOnByTryAndGainsNounsAndAHint) {
  EXPECT_EQ(twice(4), 8);
  auto failed = twice(70'000);
  ASSERT_FALSE(failed.has_value());
  Error error = failed.error().wrap("port").wrap("agent 'bot'").with_hint("first").with_hint("second");
  EXPECT_EQ(error.reason(), "agent 'bot': port: port 70000 is above 65535");
  EXPECT_EQ(error.hint(), "first") << "the innermost hint knows best";
  EXPECT_EQ(error.code(), Code::invalid);
  EXPECT_EQ(error.id(), ErrorId::none);
}

TEST(Error, OfASystemCallHasTheCodeThatErrnoMeans) {
  struct Row {
    int number;
    Code code;
  };
  for (const Row& row :
       {Row{ENOENT, Code::not_found}, Row{EACCES, Code::denied}, Row{EROFS, Code::denied}, Row{ENOSPC, Code::exhausted},
        Row{EMFILE, Code::exhausted}, Row{EEXIST, Code::conflict}, Row{ECONNREFUSED, Code::unavailable},
        Row{ETIMEDOUT, Code::timeout}, Row{ENOSYS, Code::unsupported}, Row{ENOTTY, Code::internal}})
    EXPECT_EQ(errno_error(row.number, "x").code(), row.code) << row.number;
  EXPECT_EQ(errno_error(ENOENT, "open key").reason(), "open key: No such file or directory");
}

TEST(Code, HasOneSpellingStatusAndExitCodeEach) {
  struct Row {
    Code code;
    std::string_view text;
    int http, exit;
  };
  for (const Row& row : {Row{Code::invalid, "invalid", 400, 7}, Row{Code::not_found, "not_found", 404, 3},
                         Row{Code::unauthenticated, "unauthenticated", 401, 4}, Row{Code::conflict, "conflict", 409, 5},
                         Row{Code::exhausted, "exhausted", 429, 12}, Row{Code::unavailable, "unavailable", 503, 11},
                         Row{Code::timeout, "timeout", 504, 6}, Row{Code::cancelled, "cancelled", 499, 130},
                         Row{Code::internal, "internal", 500, 1}}) {
    EXPECT_EQ(to_string(row.code), row.text);
    EXPECT_EQ(code_from_string(row.text), row.code);
    EXPECT_EQ(http_status(row.code), row.http);
    EXPECT_EQ(exit_code(row.code), row.exit);
  }
  EXPECT_EQ(code_from_string("no such code"), Code::internal);
  EXPECT_TRUE(is_retryable(Code::unavailable));
  EXPECT_FALSE(is_retryable(Code::invalid));
}

TEST(ErrorId, IsSpelledAsInTheTableAndHasItsCodeAndTitle) {
  EXPECT_EQ(to_string(ErrorId::GR0001), "GR0001");
  EXPECT_EQ(error_id_from_string("GR0001"), ErrorId::GR0001);
  EXPECT_EQ(error_id_from_string("GR9999"), ErrorId::none);
  EXPECT_EQ(code_of(ErrorId::GR0001), Code::conflict);
  EXPECT_EQ(title(ErrorId::GR0001), "another server already uses this data directory");
  EXPECT_EQ(Error(ErrorId::GR0001, "x").code(), Code::conflict);
}

TEST(ErrorId, EachHasAHintOfItsOwnAndEveryErrorSaysWhatToDo) {
  constexpr ErrorId all[] = {
#define GANTRY_ERROR(id, code, title) ErrorId::id,
#include "base/error_table.inc"
#undef GANTRY_ERROR
  };
  for (ErrorId id : all) {
    EXPECT_FALSE(hint_of(id).empty()) << to_string(id) << " has no line in src/base/hint_table.inc";
    EXPECT_FALSE(hint_of(id).ends_with('.')) << to_string(id);
    EXPECT_EQ(Error(id, "why").advice(), hint_of(id));
  }
  EXPECT_EQ(hint_of(ErrorId::none), "");
  EXPECT_EQ(Error(ErrorId::GR0002, "why").with_hint("do this").advice(), "do this");
  for (int code = 0; code <= static_cast<int>(Code::internal); ++code)
    EXPECT_FALSE(Error(static_cast<Code>(code), "why").advice().empty()) << code;
}

TEST(Check, AbortsWithItsCondition) { EXPECT_DEATH(GANTRY_CHECK(1 + 1 == 3), "check failed: 1 \\+ 1 == 3"); }

TEST(Text, CountsTheEditsBetweenTwoWords) {
  struct Row {
    std::string_view a, b;
    size_t distance;
  };
  for (const Row& row : {Row{"", "", 0}, Row{"", "abc", 3}, Row{"abc", "abc", 0}, Row{"kitten", "sitting", 3},
                         Row{"deploy", "depoly", 1}, Row{"ab", "ba", 1}, Row{"list", "lists", 1}}) {
    EXPECT_EQ(edit_distance(row.a, row.b), row.distance) << row.a << " " << row.b;
    EXPECT_EQ(edit_distance(row.b, row.a), row.distance) << "it is symmetric";
  }
}

TEST(Text, SuggestsTheClosestWordOrNone) {
  constexpr std::array<std::string_view, 4> words{"deploy", "demo", "down", "doctor"};
  EXPECT_EQ(closest("depoly", words), "deploy");
  EXPECT_EQ(closest("dmo", words), "demo");
  EXPECT_EQ(closest("down", words), "down");
  EXPECT_EQ(closest("x", words), std::nullopt);
  EXPECT_EQ(closest("zebra", words), std::nullopt);
  EXPECT_EQ(closest("", words), std::nullopt);
}

TEST(Text, KnowsNames) {
  for (std::string_view name : {"a", "bot-1", "0", "a--b"}) EXPECT_TRUE(is_name(name)) << name;
  for (std::string_view name : {"", "-a", "a-", "Bot", "a_b", "a.b", "ä"}) EXPECT_FALSE(is_name(name)) << name;
  EXPECT_TRUE(is_name(std::string(63, 'a')));
  EXPECT_FALSE(is_name(std::string(64, 'a')));
}

TEST(Text, ComparesFieldNamesAndTrims) {
  EXPECT_TRUE(equals_ignoring_case("Content-Type", "content-TYPE"));
  EXPECT_FALSE(equals_ignoring_case("a", "ab"));
  EXPECT_EQ(to_lower("AbC-Ä"), "abc-Ä") << "only ASCII changes";
  EXPECT_EQ(trim(" \ta b\t "), "a b");
  EXPECT_EQ(trim("  "), "");
}

TEST(Scope, IsThreeNames) {
  EXPECT_EQ(Scope::parse("acme/sales/prod").value(), (Scope{"acme", "sales", "prod"}));
  EXPECT_EQ(Scope::standard().path(), "default/default/dev");
  for (std::string_view path : {"", "a", "a/b", "a/b/c/d", "a//c", "A/b/c", "/a/b/c", "a/b/c/"})
    EXPECT_FALSE(Scope::parse(path).has_value()) << path;
}

TEST(Random, IsUniformBelowItsBoundAndRepeatsItsSeed) {
  SeededRandom random(42);
  std::array<int, 5> seen{};
  for (int i = 0; i < 10'000; ++i) ++seen[random.below(5)];
  for (int count : seen) EXPECT_NEAR(count, 2000, 200);
  EXPECT_EQ(random.below(0), 0u);
  EXPECT_EQ(random.below(1), 0u);
  SeededRandom a(7), b(7);
  EXPECT_EQ(a.below(1'000'000), b.below(1'000'000));
}

TEST(Random, OfTheMachineFillsEverything) {
  SystemRandom random;
  // 100 KiB crosses the end of the buffer many times; a byte that stayed zero in every round was not filled.
  std::array<uint8_t, 1000> any{};
  for (int round = 0; round < 100; ++round) {
    std::array<uint8_t, 1000> bytes{};
    random.fill(bytes);
    for (size_t i = 0; i < bytes.size(); ++i) any[i] |= bytes[i];
  }
  for (uint8_t byte : any) EXPECT_NE(byte, 0);
}

TEST(Clock, OfTestsMovesOnlyWhenTold) {
  ManualClock clock;
  Time before = clock.now();
  SteadyTime steady = clock.steady();
  EXPECT_EQ(clock.now(), before);
  clock.advance(3s);
  EXPECT_EQ(clock.now() - before, 3s);
  EXPECT_EQ(clock.steady() - steady, 3s);
}

}  // namespace
}  // namespace gantry
