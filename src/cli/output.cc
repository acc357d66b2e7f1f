#include "cli/output.h"

#include <fmt/format.h>

#include <algorithm>

#include "yaml/yaml.h"

namespace gantry::cli {
namespace {

std::string pad(const Cell& cell, size_t width, Align align, const Style& style) {
  std::string gap(width - std::min(width, display_width(cell.text)), ' ');
  std::string painted = style.paint(cell.tint, cell.text);
  return align == Align::left ? painted + gap : gap + painted;
}

/// Without the spaces that padding leaves at the end of a line.
std::string without_trailing_spaces(std::string line) {
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

void yaml_into(std::string& out, const json::Value& value, size_t indent);

std::string yaml_scalar(const json::Value& value) {
  if (value.is_string()) return yaml::quote_if_needed(std::string_view(value.get_string()));
  if (value.is_object()) return "{}";
  if (value.is_array()) return "[]";
  return json::serialize(value);
}

bool is_yaml_block(const json::Value& value) {
  return (value.is_object() && !value.get_object().empty()) || (value.is_array() && !value.get_array().empty());
}

void yaml_object(std::string& out, const json::Object& object, size_t indent) {
  for (const auto& member : object) {
    out += std::string(indent, ' ') + yaml::quote_if_needed(std::string_view(member.key())) + ":";
    if (is_yaml_block(member.value())) {
      out += '\n';
      yaml_into(out, member.value(), indent + (member.value().is_array() ? 0 : 2));
    } else {
      out += " " + yaml_scalar(member.value()) + "\n";
    }
  }
}

void yaml_array(std::string& out, const json::Array& array, size_t indent) {
  for (const auto& item : array) {
    out += std::string(indent, ' ') + "- ";
    if (!is_yaml_block(item)) {
      out += yaml_scalar(item) + "\n";
      continue;
    }
    // The first line of the item stands behind the dash; the others are aligned with it.
    std::string block;
    yaml_into(block, item, indent + 2);
    out += block.substr(indent + 2);
  }
}

void yaml_into(std::string& out, const json::Value& value, size_t indent) {
  if (value.is_object()) return yaml_object(out, value.get_object(), indent);
  if (value.is_array()) return yaml_array(out, value.get_array(), indent);
}

size_t total_width(const std::vector<size_t>& widths) {
  size_t total = 0;
  for (size_t width : widths) total += width + 2;
  return total - std::min<size_t>(total, 2);
}

void leave_out_what_does_not_fit(std::vector<const Column*>& columns, std::vector<std::vector<Cell>>& cells,
                                 std::vector<size_t>& widths, size_t width) {
  for (size_t i = columns.size(); i-- > 0 && total_width(widths) > width;) {
    if (columns[i]->detail != Detail::if_fits) continue;
    const auto at = static_cast<std::ptrdiff_t>(i);
    columns.erase(columns.begin() + at);
    widths.erase(widths.begin() + at);
    for (auto& line : cells) line.erase(line.begin() + at);
  }
}

std::string dash_if_empty(std::string text) { return text.empty() ? "-" : text; }

}  // namespace

Format format_from_string(std::string_view text) {
  constexpr std::string_view names[] = {"table", "wide", "json", "jsonl", "yaml", "name", "sarif"};
  auto found = std::ranges::find(names, text);
  GANTRY_CHECK(found != std::end(names));
  return static_cast<Format>(found - std::begin(names));
}

std::string render_table(const Listing& listing, const json::Array& rows, Format format, const Canvas& canvas) {
  std::vector<const Column*> columns;
  for (const auto& column : listing.columns)
    if (column.detail != Detail::wide || format == Format::wide) columns.push_back(&column);

  std::vector<std::vector<Cell>> cells;
  std::vector<size_t> widths;
  for (const Column* column : columns) widths.push_back(display_width(column->title));
  for (const auto& row : rows) {
    auto& line = cells.emplace_back();
    for (size_t i = 0; i < columns.size(); ++i) {
      Cell cell = columns[i]->read(row);
      cell.text = without_controls(cell.text);
      widths[i] = std::max(widths[i], display_width(cell.text));
      line.push_back(std::move(cell));
    }
  }
  if (canvas.width > 0 && format != Format::wide) {
    leave_out_what_does_not_fit(columns, cells, widths, canvas.width);
    size_t others = 0;
    for (size_t i = 0; i + 1 < widths.size(); ++i) others += widths[i] + 2;
    // A column narrower than its title would only hide which one it is.
    size_t least = display_width(columns.back()->title);
    widths.back() = std::min(widths.back(), std::max(least, canvas.width - std::min(canvas.width, others)));
  }

  std::string out, line;
  for (size_t i = 0; i < columns.size(); ++i)
    line += pad({std::string(columns[i]->title), Tint::bold}, widths[i], columns[i]->align, canvas.style) + "  ";
  out = without_trailing_spaces(line) + "\n";
  for (auto& row : cells) {
    line.clear();
    row.back().text = shorten(row.back().text, widths.back());
    for (size_t i = 0; i < columns.size(); ++i) line += pad(row[i], widths[i], columns[i]->align, canvas.style) + "  ";
    out += without_trailing_spaces(line) + "\n";
  }
  return out;
}

std::string render_listing(const Listing& listing, const json::Array& rows, Format format, const Canvas& canvas) {
  std::string out;
  switch (format) {
    case Format::table:
    case Format::wide:
      return rows.empty() ? "" : render_table(listing, rows, format, canvas);
    case Format::json:
    case Format::sarif:
      return json::pretty(rows) + "\n";
    case Format::yaml:
      return to_yaml(rows);
    case Format::jsonl:
      for (const auto& row : rows) out += json::serialize(row) + "\n";
      return out;
    case Format::name:
      for (const auto& row : rows) out += text_at(row, listing.name_member) + "\n";
      return out;
  }
  return out;
}

std::string render_pairs(const std::vector<Pair>& pairs, const Style& style, size_t indent) {
  size_t width = 0;
  for (const auto& pair : pairs)
    if (!pair.value.text.empty()) width = std::max(width, display_width(pair.name) + 1);
  std::string out;
  for (const auto& pair : pairs) {
    if (pair.value.text.empty()) continue;
    Cell name{std::string(pair.name) + ":", Tint::bold};
    out += fmt::format("{}{}  {}\n", std::string(indent, ' '), pad(name, width, Align::left, style),
                       style.paint(pair.value.tint, without_controls(pair.value.text)));
  }
  return out;
}

std::string to_yaml(const json::Value& value) {
  if (!is_yaml_block(value)) return yaml_scalar(value) + "\n";
  std::string out;
  yaml_into(out, value, 0);
  return out;
}

std::string render_value(const json::Value& value, Format format, std::string_view name_member) {
  switch (format) {
    case Format::jsonl:
      return json::serialize(value) + "\n";
    case Format::yaml:
      return to_yaml(value);
    case Format::name:
      return text_at(value, name_member) + "\n";
    default:
      return json::pretty(value) + "\n";
  }
}

std::string text_at(const json::Value& row, std::string_view path) {
  const json::Value* value = json::find(row, path);
  if (value == nullptr || value->is_null()) return "";
  if (value->is_string()) return std::string(value->get_string());
  return json::serialize(*value);
}

int64_t int_at(const json::Value& row, std::string_view path) {
  return json::get_int_or(row, path, 0).value_or(static_cast<int64_t>(double_at(row, path)));
}

double double_at(const json::Value& row, std::string_view path) {
  return json::get_double_or(row, path, 0).value_or(0);
}

bool bool_at(const json::Value& row, std::string_view path) {
  return json::get_bool_or(row, path, false).value_or(false);
}

const json::Array& array_at(const json::Value& row, std::string_view path) {
  static const json::Array nothing;
  const json::Value* value = json::find(row, path);
  return value != nullptr && value->is_array() ? value->get_array() : nothing;
}

Column text_column(std::string_view title, std::string_view path, Detail detail) {
  return {title, [path](const json::Value& row) { return Cell{dash_if_empty(text_at(row, path))}; }, detail};
}

Column number_column(std::string_view title, std::string_view path, Detail detail) {
  return {title, [path](const json::Value& row) { return Cell{dash_if_empty(text_at(row, path))}; }, detail,
          Align::right};
}

Column status_column(std::string_view title, std::string_view path) {
  return {title, [path](const json::Value& row) {
            std::string status = text_at(row, path);
            Tint tint = tint_of_status(status);
            return Cell{dash_if_empty(std::move(status)), tint};
          }};
}

Column age_column(std::string_view title, std::string_view path, Time now, Detail detail) {
  return {title, [path, now](const json::Value& row) { return Cell{age_of(text_at(row, path), now)}; }, detail,
          Align::right};
}

Column bytes_column(std::string_view title, std::string_view path, Detail detail) {
  return {title,
          [path](const json::Value& row) {
            return Cell{format_bytes_short({static_cast<uint64_t>(std::max<int64_t>(0, int_at(row, path)))})};
          },
          detail, Align::right};
}

std::string age_of(std::string_view time, Time now) {
  auto then = parse_time(time);
  if (!then) return "-";
  Duration age = std::max(Duration::zero(), now - *then);
  // A person wants seconds here, not the milliseconds that tell nothing.
  if (age < std::chrono::seconds(1)) return "0s";
  return format_duration_short(std::chrono::floor<std::chrono::seconds>(age));
}

}  // namespace gantry::cli
