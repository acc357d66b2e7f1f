// What a command prints to stdout: tables for people; JSON, JSON lines, YAML and names for programs.
//
// A handler describes a listing once (columns and how a cell is read from a row of the API) and all
// six formats follow. JSON comes through as the API sent it, so a script sees the documented fields.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "cli/style.h"
#include "json/json.h"

namespace gantry::cli {

/// `sarif` is of `gantry validate` only; elsewhere it is not among the choices.
enum class Format { table, wide, json, jsonl, yaml, name, sarif };
/// The format with that spelling; the flag was checked against the table, so it is one of them.
Format format_from_string(std::string_view text);

/// A piece of text with a meaning.
struct Cell {
  std::string text;
  Tint tint = Tint::plain;
};

enum class Detail {
  always,
  wide,     ///< only with `-o wide`
  if_fits,  ///< left out, the last one first, when the canvas is too narrow
};
enum class Align { left, right };

/// One column of a listing. `read` gets a row as the API sent it.
struct Column {
  std::string_view title;
  std::function<Cell(const json::Value& row)> read;
  Detail detail = Detail::always;
  Align align = Align::left;
};

/// A listing: its columns, and the member that `-o name` prints.
struct Listing {
  std::vector<Column> columns;
  std::string_view name_member;
  /// What stderr says when there are no rows.
  std::string_view when_empty;
};

/// How wide and how colourful a table may be.
struct Canvas {
  Style style = Style();
  size_t width = 0;  ///< 0: cells are never shortened
};

/// The rows as a table, with a header line, the columns two spaces apart. Only the last column gets
/// shorter when the canvas is too narrow.
std::string render_table(const Listing& listing, const json::Array& rows, Format format, const Canvas& canvas);
/// The rows in any format.
std::string render_listing(const Listing& listing, const json::Array& rows, Format format, const Canvas& canvas);

/// Lines `Name:  value`, the values in one column; an empty value leaves the line out.
struct Pair {
  std::string_view name;
  Cell value;
};
std::string render_pairs(const std::vector<Pair>& pairs, const Style& style, size_t indent = 0);

/// A value as a YAML document.
std::string to_yaml(const json::Value& value);
/// A value in one of the formats for programs; `name_member` is what `name` prints.
std::string render_value(const json::Value& value, Format format, std::string_view name_member);

// Reading rows of the API. A member that is missing or of another type reads as empty or 0: a newer
// or older server must not break a listing.
std::string text_at(const json::Value& row, std::string_view path);
int64_t int_at(const json::Value& row, std::string_view path);
double double_at(const json::Value& row, std::string_view path);
bool bool_at(const json::Value& row, std::string_view path);
const json::Array& array_at(const json::Value& row, std::string_view path);

/// A text column, a number column, a status column.
Column text_column(std::string_view title, std::string_view path, Detail detail = Detail::always);
Column number_column(std::string_view title, std::string_view path, Detail detail = Detail::always);
Column status_column(std::string_view title, std::string_view path);
/// How long ago the time at `path` was: `3m`; `-` if there is none.
Column age_column(std::string_view title, std::string_view path, Time now, Detail detail = Detail::always);
Column bytes_column(std::string_view title, std::string_view path, Detail detail = Detail::always);
/// `4s`, `3d4h`; `-` for a time that cannot be read.
std::string age_of(std::string_view time, Time now);

}  // namespace gantry::cli
