// What the commands for requests that have ended ask the server for, and the text for an editor.
#include <gtest/gtest.h>

#include "cli/canned.h"
#include "cli/edit_form.h"
#include "cli/fake_api.h"
#include "cli/fake_terminal.h"
#include "cli/golden.h"

namespace gantry::cli {
namespace {

const std::string audit_page = R"({"data":[
  {"seq":12,"at":"2026-11-20T18:14:00.000Z","principal":"root","action":"request.requeue",
   "subject":"req_01JD4YB0M2P4R6T8V0X1Y2Z3A4","details":{"agent":"bot","not_before":null,"changed":{"target":true}}},
  {"seq":9,"at":"2026-11-20T18:13:00.000Z","principal":"gantry","action":"requests.expire","subject":"bot",
   "details":{"count":3}}],"next":null})";

class DeadLetterCommands : public testing::Test {
 protected:
  DeadLetterCommands() {
    terminal.variables["GANTRY_URL"] = api.url();
    terminal.variables["GANTRY_KEY"] = "gk_secret";
    api.on("GET /v1/requests", {200, canned::requests});
    api.on("GET /v1/requests/req_1", {200, canned::request});
    api.on("POST /v1/requests/req_1/requeue", {202, canned::failed_row});
    api.on("DELETE /v1/requests/req_1", {200, R"({"purged":"req_1"})"});
    api.on("POST /v1/requests/purge", {200, R"({"purged":2,"skipped":0,"first_error":null,"next":null})"});
    api.on("GET /v1/audit", {200, audit_page});
    api.on("GET /v1/requests/export", {200, "{\"id\":\"req_1\",\"cursor\":\"7\"}\n"});
  }
  void requeue_answers(std::string first, std::string second) {
    api.on("POST /v1/requests/requeue", {200, std::move(first)});
    api.on("POST /v1/requests/requeue", {200, std::move(second)});
  }

  FakeApi api;
  FakeTerminal terminal;
};

TEST_F(DeadLetterCommands, SendWhatWasGivenAndNothingElse) {
  struct Case {
    std::vector<std::string> words;
    std::string line, body;
  };
  for (const auto& [words, line, body] : std::vector<Case>{
           {{"requests", "requeue", "req_1"}, "POST /v1/requests/req_1/requeue", "{}"},
           {{"requests", "requeue", "req_1", "--delay", "5m"}, "POST /v1/requests/req_1/requeue", R"({"delay":"5m"})"},
           {{"requests", "edit", "req_1", "-X", "PUT", "-p", "/a b", "-H", "X-A: 1", "--remove-header", "x-b"},
            "POST /v1/requests/req_1/requeue",
            R"({"method":"PUT","target":"/a b","headers":{"set":[["X-A","1"]],"remove":["x-b"]}})"},
           {{"requests", "edit", "req_1", "-d", "new"},
            "POST /v1/requests/req_1/requeue",
            R"({"body":{"base64":"bmV3"}})"},
           {{"requests", "purge", "req_1", "--yes"}, "DELETE /v1/requests/req_1", ""},
           {{"requests", "purge", "--status", "completed", "--older-than", "7d", "--yes"},
            "POST /v1/requests/purge",
            R"({"status":"completed","older_than":"7d","all":true,"limit":500})"},
           {{"requests", "list", "--path", "/a*", "--idempotency-key", "k", "--all-queues"},
            "GET /v1/requests?path=%2Fa%2A&key=k&all_queues=true&limit=50",
            ""},
           {{"requests", "export", "--status", "failed", "--after", "3"},
            "GET /v1/requests/export?status=failed&after=3",
            ""},
           {{"audit", "list", "--subject", "req_1", "--since", "1d"},
            "GET /v1/audit?subject=req_1&since=1d&limit=50",
            ""},
       }) {
    EXPECT_EQ(terminal.run(words), 0) << terminal.err();
    EXPECT_EQ(api.asked().back().line, line);
    EXPECT_EQ(api.asked().back().body, body);
  }
}

TEST_F(DeadLetterCommands, ManyGoInPortionsAndThePaceGoesOn) {
  requeue_answers(R"({"requeued":500,"skipped":0,"first_error":null,"next":"77","last_at":"2026-11-20T18:16:40.000Z",
                      "next_at":"2026-11-20T18:16:40.200Z"})",
                  R"({"requeued":3,"skipped":1,"first_error":"it is gone","next":null,
                      "last_at":"2026-11-20T18:16:40.600Z","next_at":"2026-11-20T18:16:40.800Z"})");
  ASSERT_EQ(terminal.run({"requests", "requeue", "--all", "-a", "bot", "--rate", "5/s", "--delay", "1m", "--yes"}), 0)
      << terminal.err();
  EXPECT_EQ(terminal.out(), "requeued 503, skipped 1 (it is gone), the last one at 2026-11-20T18:16:40.600Z\n");
  auto asked = api.asked();
  ASSERT_EQ(asked.size(), 3u);
  EXPECT_EQ(asked[0].line, "GET /v1/requests?agent=bot&status=failed&limit=1000");
  EXPECT_EQ(asked[1].body, R"({"delay":"1m","agent":"bot","rate":"5/s","all":true,"limit":500})");
  EXPECT_EQ(asked[2].body, R"({"after":"77","agent":"bot","rate":"5/s","all":true,"limit":500,)"
                           R"("not_before":"2026-11-20T18:16:40.200Z"})");
}

