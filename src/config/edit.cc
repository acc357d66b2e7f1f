// Changes single lines of a file and proves by reading the result that nothing else changed.
#include <algorithm>

#include "config/files.h"

namespace gantry::config {
namespace {

std::unexpected<Error> by_hand(const std::filesystem::path& file) {
  return fail(ErrorId::GR0701, "{}: the file is written in a way that cannot be changed safely; edit it by hand",
              file.string());
}

// A file and what it means; no root for an empty one.
struct Document {
  std::string text;
  std::optional<yaml::Node> root;
};

Result<Document> read_document(const std::filesystem::path& file) {
  GANTRY_TRY(auto text, read_text(file));
  Document document{text.value_or(""), std::nullopt};
  yaml::Parsed parsed = yaml::parse(document.text, {.max_bytes = max_file_size.count});
  if (!parsed.problems.empty())
    return fail(ErrorId::GR0701, "{}:{}: {}", file.string(), parsed.problems[0].span.line, parsed.problems[0].message);
  if (parsed.documents.size() > 1 || (!parsed.documents.empty() && parsed.documents[0].kind != yaml::Kind::map))
    return by_hand(file);
  if (!parsed.documents.empty()) document.root = std::move(parsed.documents[0]);
  return document;
}

const yaml::Entry* find_entry(const Document& document, std::string_view name) {
  return document.root ? document.root->find(name) : nullptr;
}

size_t start_of_line(std::string_view text, uint32_t line) {
  size_t at = text.starts_with("\xef\xbb\xbf") ? 3 : 0;
  for (uint32_t i = 1; i < line && at < text.size(); ++i) at = std::min(text.find('\n', at), text.size() - 1) + 1;
  return at;
}

// The byte of a place that is given in lines and characters.
size_t byte_of(std::string_view text, const yaml::Span& span) {
  size_t at = start_of_line(text, span.line);
  for (uint32_t left = span.column - 1; left > 0 && at < text.size(); --left) do
      ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
  return at;
}

// The text of a value is replaced where it stands, so indentation and comments stay. A first guess: the
// caller proves the result.
std::string with_value(const Document& document, std::string_view name, std::string_view value) {
  std::string text = document.text;
  std::string written = yaml::quote_if_needed(value);
  const yaml::Entry* entry = find_entry(document, name);
  if (!entry) {
    if (!text.empty() && !text.ends_with('\n')) text += '\n';
    return text + fmt::format("{}: {}\n", name, written);
  }
  if (entry->value.kind == yaml::Kind::null) {
    size_t colon = text.find(':', byte_of(text, entry->key_span));
    return text.insert(std::min(colon + 1, text.size()), " " + written);
  }
  size_t first = byte_of(text, entry->value.span);
  yaml::Span end = entry->value.span;
  end.column += end.length;
  return text.replace(first, byte_of(text, end) - first, written);
}

// The whole line, with the comment behind the value, which spoke of it.
std::string without_key(const Document& document, const yaml::Entry& entry) {
  std::string text = document.text;
  size_t first = start_of_line(text, entry.key_span.line);
  size_t end = start_of_line(text, entry.key_span.line + 1);
  return text.erase(first, end - first);
}

// True if `text` holds what the document holds, apart from one key, which has `value` or is gone.
bool is_same_but(const Document& document, const std::string& text, std::string_view name,
                 std::optional<std::string_view> value) {
  yaml::Parsed parsed = yaml::parse(text, {.max_bytes = max_file_size.count});
  if (!parsed.problems.empty() || parsed.documents.size() > 1) return false;
  std::vector<std::pair<std::string, std::string>> wanted, got;
  auto collect = [&](const yaml::Node& root, auto& list) {
    for (const yaml::Entry& entry : root.entries)
      if (entry.key != name) list.emplace_back(entry.key, entry.value.text);
  };
  if (document.root) collect(*document.root, wanted);
  if (!parsed.documents.empty()) collect(parsed.documents[0], got);
  const yaml::Entry* entry = parsed.documents.empty() ? nullptr : parsed.documents[0].find(name);
  if (wanted != got || (entry != nullptr) != value.has_value()) return false;
  return !entry || (entry->value.kind == yaml::Kind::scalar && entry->value.text == *value);
}

}  // namespace

Result<> set_value(const std::filesystem::path& file, std::string_view name, std::string_view value) {
  const Option* option = find_option(name);
  if (!option) return fail(ErrorId::GR0701, "there is no option '{}'", name);
  if (auto checked = check_value(*option, value); !checked)
    return fail(ErrorId::GR0701, "{}: {}", name, checked.error().reason());
  GANTRY_TRY(Document document, read_document(file));
  std::string text = with_value(document, name, value);
  if (!is_same_but(document, text, name, value)) return by_hand(file);
  return replace_text(file, text);
}

Result<bool> reset_value(const std::filesystem::path& file, std::string_view name) {
  GANTRY_TRY(Document document, read_document(file));
  const yaml::Entry* entry = find_entry(document, name);
  if (!entry) return false;
  std::string text = without_key(document, *entry);
  if (!is_same_but(document, text, name, std::nullopt)) return by_hand(file);
  GANTRY_TRY_VOID(replace_text(file, text));
  return true;
}

Result<> reset_all(const std::filesystem::path& file) {
  for (const Option& option : schema()) GANTRY_TRY_VOID(reset_value(file, option.name));
  return {};
}

}  // namespace gantry::config
