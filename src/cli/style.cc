#include "cli/style.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace gantry::cli {
namespace {

bool begins_code_point(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }
bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

std::string_view escape_of(Tint tint) {
  switch (tint) {
    case Tint::good:
      return "\x1b[32m";
    case Tint::warn:
      return "\x1b[33m";
    case Tint::bad:
      return "\x1b[31m";
    case Tint::dim:
      return "\x1b[2m";
    case Tint::bold:
      return "\x1b[1m";
    case Tint::accent:
      return "\x1b[36m";
    case Tint::plain:
      break;
  }
  return "";
}

void append_control(std::string& out, char c) {
  switch (c) {
    case '\n':
      out += "\\n";
      break;
    case '\r':
      out += "\\r";
      break;
    case '\t':
      out += "\\t";
      break;
    default:
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
}

/// The length of a colour sequence `ESC [ digits ; … m` at the start of `text`; 0 if it is none.
size_t color_sequence(std::string_view text) {
  if (!text.starts_with("\x1b[")) return 0;
  size_t end = text.find_first_not_of("0123456789;", 2);
  return end != std::string_view::npos && text[end] == 'm' ? end + 1 : 0;
}

}  // namespace

std::string Style::paint(Tint tint, std::string_view text) const {
  if (!colored() || tint == Tint::plain || text.empty()) return std::string(text);
  return fmt::format("{}{}\x1b[0m", escape_of(tint), text);
}

std::string Style::paint_in_series(size_t number, std::string_view text) const {
  // Readable on black and on white; without red, which means an error.
  static constexpr std::array<int, series_colors> colors = {36, 35, 32, 34, 33, 96, 95, 92, 94, 93};
  if (!colored() || text.empty()) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", colors[number % colors.size()], text);
}

Tint tint_of_status(std::string_view status) {
  static constexpr std::array good = {"running", "ready", "completed", "ok", "enforced", "healthy"};
  static constexpr std::array warn = {"starting", "degraded", "pending",  "processing", "warn",    "best_effort",
                                      "unready",  "backoff",  "stopping", "warning",    "refused", "interrupted"};
  static constexpr std::array bad = {"crash_loop", "failed", "fail", "exited", "died", "timeout", "unhealthy", "error"};
  auto in = [&](const auto& words) { return std::ranges::find(words, status) != words.end(); };
  if (in(good)) return Tint::good;
  if (in(warn)) return Tint::warn;
  if (in(bad)) return Tint::bad;
  if (status == "paused" || status == "stopped" || status == "none") return Tint::dim;
  return Tint::plain;
}

size_t display_width(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, begins_code_point));
}

std::string shorten(std::string_view text, size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return "";
  size_t columns = 0, end = 0;
  while (end < text.size()) {
    if (begins_code_point(text[end]) && columns++ == width - 1) break;
    ++end;
  }
  return std::string(text.substr(0, end)) + "…";
}

std::string without_controls(std::string_view text) {
  std::string out;
  for (char c : text) is_control(c) ? append_control(out, c) : out.push_back(c);
  return out;
}

std::string printable_line(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (size_t length = color_sequence(text.substr(i)); length > 0) {
      out += text.substr(i, length);
      i += length;
      continue;
    }
    is_control(text[i]) && text[i] != '\t' ? append_control(out, text[i]) : out.push_back(text[i]);
    ++i;
  }
  return out;
}

std::string printable_text(std::string_view text) {
  std::string out;
  for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1))
    out += printable_line(text.substr(0, end)) + "\n";
  return out + printable_line(text);
}

std::string wrap(std::string_view text, size_t width, size_t indent) {
  const std::string margin(indent, ' ');
  std::string out;
  size_t column = 0;
  auto end_line = [&] {
    if (column > 0) out += '\n';
    column = 0;
  };
  for (size_t at = 0; at < text.size();) {
    if (text.substr(at).starts_with("\n\n")) {
      end_line();
      out += '\n';
      at += 2;
      continue;
    }
    size_t end = std::min(text.find_first_of(" \n", at), text.size());
    std::string_view word = text.substr(at, end - at);
    at = end < text.size() && !text.substr(end).starts_with("\n\n") ? end + 1 : end;
    if (word.empty()) continue;
    if (column > 0 && column + 1 + display_width(word) > width) end_line();
    if (column == 0) {
      out += margin;
      column = indent;
    } else {
      out += ' ';
      ++column;
    }
    out += word;
    column += display_width(word);
  }
  end_line();
  return out;
}

}  // namespace gantry::cli
