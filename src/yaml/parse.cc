// yaml-cpp reports events; TreeBuilder makes the located tree of them and refuses what we do not want.
#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <unordered_map>

#include "yaml/yaml.h"

namespace gantry::yaml {
namespace {

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

// Thrown out of the event handler to end a parse; caught in `parse` below.
struct Stop {};

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

uint32_t count_characters(std::string_view text) {
  return static_cast<uint32_t>(std::ranges::count_if(text, [](char c) { return !continues_character(c); }));
}

// Turns the byte positions of yaml-cpp into lines and columns of characters. Positions mostly grow, so
// it goes on from the last one: a document of one long line stays linear.
class Locator {
 public:
  explicit Locator(std::string_view text) : text_(text) {}

  Span at(size_t position) {
    position = std::min(position, text_.size());
    if (position < position_) *this = Locator(text_);
    for (; position_ < position; ++position_) {
      char c = text_[position_];
      if (c == '\n') {
        ++line_;
        column_ = 1;
      } else if (!continues_character(c)) {
        ++column_;
      }
    }
    return {line_, column_, 1};
  }

 private:
  std::string_view text_;
  size_t position_ = 0;
  uint32_t line_ = 1;
  uint32_t column_ = 1;
};

// The bytes of the quoted scalar at the start of `text`, quotes included; npos if it never ends.
size_t quoted_size(std::string_view text) {
  char quote = text[0];
  for (size_t i = 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\')
      ++i;
    else if (text[i] == quote && quote == '\'' && text.substr(i + 1).starts_with('\''))
      ++i;
    else if (text[i] == quote)
      return i + 1;
  }
  return text.npos;
}

// Skips `&anchor` and `!tag` in front of a value.
size_t skip_properties(std::string_view text, size_t position) {
  while (position < text.size() && (text[position] == '&' || text[position] == '!')) {
    size_t end = text.find_first_of(" \t\r\n", position);
    if (end == text.npos) break;
    position = std::min(text.find_first_not_of(" \t\r\n", end), text.size());
  }
  return position;
}

// Keeps the lists and maps that are open on a stack; a finished node goes into the one below.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view text, const Limits& limits, Parsed& parsed)
      : text_(text), limits_(limits), parsed_(parsed), locator_(text) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    anchors_.clear();
    if (parsed_.documents.size() < limits_.max_documents) return;
    stop(Problem::What::limit, at(mark), fmt::format("there are more than {} documents", limits_.max_documents));
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node;
    node.span = at(mark);
    // `~: 1` and `null: 1` have a text for a key; yaml-cpp has dropped it.
    if (wants_key()) node.text = null_text(mark);
    add(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto found = anchors_.find(anchor);
    if (found == anchors_.end())
      stop(Problem::What::unsupported, at(mark), "an alias cannot stand inside its own anchor");
    Node copy = found->second;
    copy.span = at(mark);
    charge(copy, copy.span);
    add(std::move(copy), 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node;
    node.kind = Kind::scalar;
    node.text = value;
    node.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    node.span = scalar_span(mark, value);
    check_tag(tag, node.span);
    add(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Kind::list, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Kind::map, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

  Span at(const YAML::Mark& mark) { return locator_.at(static_cast<size_t>(std::max(mark.pos, 0))); }

 private:
  // A list or map that is not finished.
  struct Frame {
    Node node;
    YAML::anchor_t anchor = 0;
    bool has_key = false;
    bool drop_value = false;  // of a key that was refused
    std::string key;
    Span key_span;
    std::unordered_map<std::string, uint32_t> lines;  // of each key
  };

  [[noreturn]] void stop(Problem::What what, Span span, std::string message, std::string help = "") {
    parsed_.problems.push_back({what, std::move(message), std::move(help), span});
    throw Stop{};
  }

  void refuse(Problem::What what, Span span, std::string message, std::string help = "") {
    parsed_.problems.push_back({what, std::move(message), std::move(help), span});
  }

  bool wants_key() const {
    return !frames_.empty() && frames_.back().node.kind == Kind::map && !frames_.back().has_key;
  }

  std::string null_text(const YAML::Mark& mark) {
    std::string_view rest = text_.substr(std::min(static_cast<size_t>(std::max(mark.pos, 0)), text_.size()));
    for (std::string_view word : {"~", "null", "Null", "NULL"})
      if (rest.starts_with(word)) return std::string(word);
    return "";
  }

  // From the first to the last character on the first line; yaml-cpp knows only where a token starts.
  Span scalar_span(const YAML::Mark& mark, const std::string& value) {
    size_t start = skip_properties(text_, static_cast<size_t>(std::max(mark.pos, 0)));
    Span span = locator_.at(start);
    std::string_view rest = text_.substr(std::min(start, text_.size()));
    if (rest.starts_with('"') || rest.starts_with('\'')) {
      // yaml-cpp takes the end of the file for a closing quote.
      size_t size = quoted_size(rest);
      if (size == rest.npos) stop(Problem::What::syntax, span, "the quote that starts here is never closed");
      rest = rest.substr(0, size);
    } else if (rest.starts_with(value)) {
      rest = rest.substr(0, value.size());
    } else if (rest.starts_with('|') || rest.starts_with('>')) {
      rest = rest.substr(0, 1);
    }
    rest = trim(rest.substr(0, rest.find_first_of("\r\n")));
    span.length = std::max(1u, count_characters(rest));
    return span;
  }

  void check_tag(const std::string& tag, Span span) {
    constexpr std::string_view core = "tag:yaml.org,2002:";
    if (tag.empty() || tag == "?" || tag == "!") return;
    std::string_view name = tag;
    if (name.starts_with(core)) {
      name.remove_prefix(core.size());
      for (std::string_view known : {"str", "int", "float", "bool", "null", "map", "seq"})
        if (name == known) return;
    }
    refuse(Problem::What::unsupported, span, fmt::format("the tag `{}` is not supported", name), "remove the tag");
  }

  // Counts a subtree that an alias or an anchor copies.
  void charge(const Node& node, Span place) {
    count_node(place);
    alias_bytes_ += node.text.size();
    if (alias_bytes_ > limits_.max_alias_bytes)
      stop(Problem::What::limit, place, fmt::format("aliases copy more than {} bytes", limits_.max_alias_bytes));
    for (const Node& item : node.items) charge(item, place);
    for (const Entry& entry : node.entries) charge(entry.value, place);
  }

  void count_node(Span place) {
    if (++nodes_ > limits_.max_nodes)
      stop(Problem::What::limit, place, fmt::format("there are more than {} values", limits_.max_nodes));
  }

  void open(Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    Span span = at(mark);
    if (frames_.size() >= limits_.max_depth)
      stop(Problem::What::limit, span, fmt::format("lists and maps are nested more than {} deep", limits_.max_depth));
    check_tag(tag, span);
    Frame frame;
    frame.node.kind = kind;
    frame.node.span = span;
    frame.anchor = anchor;
    frames_.push_back(std::move(frame));
  }

  void close() {
    Node node = std::move(frames_.back().node);
    YAML::anchor_t anchor = frames_.back().anchor;
    frames_.pop_back();
    add(std::move(node), anchor);
  }

  // Puts a finished node where it belongs.
  void add(Node node, YAML::anchor_t anchor) {
    count_node(node.span);
    if (anchor != 0) {
      charge(node, node.span);
      anchors_[anchor] = node;
    }
    if (frames_.empty()) {
      if (node.kind != Kind::null) parsed_.documents.push_back(std::move(node));
    } else if (Frame& frame = frames_.back(); frame.node.kind == Kind::list) {
      frame.node.items.push_back(std::move(node));
    } else if (!frame.has_key) {
      take_key(frame, std::move(node));
    } else {
      frame.has_key = false;
      // `key:` with nothing: the next token is no place to point at.
      if (node.kind == Kind::null && node.span.line != frame.key_span.line) node.span = frame.key_span;
      if (!frame.drop_value) frame.node.entries.push_back({std::move(frame.key), frame.key_span, std::move(node)});
    }
  }

  // A refused key also drops its value, and the parse goes on.
  void take_key(Frame& frame, Node node) {
    frame.has_key = true;
    frame.drop_value = true;
    if (node.kind == Kind::list || node.kind == Kind::map || (node.kind == Kind::null && node.text.empty())) {
      refuse(Problem::What::unsupported, node.span, fmt::format("a key must be text, not {}", kind_name(node)));
      return;
    }
    auto [first, is_new] = frame.lines.emplace(node.text, node.span.line);
    if (!is_new) {
      refuse(Problem::What::duplicate_key, node.span, fmt::format("the key `{}` is given twice", node.text),
             fmt::format("it is defined on line {} already; remove one of the two", first->second));
      return;
    }
    frame.drop_value = false;
    frame.key = std::move(node.text);
    frame.key_span = node.span;
  }

  std::string_view text_;
  const Limits& limits_;
  Parsed& parsed_;
  Locator locator_;
  std::vector<Frame> frames_;
  std::unordered_map<YAML::anchor_t, Node> anchors_;
  size_t nodes_ = 0;
  size_t alias_bytes_ = 0;
};

// What yaml-cpp says, in words that lead to the fix.
struct Wording {
  std::string_view theirs;
  std::string_view message;
  std::string_view help;
};
constexpr Wording wordings[] = {
    {"illegal map value", "a `key: value` pair cannot stand here",
     "align the key with the lines above, or put text that contains `: ` in quotes"},
    {"illegal map key", "a key cannot stand here", "align the key with the lines above"},
    {"illegal block entry", "a list item cannot stand here", "align the `-` with the other items"},
    {"end of map not found", "the line does not fit into the map above it",
     "align the key with its siblings, and check that the line above ends its value"},
    {"end of sequence not found", "the line does not fit into the list above it",
     "align the `-` with the other items of the list"},
    {"end of map flow not found", "expected `,` or `}` here",
     "close the `{` above; text with braces such as \"${NAME}\" must be in quotes there"},
    {"end of sequence flow not found", "expected `,` or `]` here", "close the `[` above"},
    {"illegal tab when looking for indentation", "a tab cannot be used for indentation", "indent with spaces"},
    {"illegal EOF in scalar", "the text ends inside quotes", "close the quote"},
    {"the referenced anchor is not defined", "no anchor has this name", "define it above with `&name`"},
    {"unknown token", "this character cannot start a value", "put the text in quotes"},
    {"unknown escape character: ", "this escape does not exist",
     "write a backslash as \\\\, or use single quotes, in which it is an ordinary character"},
};

Problem explain(const YAML::Exception& exception, Span span, std::string_view text) {
  // A tab in front of the line is the cause whatever yaml-cpp stumbled over.
  std::string_view line = line_of(text, span.line);
  size_t tab = line.substr(0, line.find_first_not_of(" \t")).find('\t');
  if (tab != line.npos && tab < line.size() && line.find_first_not_of(" \t") != line.npos)
    return {Problem::What::syntax,
            "a tab cannot be used for indentation",
            "indent with spaces",
            {span.line, static_cast<uint32_t>(tab + 1), 1}};
  for (const Wording& wording : wordings)
    if (std::string_view(exception.msg).starts_with(wording.theirs))
      return {Problem::What::syntax, std::string(wording.message), std::string(wording.help), span};
  return {Problem::What::syntax, exception.msg, "", span};
}

// The position of the first byte that is not printable UTF-8 (YAML 1.2.2 section 5.1); npos if all are.
// yaml-cpp would take U+0004 for the end of the file.
size_t first_bad_byte(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      if (byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') return i;
      continue;
    }
    size_t more = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
    if (byte < 0xc2 || byte > 0xf4 || text.size() - i <= more) return i;
    for (size_t k = 1; k <= more; ++k)
      if (!continues_character(text[i + k])) return i;
    i += more;
  }
  return text.npos;
}

}  // namespace

Parsed parse(std::string_view text, const Limits& limits) {
  Parsed parsed;
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  if (text.size() > limits.max_bytes) {
    parsed.problems.push_back(
        {Problem::What::limit,
         fmt::format("the text has {} bytes, more than the limit of {}", text.size(), limits.max_bytes),
         "split the file", Span{1, 1, 1}});
    return parsed;
  }
  if (size_t bad = first_bad_byte(text); bad != text.npos) {
    auto byte = static_cast<unsigned char>(text[bad]);
    parsed.problems.push_back({Problem::What::syntax, fmt::format("the byte 0x{:02x} is no printable UTF-8 text", byte),
                               "save the file as UTF-8 text", Locator(text).at(bad)});
    return parsed;
  }
  TreeBuilder builder(text, limits, parsed);
  try {
    std::istringstream input{std::string(text)};
    YAML::Parser parser(input);
    while (parser.HandleNextDocument(builder)) continue;
  } catch (const Stop&) {
    // The problem is recorded.
  } catch (const YAML::DeepRecursion& exception) {
    parsed.problems.push_back({Problem::What::limit,
                               fmt::format("lists and maps are nested more than {} deep", limits.max_depth), "",
                               builder.at(exception.mark)});
  } catch (const YAML::Exception& exception) {
    parsed.problems.push_back(explain(exception, builder.at(exception.mark), text));
  } catch (const std::exception& exception) {
    parsed.problems.push_back({Problem::What::syntax, exception.what(), "", Span{1, 1, 1}});
  }
  return parsed;
}

}  // namespace gantry::yaml