TEST_F(DeadLetterCommands, AnExportIsLinesOrOneList) {
  EXPECT_EQ(terminal.run({"requests", "export"}), 0);
  EXPECT_EQ(terminal.out(), "{\"id\":\"req_1\",\"cursor\":\"7\"}\n");
  EXPECT_EQ(terminal.err(), "exported 1 requests\n");
  EXPECT_EQ(terminal.run({"requests", "export", "-o", "json"}), 0);
  EXPECT_TRUE(json::parse(terminal.out())->is_array()) << terminal.out();
  EXPECT_EQ(terminal.run({"requests", "export", "-o", "json", "--after", "7"}), 2);
}

TEST_F(DeadLetterCommands, NothingIsDoneWithoutAYes) {
  EXPECT_NE(terminal.run({"requests", "purge", "--all"}), 0);
  EXPECT_TRUE(terminal.err().contains("GR0802")) << terminal.err();
  terminal.environment.in_device = Device::terminal;
  terminal.in.str("n\n");
  EXPECT_EQ(terminal.run({"requests", "purge", "--all"}), 130);
  EXPECT_TRUE(terminal.err().contains("purge 2 requests?")) << terminal.err();
  for (const std::string& line : api.lines()) EXPECT_TRUE(line.starts_with("GET ")) << line;
}

TEST_F(DeadLetterCommands, IdsOrConditionsAndNeverBoth) {
  for (const auto& words : std::vector<std::vector<std::string>>{{"requests", "requeue"},
                                                                 {"requests", "purge"},
                                                                 {"requests", "requeue", "req_1", "--all"},
                                                                 {"requests", "purge", "req_1", "--agent", "bot"},
                                                                 {"requests", "edit", "req_1", "-H", "nonsense"}})
    EXPECT_EQ(terminal.run(words), 2) << terminal.err();
  EXPECT_TRUE(api.asked().empty());
}

TEST_F(DeadLetterCommands, WatchPrintsWhatChangedAndEndsWithCtrlC) {
  std::string later = canned::requests;
  later.replace(later.find("\"failed\""), 8, "\"pending\"");
  api.on("GET /v1/requests", {200, canned::requests});
  api.on("GET /v1/requests", {200, later});
  int looks = 0;
  terminal.on_pause = [&] { return ++looks > 3 ? Interrupted::yes : Interrupted::no; };
  EXPECT_EQ(terminal.run({"requests", "watch"}), 130);
  EXPECT_TRUE(terminal.out().contains("req_01JD4YB0M2P4R6T8V0X1Y2Z3A4 bot pending attempt 5")) << terminal.out();
  EXPECT_EQ(std::ranges::count(terminal.out(), '\n'), 1) << terminal.out();
}

TEST_F(DeadLetterCommands, TheAuditTrailIsAsTheGoldenFileSays) {
  EXPECT_EQ(terminal.run({"audit", "list"}), 0);
  expect_golden("output/audit-list.txt", terminal.out());
}

json::Value request() { return *json::parse(canned::request); }

TEST(EditForm, ReadsBackWithoutAChangeAsNone) {
  std::string text = edit_form(request());
  for (const std::string& same : {text, text + "\n"}) {
    auto changed = read_edit_form(same, request());
    ASSERT_TRUE(changed.has_value()) << changed.error().reason();
    EXPECT_TRUE(changed->empty()) << json::serialize(*changed);
  }
}

TEST(EditForm, TellsWhatWasChanged) {
  auto changed = read_edit_form("PUT /new?x=1\nA: 1\n\nbody\nof lines", request());
  ASSERT_TRUE(changed.has_value());
  EXPECT_EQ(json::serialize(*changed),
            R"({"method":"PUT","target":"/new?x=1","headers":[["A","1"]],"body":{"text":"body\nof lines"}})");
  auto headers_only = read_edit_form("# a comment\nPOST /ask?lang=en\nA: 1\n\n{\"question\": \"why?\"}\n", request());
  ASSERT_TRUE(headers_only.has_value());
  EXPECT_EQ(json::serialize(*headers_only), R"({"headers":[["A","1"]]})");
}

TEST(EditForm, LeavesABinaryBodyAloneAndNamesTheLineThatIsWrong) {
  json::Value binary = request();
  binary.at("request").as_object()["body"] = json::Object{{"bytes", 3}, {"base64", "/wD+"}, {"truncated", false}};
  auto changed = read_edit_form(edit_form(binary), binary);
  ASSERT_TRUE(changed.has_value());
  EXPECT_TRUE(changed->empty()) << json::serialize(*changed);
  for (auto [text, line] :
       {std::pair("nonsense\n", "line 1"), std::pair("POST /a\nnonsense\n", "line 2"), std::pair("", "line 1")}) {
    auto wrong = read_edit_form(text, request());
    ASSERT_FALSE(wrong.has_value()) << text;
    EXPECT_EQ(wrong.error().id(), ErrorId::GR0416);
    EXPECT_TRUE(wrong.error().reason().starts_with(line)) << wrong.error().reason();
  }
}

}  // namespace
}  // namespace gantry::cli
