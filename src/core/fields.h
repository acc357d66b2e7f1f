// Reads the fields of one map, converts and checks them, and reports every mistake with its place.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "core/substitution.h"

namespace gantry::core {

/// How messages name a field: `resources.memory` or `--memory`.
enum class FieldStyle { path, flag };

/// What all readers of one source share.
struct Reading {
  std::string file;
  std::vector<Diagnostic>& diagnostics;
  const Substitution* substitution = nullptr;
  FieldStyle style = FieldStyle::path;
  const ParseOptions* options = nullptr;
  /// A stored spec passed the checks of the version that stored it; what was tightened since lets it pass.
  bool is_stored = false;
  /// Reports, and values that could not be substituted, which are reported already.
  size_t mistakes = 0;

  /// Reports an error at `span` about the field `path`.
  void report(Rule rule, const yaml::Span& span, std::string_view path, std::string message, std::string help = "");
  /// The name of a field for messages, with backticks.
  std::string name_of(std::string_view path) const;
  /// True if the value comes from the environment: it is taken for the type that its field wants.
  bool was_substituted(const yaml::Node& node) const { return substitution && substitution->changed(node); }
  /// How a value with references was written; nullptr if it had none.
  const std::string* written(const yaml::Node& node) const {
    return substitution ? substitution->written(node) : nullptr;
  }
  /// True if there is no value, because its substitution failed.
  bool is_lost(const yaml::Node& node) {
    if (!substitution || !substitution->failed(node)) return false;
    ++mistakes;
    return true;
  }
};

/// Both ends belong to it.
template <class T>
struct Range {
  T least;
  T most;
};

/// One word that a field takes and what it means.
template <class T>
struct Choice {
  std::string_view word;
  T value;
};

/// The fields of one map. Each `read_…` leaves its target as it is when the field is absent or wrong.
class Fields {
 public:
  /// `path` is that of the map itself; `place` is where a missing field is reported, usually its key.
  /// Reports GS0203 if the node is no map; nothing (`key:` with no value) is an empty map.
  Fields(Reading& reading, const yaml::Node& node, std::string path, yaml::Span place);

  /// The entry of a field, which then counts as known; nullptr if it is absent.
  const yaml::Entry* take(std::string_view key);
  /// Like `take`, but no message proposes the field.
  const yaml::Entry* take_quietly(std::string_view key);
  bool has(std::string_view key) const { return node_.find(key) != nullptr; }
  /// Like `take`; what is no list is reported, with `help`, and not returned.
  const yaml::Entry* take_list(std::string_view key, std::string help);
  /// Like `take`, but the field stays unknown until somebody reads it.
  const yaml::Entry* peek(std::string_view key) const;
  /// Reports GS0202.
  void require(std::string_view key, std::string_view help);
  std::string path_of(std::string_view key) const {
    return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
  }

  /// Returns the node of the field if it was a text and was read.
  const yaml::Node* read_text(std::string_view key, std::string& out);
  const yaml::Node* read_integer(std::string_view key, uint32_t& out, Range<uint32_t> range);
  const yaml::Node* read_boolean(std::string_view key, bool& out);
  const yaml::Node* read_duration(std::string_view key, Duration& out, Range<Duration> range);
  const yaml::Node* read_bytes(std::string_view key, Bytes& out, Range<Bytes> range);
  const yaml::Node* read_cpu(std::string_view key, MilliCpu& out, Range<MilliCpu> range);

  template <class T, size_t N>
  const yaml::Node* read_choice(std::string_view key, T& out, const Choice<T> (&choices)[N]) {
    std::vector<std::string_view> words;
    for (const Choice<T>& choice : choices) words.push_back(choice.word);
    std::string text;
    const yaml::Node* node = read_text(key, text);
    if (!node) return nullptr;
    for (const Choice<T>& choice : choices)
      if (choice.word == text) return out = choice.value, node;
    report_no_choice(key, *node, words);
    return nullptr;
  }

  /// Reports GS0501 for a field of later versions. An empty list or map asks for nothing and passes.
  void refuse_later(std::string_view key);
  /// Takes a field as known without looking at it.
  void pass_over(std::string_view key) { known_.emplace(key); }
  /// Reports GS0201 for each field that nobody took.
  void finish();

 private:
  void report_no_choice(std::string_view key, const yaml::Node& node, const std::vector<std::string_view>& words);
  const yaml::Node* scalar_of(std::string_view key, std::string_view expected);
  void report_type(std::string_view key, const yaml::Node& node, std::string_view expected);
  enum class Side { below, above };
  void report_range(std::string_view key, const yaml::Node& node, std::string_view least, std::string_view most,
                    Side side, std::string help = "");

  Reading& reading_;
  const yaml::Node& node_;
  std::string path_;
  yaml::Span place_;
  bool is_map_;
  std::set<std::string, std::less<>> known_;
  std::set<std::string, std::less<>> offered_;  // known and supported: what a message may propose
};

/// The text of a scalar that is handed to a program or stored as it is: numbers and booleans as they
/// are written. nullopt, and a report, for lists, maps, nothing, `secret://…` and texts with NUL.
std::optional<std::string> read_argument(Reading& reading, const yaml::Node& node, std::string_view path);

/// At most 64 characters of a text of the user, for messages.
std::string clip(std::string_view text);
/// `a`, `b` or `c`, with backticks; the conjunction is `or` or `and`.
std::string list_words(const std::vector<std::string_view>& words, std::string_view conjunction);

}  // namespace gantry::core
