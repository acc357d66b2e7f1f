#include "server/api.h"

#include <gtest/gtest.h>

#include <set>

#include "server/openapi.h"
#include "server/operations.h"

namespace gantry::server {
namespace {

// "GET /v1/agents/{name}" for every operation of the document.
std::set<std::string> documented() {
  auto document = openapi_document();
  EXPECT_TRUE(document.has_value()) << document.error().reason();
  std::set<std::string> operations;
  auto paths = json::get_object(*document, "paths");
  EXPECT_TRUE(paths.has_value());
  for (const auto& path : **paths) {
    for (const auto& member : path.value().as_object()) {
      std::string method(member.key());
      std::transform(method.begin(), method.end(), method.begin(), [](unsigned char c) { return std::toupper(c); });
      if (method != "PARAMETERS" && method != "SUMMARY" && method != "DESCRIPTION")
        operations.insert(method + " " + std::string(path.key()));
    }
  }
  return operations;
}

TEST(OpenApi, DescribesExactlyTheRoutesThatAreServed) {
  std::set<std::string> described = documented();
  // The proxy path takes any method and is not in the table.
  std::erase_if(described, [](const std::string& operation) { return operation.find(" /agent/") != operation.npos; });
  std::set<std::string> served;
  for (const Api::Route& route : Api::routes()) served.insert(fmt::format("{} {}", route.method, route.pattern));
  EXPECT_EQ(described, served);
}

TEST(OpenApi, DescribesTheProxyPath) {
  std::set<std::string> described = documented();
  EXPECT_TRUE(std::any_of(described.begin(), described.end(),
                          [](const std::string& operation) { return operation.starts_with("POST /agent/{name}"); }));
}

TEST(Operations, KnowWhatTheDocumentSaysAndRefuseTheRest) {
  auto operations = Operations::load();
  ASSERT_TRUE(operations.has_value()) << operations.error().reason();
  for (const Api::Route& route : Api::routes())
    EXPECT_NE(operations->find(route.method, route.pattern), nullptr) << route.method << " " << route.pattern;
  const Operation& list = *operations->find("GET", "/v1/requests");
  EXPECT_FALSE(list.takes_body);
  EXPECT_TRUE(check_query(list, {{"agent", "bot"}, {"limit", "3"}, {"after", "x"}}).has_value());
  auto unknown = check_query(list, {{"agnet", "bot"}});
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().reason(), "agnet: there is no such parameter");
  EXPECT_EQ(unknown.error().hint(), "did you mean `agent`?");
  EXPECT_FALSE(check_query(*operations->find("GET", "/v1/status"), {{"foo", ""}}).has_value());
  EXPECT_TRUE(operations->find("PUT", "/v1/agents/{name}")->takes_body);
}

TEST(Operations, ABodyThatNobodyReadsIsRefused) {
  for (std::string_view fine : {"", " \n", "{}", "null"}) EXPECT_TRUE(check_no_body(fine).has_value()) << fine;
  for (std::string_view bad : {"{bad", "{\"a\":1}", "[]", "x"}) {
    auto checked = check_no_body(bad);
    ASSERT_FALSE(checked.has_value()) << bad;
    EXPECT_EQ(checked.error().code(), Code::invalid);
  }
}

TEST(PercentDecode, UndoesEscapesAndRefusesBrokenOnes) {
  EXPECT_EQ(percent_decode("a%20b%C3%A4"), "a b\xc3\xa4");
  for (std::string_view bad : {"%", "%2", "%zz", "a%0", "%00"}) EXPECT_FALSE(percent_decode(bad).has_value()) << bad;
}

TEST(ParseQuery, KeepsOrderRepeatsAndEmptyValues) {
  auto query = parse_query("a=1&b=&a=2&c&d=x%26y+z");
  ASSERT_TRUE(query.has_value());
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(*query, (Pairs{{"a", "1"}, {"b", ""}, {"a", "2"}, {"c", ""}, {"d", "x&y z"}}));
  EXPECT_FALSE(parse_query("a=%g1").has_value());
}

}  // namespace
}  // namespace gantry::server
