#include "yaml/yaml.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gantry::yaml {
namespace {

Node parse_one(std::string_view text) {
  Parsed parsed = parse(text);
  EXPECT_TRUE(parsed.problems.empty()) << text << ": " << (parsed.problems.empty() ? "" : parsed.problems[0].message);
  EXPECT_EQ(parsed.documents.size(), 1u) << text;
  return parsed.documents.empty() ? Node{} : parsed.documents[0];
}

Problem problem_of(std::string_view text, const Limits& limits = {}) {
  Parsed parsed = parse(text, limits);
  EXPECT_EQ(parsed.problems.size(), 1u) << text.substr(0, 80);
  return parsed.problems.empty() ? Problem{} : parsed.problems[0];
}

TEST(Types, FollowTheCoreSchemaOfYaml12) {
  const std::pair<std::string_view, Type> rows[] = {
      {"true", Type::boolean},      {"False", Type::boolean}, {"TRUE", Type::boolean},  {"yes", Type::string},
      {"on", Type::string},         {"No", Type::string},     {"tRue", Type::string},   {"12", Type::integer},
      {"-12", Type::integer},       {"+1", Type::integer},    {"0o17", Type::integer},  {"0x1F", Type::integer},
      {"017", Type::integer},       {"1_000", Type::string},  {"0b11", Type::string},   {"1.5", Type::number},
      {".5", Type::number},         {"5.", Type::number},     {"1e3", Type::number},    {"-1.5E-3", Type::number},
      {".inf", Type::number},       {"-.INF", Type::number},  {".NaN", Type::number},   {"1.2.3", Type::string},
      {"1e", Type::string},         {".", Type::string},      {"+", Type::string},      {"12:30", Type::string},
      {"2026-01-01", Type::string}, {"\"12\"", Type::string}, {"'true'", Type::string}, {"!!str 12", Type::string},
      {"! 12", Type::string},       {"0o8", Type::string},    {"<<", Type::string},
  };
  for (auto [text, type] : rows) EXPECT_EQ(parse_one("k: " + std::string(text)).entries[0].value.type(), type) << text;
  for (std::string_view text : {"~", "null", "Null", "NULL", ""})
    EXPECT_EQ(parse_one("k: " + std::string(text)).entries[0].value.type(), Type::null) << text;
}

TEST(Types, ConvertValues) {
  Node list = parse_one("[12, -7, 0x1F, 0o17, +3, 99999999999999999999, 1.5, .5, +2e3, -.inf, .nan, true, 'true', 5.]");
  const auto& items = list.items;
  EXPECT_EQ(items[0].as_int(), 12);
  EXPECT_EQ(items[1].as_int(), -7);
  EXPECT_EQ(items[2].as_int(), 31);
  EXPECT_EQ(items[3].as_int(), 15);
  EXPECT_EQ(items[4].as_int(), 3);
  EXPECT_EQ(items[5].as_int(), std::nullopt);
  EXPECT_EQ(items[6].as_number(), 1.5);
  EXPECT_EQ(items[7].as_number(), 0.5);
  EXPECT_EQ(items[8].as_number(), 2000.0);
  EXPECT_EQ(items[9].as_number(), -INFINITY);
  EXPECT_TRUE(std::isnan(items[10].as_number().value()));
  EXPECT_EQ(items[11].as_bool(), true);
  EXPECT_EQ(items[12].as_bool(), std::nullopt);
  EXPECT_EQ(items[13].as_number(), 5.0);
  EXPECT_EQ(items[0].as_number(), 12.0);
}

TEST(Spans, PointAtKeysAndValuesInCharacters) {
  Node root = parse_one(
      "a: plain text\n"
      "ä: \"ö \\\" x\"\n"
      "list:\n"
      "  - 'it''s'\n"
      "  - &anchor !!str value\n"
      "  - *anchor\n"
      "block: |\n"
      "  one\n"
      "flow: {x: [1, 22]}\n"
      "folded: first\n"
      "  second\n");
  EXPECT_EQ(root.entries[0].key_span, (Span{1, 1, 1}));
  EXPECT_EQ(root.entries[0].value.span, (Span{1, 4, 10}));
  EXPECT_EQ(root.entries[1].key_span, (Span{2, 1, 1}));
  EXPECT_EQ(root.entries[1].value.span, (Span{2, 4, 8}));
  EXPECT_EQ(root.entries[1].value.text, "ö \" x");
  const Node& list = root.find("list")->value;
  EXPECT_EQ(list.items[0].span, (Span{4, 5, 7}));
  EXPECT_EQ(list.items[1].span, (Span{5, 19, 5}));
  EXPECT_EQ(list.items[2].span, (Span{6, 5, 1}));
  EXPECT_EQ(list.items[2].text, "value");
  EXPECT_EQ(root.find("block")->value.span, (Span{7, 8, 1}));
  EXPECT_TRUE(root.find("block")->value.quoted);
  EXPECT_EQ(root.find("flow")->value.find("x")->value.items[1].span, (Span{9, 15, 2}));
  EXPECT_EQ(root.find("folded")->value.text, "first second");
  EXPECT_EQ(root.find("folded")->value.span, (Span{10, 9, 5}));
}

TEST(Parse, ReadsManyDocumentsAndSkipsEmptyOnes) {
  Parsed parsed = parse("a: 1\n---\n# nothing\n---\nb: 2\n...\n");
  EXPECT_TRUE(parsed.problems.empty());
  ASSERT_EQ(parsed.documents.size(), 2u);
  EXPECT_EQ(parsed.documents[1].find("b")->value.span, (Span{5, 4, 1}));
  EXPECT_TRUE(parse("").documents.empty());
  EXPECT_TRUE(parse("# only a comment\n").problems.empty());
}

TEST(Parse, AcceptsJsonByteOrderMarksAndWindowsLines) {
  Node json = parse_one(R"({"a": [1, true, null, "x\u00e9"], "b": {}})");
  EXPECT_EQ(json.find("a")->value.items[3].text, "xé");
  EXPECT_EQ(json.find("a")->value.items[2].kind, Kind::null);
  EXPECT_EQ(json.find("b")->value.kind, Kind::map);
  Node windows = parse_one(
      "\xef\xbb\xbf"
      "a: 1\r\nb: two\r\n");
  EXPECT_EQ(windows.find("b")->key_span, (Span{2, 1, 1}));
  EXPECT_EQ(windows.find("b")->value.text, "two");
}

TEST(Parse, LocatesWhatIsWrong) {
  struct Row {
    std::string text;
    Problem::What what;
    Span span;
    std::string_view message;
  };
  using enum Problem::What;
  const Row rows[] = {
      {"a: b: c\n", syntax, {1, 5, 1}, "a `key: value` pair cannot stand here"},
      {"a:\n\tb: 2\n", syntax, {2, 1, 1}, "a tab cannot be used for indentation"},
      {"a: \"open\nb: 1\n", syntax, {1, 4, 1}, "the quote that starts here is never closed"},
      {"a: 'open", syntax, {1, 9, 1}, "the text ends inside quotes"},
      {"a: [1, 2\nb: 3\n", syntax, {2, 2, 1}, "expected `,` or `]` here"},
      {"x: { p: ${A} }\n", syntax, {1, 10, 1}, "expected `,` or `}` here"},
      {"a: *gone\n", syntax, {1, 4, 1}, "no anchor has this name"},
      {"a: \"\\q\"\n", syntax, {1, 7, 1}, "this escape does not exist"},
      {"ab: \xff\n", syntax, {1, 5, 1}, "the byte 0xff is no printable UTF-8 text"},
      {std::string("a: \0b", 5), syntax, {1, 4, 1}, "the byte 0x00 is no printable UTF-8 text"},
      {"a: 1\nb: 2\na: 3\n", duplicate_key, {3, 1, 1}, "the key `a` is given twice"},
      {"? [x]\n: 1\n", unsupported, {1, 3, 1}, "a key must be text, not a list"},
      {"a: !ruby/object x\n", unsupported, {1, 17, 1}, "the tag `!ruby/object` is not supported"},
      {"a: &x [*x]\n", unsupported, {1, 8, 1}, "an alias cannot stand inside its own anchor"},
  };
  for (const Row& row : rows) {
    Problem problem = problem_of(row.text);
    EXPECT_EQ(problem.message, row.message) << row.text;
    EXPECT_EQ(problem.what, row.what) << row.text;
    EXPECT_EQ(problem.span.line, row.span.line) << row.text;
    EXPECT_EQ(problem.span.column, row.span.column) << row.text;
  }
}

TEST(Parse, GoesOnAfterADuplicateKeyAndKeepsTheFirst) {
  Parsed parsed = parse("a: 1\na: 2\nb: {x: 1, x: 2}\nc: 3\n");
  ASSERT_EQ(parsed.problems.size(), 2u);
  EXPECT_EQ(parsed.problems[0].help, "it is defined on line 1 already; remove one of the two");
  ASSERT_EQ(parsed.documents.size(), 1u);
  EXPECT_EQ(parsed.documents[0].find("a")->value.text, "1");
  EXPECT_EQ(parsed.documents[0].find("c")->value.text, "3");
}

TEST(Parse, KeepsTheTextOfNullKeys) {
  Parsed parsed = parse("~: 1\nnull: 2\n");
  EXPECT_TRUE(parsed.problems.empty());
  EXPECT_EQ(parsed.documents[0].entries[0].key, "~");
  EXPECT_EQ(parsed.documents[0].entries[1].key, "null");
}

TEST(Limits, BoundTheGrowthOfAliases) {
  // "Billion laughs": nine levels of nine aliases.
  std::string text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 10; ++i) {
    text += fmt::format("a{0}: &a{0} [", i);
    for (int k = 0; k < 9; ++k) text += fmt::format("{}*a{}", k ? "," : "", i - 1);
    text += "]\n";
  }
  EXPECT_EQ(problem_of(text).message, "there are more than 200000 values");
  std::string wide = "a: &a " + std::string(1000, 'x') + "\nb: [";
  for (int i = 0; i < 5000; ++i) wide += "*a,";
  EXPECT_EQ(problem_of(wide + "]\n").message, "aliases copy more than 4194304 bytes");
}

