// YAML as a tree in which every key and value knows where it stands in the source.
//
// yaml-cpp does the scanning; this folder adds what a configuration language needs and yaml-cpp lacks:
// the types of the YAML 1.2 core schema (`yes` and `on` are strings), duplicate keys as errors, spans
// for carets, and bounds on size, depth and the growth of aliases ("billion laughs"). JSON text is
// accepted, since it is YAML.
//
// A tree is a plain value that owns all its text. Pure functions, thread-safe, nothing throws, no I/O.
//
// Example:
//
//   yaml::Parsed parsed = yaml::parse(text);
//   for (const yaml::Problem& problem : parsed.problems) report(problem.span, problem.message);
//   for (const yaml::Node& document : parsed.documents)
//     if (const yaml::Entry* kind = document.find("kind")) use(kind->value.text, kind->key_span);
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "json/json.h"

namespace gantry::yaml {

/// A place in the source. Lines and columns start at 1, columns and length count characters (code
/// points). Line 0 means that the node comes from no source.
struct Span {
  uint32_t line = 0;
  uint32_t column = 0;
  uint32_t length = 0;
  explicit operator bool() const { return line != 0; }
  friend bool operator==(const Span&, const Span&) = default;
};

/// The shape of a node. `null` is `~`, `null` or nothing at all.
enum class Kind { null, scalar, list, map };
/// What a scalar is in the YAML 1.2 core schema.
enum class Type { null, boolean, integer, number, string };

struct Entry;

/// One value with its place.
struct Node {
  Kind kind = Kind::null;
  /// The text of a scalar after quotes, escapes and folding; empty for the other kinds.
  std::string text;
  /// Written in quotes, as a block scalar or with the tag !!str: a string whatever it looks like.
  bool quoted = false;
  /// The scalar; for a list or map its first character; for `key:` without a value the key.
  Span span;
  std::vector<Node> items;     ///< of a list
  std::vector<Entry> entries;  ///< of a map, in the order of the source

  /// The entry of a map with this key; nullptr if there is none or this is no map.
  const Entry* find(std::string_view key) const;
  /// Null for null nodes, string for lists and maps.
  Type type() const;
  std::optional<bool> as_bool() const;
  /// Decimal, 0x and 0o; nullopt if it is no integer or does not fit.
  std::optional<int64_t> as_int() const;
  std::optional<double> as_number() const;
};

/// One key and its value.
struct Entry {
  std::string key;
  Span key_span;
  Node value;
};

/// `a map`, `a list`, `text`, `an integer`, `a number`, `a boolean`, `nothing`: for messages.
std::string_view kind_name(const Node& node);

/// What is wrong with a text.
struct Problem {
  enum class What {
    syntax,         ///< not YAML
    duplicate_key,  ///< one key twice in one map
    limit,          ///< too large, too deep or too much made of aliases
    unsupported,    ///< YAML that we refuse: lists as keys, tags of other languages
  };
  What what = What::syntax;
  std::string message;
  std::string help;
  Span span;
};

/// The bounds of `parse`; a text beyond one is a problem of kind `limit`.
struct Limits {
  size_t max_bytes = size_t{1} << 20;
  size_t max_depth = 64;
  /// Nodes of all documents, those that aliases copy included.
  size_t max_nodes = 200'000;
  /// Text that aliases may copy, in bytes.
  size_t max_alias_bytes = size_t{4} << 20;
  size_t max_documents = 1'000;
};

/// The documents of a text and all that is wrong with it. A syntax or limit problem ends the parse:
/// `documents` then holds those before it. Empty documents (only comments) are left out.
struct Parsed {
  std::vector<Node> documents;
  std::vector<Problem> problems;
};
Parsed parse(std::string_view text, const Limits& limits = {});

/// The same tree without places, for JSON that goes through the same checks as YAML. Strings are
/// `quoted`, so that "true" stays a string.
Node from_json(const json::Value& value);

/// Line `line` (from 1) of `text` without its line end; empty beyond the last. Points into `text`.
std::string_view line_of(std::string_view text, uint32_t line);

/// A scalar as it must be written in YAML to be read back as the same string: plain if that is safe,
/// else in double quotes.
std::string quote_if_needed(std::string_view text);

}  // namespace gantry::yaml
