// What text looks like on a terminal: colours, widths, and nothing that an agent could smuggle in.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gantry::cli {

/// The meaning of a piece of text; the colour follows from it.
enum class Tint { plain, good, warn, bad, dim, bold, accent };

/// Adds colours, or does not.
class Style {
 public:
  enum class Color { off, on };
  explicit Style(Color color = Color::off) : color_(color) {}
  bool colored() const { return color_ == Color::on; }
  /// `text` between the escape sequences of its tint, or unchanged when colours are off.
  std::string paint(Tint tint, std::string_view text) const;
  /// The same in one of the colours that tell things of one kind apart; they repeat after `series_colors`.
  std::string paint_in_series(size_t number, std::string_view text) const;
  static constexpr size_t series_colors = 10;

 private:
  Color color_;
};

/// The tint of a status word of the API, such as `running` or `crash_loop`.
Tint tint_of_status(std::string_view status);

/// Columns that a UTF-8 text takes, one for each code point.
size_t display_width(std::string_view text);
/// The text cut to `width` columns, with `…` as its last one if something was cut.
std::string shorten(std::string_view text, size_t width);
/// The text with control characters as `\x1b`, `\n` and so on: what comes from an agent must not steer
/// the terminal.
std::string without_controls(std::string_view text);
/// The same for a log line on a terminal: tabs and colour sequences (SGR) are kept.
std::string printable_line(std::string_view text);
/// The same for a text of several lines.
std::string printable_text(std::string_view text);
/// Wraps words at `width` columns; each line begins with `indent` spaces; `\n\n` parts paragraphs.
std::string wrap(std::string_view text, size_t width, size_t indent);

}  // namespace gantry::cli
