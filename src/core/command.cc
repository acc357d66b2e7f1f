#include "core/core.h"

namespace gantry::core {

// POSIX Shell Command Language section 2.2, quoting only.
Result<std::vector<std::string>> split_command(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;  // '' is an empty word, two spaces are none
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
      continue;
    }
    // A backslash and a newline join two lines and are no part of a word.
    if (text.substr(i).starts_with("\\\n")) {
      ++i;
      continue;
    }
    in_word = true;
    if (c == '\\') {
      if (++i == text.size()) return fail(Code::invalid, "the command ends with a lone backslash");
      word += text[i];
    } else if (c == '\'') {
      size_t end = text.find('\'', i + 1);
      if (end == text.npos) return fail(Code::invalid, "the command has an unfinished single quote");
      word += text.substr(i + 1, end - i - 1);
      i = end;
    } else if (c == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i) {
        // Inside double quotes a backslash only escapes these four.
        bool escapes = text[i] == '\\' && i + 1 < text.size() &&
                       std::string_view("\"\\$`").find(text[i + 1]) != std::string_view::npos;
        word += text[escapes ? ++i : i];
      }
      if (i == text.size()) return fail(Code::invalid, "the command has an unfinished double quote");
    } else {
      word += c;
    }
  }
  if (in_word) words.push_back(std::move(word));
  return words;
}

}  // namespace gantry::core
