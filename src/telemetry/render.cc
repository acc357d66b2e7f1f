#include "telemetry/render.h"

#include <algorithm>
#include <cmath>

namespace gantry::telemetry {
namespace {

// At most `size` bytes, cut between characters.
std::string cut(std::string_view text, size_t size) {
  if (text.size() <= size) return std::string(text);
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return std::string(text.substr(0, size)) + "…";
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

std::string json_value(const Field& field, size_t max_text) {
  if (const auto* view = std::get_if<std::string_view>(&field.value)) return json::quote(cut(*view, max_text));
  if (const auto* text = std::get_if<std::string>(&field.value)) return json::quote(cut(*text, max_text));
  if (const auto* flag = std::get_if<bool>(&field.value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<double>(&field.value))
    return std::isfinite(*number) ? json::format_number(*number) : "null";
  if (const auto* integer = std::get_if<int64_t>(&field.value)) return fmt::format("{}", *integer);
  return fmt::format("{}", std::get<uint64_t>(field.value));
}

// Plain where a person can tell where the value ends, else quoted as in JSON.
std::string text_value(const Field& field, size_t max_text) {
  std::string_view text;
  if (const auto* view = std::get_if<std::string_view>(&field.value))
    text = *view;
  else if (const auto* own = std::get_if<std::string>(&field.value))
    text = *own;
  else
    return json_value(field, max_text);
  auto awkward = [](char c) { return is_control(c) || c == ' ' || c == '"' || c == '='; };
  bool plain = !text.empty() && text.size() <= max_text && std::ranges::none_of(text, awkward);
  return plain ? std::string(text) : json_value(field, max_text);
}

std::string printable(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (is_control(c))
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out;
}

}  // namespace

std::string render_json_fields(std::span<const Field> fields, size_t max_text) {
  std::string out;
  for (const Field& field : fields)
    out.append(",").append(json::quote(field.name)).append(":").append(json_value(field, max_text));
  return out;
}

std::string render_text_fields(std::span<const Field> fields, size_t max_text) {
  std::string out;
  for (const Field& field : fields)
    out.append(" ").append(printable(field.name)).append("=").append(text_value(field, max_text));
  return out;
}

std::string json_line(const LineHead& head, std::string_view fields, size_t max_text) {
  return fmt::format("{{\"time\":\"{}\",\"level\":\"{}\",\"message\":{}{}}}\n", format_time(head.time),
                     to_string(head.level), json::quote(cut(head.message, max_text)), fields);
}

std::string text_line(const LineHead& head, std::string_view fields, size_t max_text) {
  return fmt::format("{} {:<5} {}{}\n", format_time(head.time), to_string(head.level),
                     printable(cut(head.message, max_text)), fields);
}

}  // namespace gantry::telemetry
