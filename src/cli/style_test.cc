#include "cli/style.h"

#include <gtest/gtest.h>

namespace gantry::cli {
namespace {

TEST(Style, PaintsOnlyWhenColoursAreOn) {
  EXPECT_EQ(Style().paint(Tint::bad, "x"), "x");
  EXPECT_EQ(Style(Style::Color::on).paint(Tint::bad, "x"), "\x1b[31mx\x1b[0m");
  EXPECT_EQ(Style(Style::Color::on).paint(Tint::plain, "x"), "x");
  EXPECT_EQ(Style(Style::Color::on).paint(Tint::bad, ""), "");
}

TEST(Style, WidthCountsCharactersAndNotBytes) {
  EXPECT_EQ(display_width("größer…"), 7u);
  EXPECT_EQ(shorten("größer", 6), "größer");
  EXPECT_EQ(shorten("größer", 4), "grö…");
  EXPECT_EQ(shorten("abc", 1), "…");
  EXPECT_EQ(shorten("abc", 0), "");
}

TEST(Style, LogLinesKeepColoursAndTabsAndNothingElse) {
  EXPECT_EQ(printable_line("\x1b[1;31mred\x1b[0m\tx"), "\x1b[1;31mred\x1b[0m\tx");
  EXPECT_EQ(printable_line("\x1b]0;title\x07"), "\\x1b]0;title\\x07");
  EXPECT_EQ(printable_line("\x1b[2J\rover"), "\\x1b[2J\\rover");
  EXPECT_EQ(printable_text("a\x1b[2J\n\nb\r"), "a\\x1b[2J\n\nb\\r");
  EXPECT_EQ(without_controls("a\tb\x7f"), "a\\tb\\x7f");
}

TEST(Style, WrapKeepsParagraphsAndIndents) {
  EXPECT_EQ(wrap("one two three four\n\nfive", 11, 2),
            "  one two\n"
            "  three\n"
            "  four\n"
            "\n"
            "  five\n");
  EXPECT_EQ(wrap("averyveryverylongword x", 10, 0), "averyveryverylongword\nx\n");
  EXPECT_EQ(wrap("", 10, 2), "");
}

TEST(Style, EveryStatusOfTheApiHasAMeaning) {
  for (auto status : {"running", "ready", "completed", "ok", "enforced"}) EXPECT_EQ(tint_of_status(status), Tint::good);
  for (auto status : {"starting", "degraded", "unready", "backoff", "stopping", "pending", "processing", "warn"})
    EXPECT_EQ(tint_of_status(status), Tint::warn);
  for (auto status : {"crash_loop", "failed", "fail", "exited", "died", "timeout"})
    EXPECT_EQ(tint_of_status(status), Tint::bad);
  for (auto status : {"paused", "stopped", "none"}) EXPECT_EQ(tint_of_status(status), Tint::dim);
}

}  // namespace
}  // namespace gantry::cli
