#include "cli/output.h"

#include <gtest/gtest.h>

#include "yaml/yaml.h"

namespace gantry::cli {
namespace {

json::Array rows() {
  return {json::Object{{"name", "bot"}, {"status", "running"}, {"n", 7}, {"note", "all is well with this one"}},
          json::Object{{"name", "a-much-longer-name"}, {"status", "crash_loop"}, {"n", 1234}, {"note", nullptr}}};
}

Listing listing() {
  return {{text_column("NAME", "name"), status_column("STATUS", "status"), number_column("N", "n", Detail::wide),
           text_column("NOTE", "note")},
          "name",
          "nothing"};
}

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
  EXPECT_EQ(render_listing(listing(), rows(), Format::table, {}),
            "NAME                STATUS      NOTE\n"
            "bot                 running     all is well with this one\n"
            "a-much-longer-name  crash_loop  -\n");
}

TEST(Table, WideShowsMoreColumnsAndAlignsNumbersRight) {
  EXPECT_EQ(render_listing(listing(), rows(), Format::wide, {}),
            "NAME                STATUS         N  NOTE\n"
            "bot                 running        7  all is well with this one\n"
            "a-much-longer-name  crash_loop  1234  -\n");
}

TEST(Table, OnlyTheLastColumnShrinksOnANarrowTerminal) {
  EXPECT_EQ(render_listing(listing(), rows(), Format::table, {Style(), 44}),
            "NAME                STATUS      NOTE\n"
            "bot                 running     all is well…\n"
            "a-much-longer-name  crash_loop  -\n");
}

TEST(Table, ColoursDoNotChangeTheColumns) {
  std::string plain = render_listing(listing(), rows(), Format::table, {});
  std::string colored = render_listing(listing(), rows(), Format::table, {Style(Style::Color::on), 0});
  EXPECT_NE(colored.find("\x1b[31mcrash_loop\x1b[0m"), std::string::npos);
  for (size_t start; (start = colored.find('\x1b')) != std::string::npos;)
    colored.erase(start, colored.find('m', start) - start + 1);
  EXPECT_EQ(colored, plain);
}

TEST(Table, WhatAnAgentWroteCannotSteerTheTerminal) {
  json::Array evil = {json::Object{{"name", "x\x1b[2J\ny"}, {"status", "ok"}, {"note", "\r"}}};
  EXPECT_EQ(render_listing(listing(), evil, Format::table, {}),
            "NAME         STATUS  NOTE\n"
            "x\\x1b[2J\\ny  ok      \\r\n");
}

TEST(Formats, ProgramsGetTheRowsAsTheApiSentThem) {
  EXPECT_EQ(*json::parse(render_listing(listing(), rows(), Format::json, {})), json::Value(rows()));
  EXPECT_EQ(render_listing(listing(), rows(), Format::name, {}), "bot\na-much-longer-name\n");
  std::string lines = render_listing(listing(), rows(), Format::jsonl, {});
  EXPECT_EQ(std::ranges::count(lines, '\n'), 2);
  EXPECT_EQ(*json::parse(lines.substr(0, lines.find('\n'))), rows()[0]);
  EXPECT_EQ(render_listing(listing(), {}, Format::json, {}), "[]\n");
  EXPECT_EQ(render_listing(listing(), {}, Format::table, {}), "");
}

json::Value from_yaml(const yaml::Node& node) {
  if (node.kind == yaml::Kind::map) {
    json::Object object;
    for (const auto& entry : node.entries) object[entry.key] = from_yaml(entry.value);
    return object;
  }
  if (node.kind == yaml::Kind::list) {
    json::Array array;
    for (const auto& item : node.items) array.push_back(from_yaml(item));
    return array;
  }
  if (node.kind == yaml::Kind::null || node.type() == yaml::Type::null) return nullptr;
  if (auto flag = node.as_bool()) return *flag;
  if (auto number = node.as_int()) return *number;
  return json::Value(node.text);
}

TEST(Yaml, ReadsBackToTheSameValue) {
  for (std::string_view text :
       {R"({"a":1,"b":{"c":[1,2,{"d":"x","e":[]}],"f":{}},"g":null})", R"([[1,2],["a"]])", R"([{"a":[{"b":1}]},"x"])",
        R"({"tricky":["true","null","1","","- x","a: b","# no","line\nline"," x "]})", R"("text")", R"([])", R"({})"}) {
    json::Value value = *json::parse(text);
    auto parsed = yaml::parse(to_yaml(value));
    ASSERT_TRUE(parsed.problems.empty()) << to_yaml(value);
    ASSERT_EQ(parsed.documents.size(), 1u) << to_yaml(value);
    EXPECT_EQ(json::serialize(from_yaml(parsed.documents[0])), json::serialize(value)) << to_yaml(value);
  }
}

TEST(Pairs, AreAlignedAndLeaveOutWhatIsEmpty) {
  EXPECT_EQ(render_pairs({{"Name", {"bot"}}, {"Reason", {""}}, {"Long name", {"x"}}}, Style()),
            "Name:       bot\n"
            "Long name:  x\n");
}

TEST(Age, IsShortAndNeverNegative) {
  Time now = *parse_time("2026-11-20T18:15:00Z");
  EXPECT_EQ(age_of("2026-11-20T18:14:56.500Z", now), "3s");
  EXPECT_EQ(age_of("2026-11-20T18:14:59.900Z", now), "0s");
  EXPECT_EQ(age_of("2026-11-17T14:00:00.000Z", now), "3d4h");
  EXPECT_EQ(age_of("2026-11-20T19:00:00.000Z", now), "0s");
  EXPECT_EQ(age_of("", now), "-");
}

TEST(Rows, AMissingOrForeignMemberReadsAsEmpty) {
  json::Value row = json::Object{{"a", 1.5}, {"b", "x"}, {"c", json::Array{1}}};
  EXPECT_EQ(int_at(row, "a"), 1);
  EXPECT_EQ(int_at(row, "b"), 0);
  EXPECT_EQ(text_at(row, "nothing"), "");
  EXPECT_EQ(text_at(row, "a"), "1.5");
  EXPECT_TRUE(array_at(row, "b").empty());
  EXPECT_EQ(array_at(row, "c").size(), 1u);
}

}  // namespace
}  // namespace gantry::cli
