// .gantryignore: which files of a work directory stay at home. The rules of gitignore(5) for one file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gantry::cli {

enum class EntryKind { file, directory };

/// A list of patterns; the last one that matches decides. `.git/` is left out from the start.
class IgnoreRules {
 public:
  IgnoreRules() : IgnoreRules(std::string_view()) {}
  explicit IgnoreRules(std::string_view text);

  /// `path` is relative, with `/`, without a leading or trailing one. What lies in a directory that is
  /// left out is left out too: the caller does not descend.
  bool leaves_out(std::string_view path, EntryKind kind) const;

 private:
  struct Rule {
    std::string pattern;
    bool keeps = false;      ///< began with `!`
    bool anchored = false;   ///< holds a slash: matches from the top only
    bool directory = false;  ///< ended with a slash
  };
  void add(std::string_view line);
  std::vector<Rule> rules_;
};

/// True if the whole of `text` matches: `*` and `?` and `[…]` stop at `/`, `**` does not.
bool glob_matches(std::string_view pattern, std::string_view text);

}  // namespace gantry::cli
