#include "cli/ignore.h"

#include <algorithm>

namespace gantry::cli {
namespace {

/// Matches `[…]` at the start of `pattern` against `c`; the length of the bracket, 0 if it is not closed.
size_t match_bracket(std::string_view pattern, char c, bool& matches) {
  size_t at = 1;
  bool negated = at < pattern.size() && (pattern[at] == '!' || pattern[at] == '^');
  if (negated) ++at;
  bool found = false;
  for (size_t first = at; at < pattern.size() && (pattern[at] != ']' || at == first);) {
    char low = pattern[at];
    char high = low;
    if (at + 2 < pattern.size() && pattern[at + 1] == '-' && pattern[at + 2] != ']') {
      high = pattern[at + 2];
      at += 2;
    }
    found = found || (low <= c && c <= high);
    ++at;
  }
  if (at >= pattern.size()) return 0;
  matches = found != negated && c != '/';
  return at + 1;
}

/// How many characters of `pattern` match `c` as one character; 0 if they do not.
size_t match_one(std::string_view pattern, char c) {
  if (pattern[0] == '[') {
    bool matches = false;
    size_t length = match_bracket(pattern, c, matches);
    if (length > 0) return matches ? length : 0;
  }
  if (pattern[0] == '?') return c != '/' ? 1 : 0;
  if (pattern[0] == '\\' && pattern.size() > 1) return pattern[1] == c ? 2 : 0;
  return pattern[0] == c ? 1 : 0;
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view text) {
  // The classic walk with one point of return for `*` and one for `**`: linear in practice, and never
  // worse than pattern times text times the number of `**`.
  while (!pattern.empty()) {
    if (pattern.starts_with("**")) {
      pattern.remove_prefix(2);
      // `**/` also stands for nothing.
      if (pattern.starts_with('/') && glob_matches(pattern.substr(1), text)) return true;
      for (size_t skip = 0; skip <= text.size(); ++skip)
        if (glob_matches(pattern, text.substr(skip))) return true;
      return false;
    }
    if (pattern[0] == '*') {
      pattern.remove_prefix(1);
      for (size_t skip = 0;; ++skip) {
        if (glob_matches(pattern, text.substr(skip))) return true;
        if (skip == text.size() || text[skip] == '/') return false;
      }
    }
    if (text.empty()) return false;
    size_t used = match_one(pattern, text[0]);
    if (used == 0) return false;
    pattern.remove_prefix(used);
    text.remove_prefix(1);
  }
  return text.empty();
}

IgnoreRules::IgnoreRules(std::string_view text) {
  add(".git/");
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    add(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

void IgnoreRules::add(std::string_view line) {
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
  if (line.empty() || line[0] == '#') return;
  Rule rule;
  if (line[0] == '!') {
    rule.keeps = true;
    line.remove_prefix(1);
  }
  if (line.ends_with('/')) {
    rule.directory = true;
    line.remove_suffix(1);
  }
  rule.anchored = line.find('/') != std::string_view::npos;
  if (line.starts_with('/')) line.remove_prefix(1);
  if (line.empty()) return;
  rule.pattern = line;
  rules_.push_back(std::move(rule));
}

bool IgnoreRules::leaves_out(std::string_view path, EntryKind kind) const {
  std::string_view name = path.substr(path.rfind('/') + 1);
  for (auto rule = rules_.rbegin(); rule != rules_.rend(); ++rule) {
    if (rule->directory && kind != EntryKind::directory) continue;
    if (glob_matches(rule->pattern, rule->anchored ? path : name)) return !rule->keeps;
  }
  return false;
}

}  // namespace gantry::cli