TEST(Limits, BoundSizeDepthAndDocuments) {
  using enum Problem::What;
  EXPECT_EQ(problem_of("abc: 12345", {.max_bytes = 9}).what, limit);
  EXPECT_TRUE(parse(std::string(64, '[') + std::string(64, ']')).problems.empty());
  for (std::string text :
       {std::string(65, '[') + std::string(65, ']'), std::string(1'000'000, '['), std::string(900'000, '{')})
    EXPECT_EQ(problem_of(text).what, limit);
  std::string steps;
  for (int i = 0; i < 100'000; ++i) steps += "- ";
  EXPECT_EQ(problem_of(steps).what, limit);
  EXPECT_EQ(problem_of("a\n---\nb\n---\nc\n", {.max_documents = 2}).what, limit);
}

TEST(Limits, OneLongLineHasTheColumnsOfItsCharacters) {
  std::string text = "[";
  for (int i = 0; i < 150'000; ++i) text += "1,";
  Node list = parse_one(text + "2]");
  EXPECT_EQ(list.items.back().span, (Span{1, 300'002, 1}));
}

TEST(FromJson, KeepsStringsStrings) {
  auto value = json::parse(R"({"a":"true","b":true,"c":12,"d":1.5,"e":null,"f":["x"]})");
  Node node = from_json(*value);
  EXPECT_EQ(node.find("a")->value.type(), Type::string);
  EXPECT_EQ(node.find("b")->value.as_bool(), true);
  EXPECT_EQ(node.find("c")->value.as_int(), 12);
  EXPECT_EQ(node.find("d")->value.as_number(), 1.5);
  EXPECT_EQ(node.find("e")->value.kind, Kind::null);
  EXPECT_EQ(node.find("f")->value.items[0].text, "x");
  EXPECT_FALSE(node.find("a")->value.span);
}

TEST(LineOf, FindsLinesWithoutTheirEnds) {
  EXPECT_EQ(line_of("a\r\nb\nc", 1), "a");
  EXPECT_EQ(line_of("a\r\nb\nc", 3), "c");
  EXPECT_EQ(line_of("a\n", 2), "");
  EXPECT_EQ(line_of("a", 9), "");
  EXPECT_EQ(line_of("a", 0), "");
  EXPECT_EQ(line_of("\xef\xbb\xbfx", 1), "x");
}

TEST(QuoteIfNeeded, ReadsBackAsTheSameString) {
  SeededRandom random(3);
  std::vector<std::string> texts = {
      "",      "plain", "true",  "12",         "~",     "yes",   "a: b",  "a #b",    "- x",  "[x]", "{x}", "*a",  "&a",
      "\"q\"", "it's",  " pad ", "two\nlines", "tab\t", "ä€😀",  "512Mi", "/a/b.py", "a,b",  "@x",  "%x",  "`x`", "!x",
      "|",     ">",     "?",     "key:",       "-",     "--- x", "1.5",   ".inf",    "null", "<<",  "=",   "a=b"};
  for (int i = 0; i < 500; ++i) {
    std::string text;
    for (uint64_t k = random.below(8); k > 0; --k) text += static_cast<char>(' ' + random.below(95));
    texts.push_back(text);
  }
  for (const std::string& text : texts) {
    std::string quoted = quote_if_needed(text);
    for (std::string source : {"k: " + quoted + "\n", "k: [" + quoted + ", x]\n", "k: {v: " + quoted + "}\n"}) {
      Node root = parse_one(source);
      ASSERT_EQ(root.entries.size(), 1u) << source;
      const Node* node = &root.entries[0].value;
      if (node->kind == Kind::list) node = &node->items.at(0);
      if (node->kind == Kind::map) node = &node->entries.at(0).value;
      EXPECT_EQ(node->text, text) << source;
      EXPECT_EQ(node->type(), Type::string) << source;
    }
  }
  EXPECT_EQ(quote_if_needed("app.py"), "app.py");
  for (std::string_view word : {"yes", "No", "ON", "n"}) EXPECT_EQ(quote_if_needed(word), json::quote(word));
}

}  // namespace
}  // namespace gantry::yaml
