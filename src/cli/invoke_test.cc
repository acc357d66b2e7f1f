#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "cli/canned.h"
#include "cli/fake_api.h"
#include "cli/fake_terminal.h"

namespace gantry::cli {
namespace {

class Invoke : public testing::Test {
 protected:
  Invoke() {
    terminal.variables["GANTRY_URL"] = api.url();
    terminal.variables["GANTRY_KEY"] = "gk_secret";
  }
  Asked last() { return api.asked().back(); }

  FakeApi api;
  FakeTerminal terminal;
};

TEST_F(Invoke, WithoutDataItIsAGetOfTheRoot) {
  api.on("GET /agent/bot/", {200, "hello", {{"Content-Type", "text/plain"}}});
  EXPECT_EQ(terminal.run({"invoke", "bot"}), 0) << terminal.err();
  EXPECT_EQ(terminal.out(), "hello");
  EXPECT_EQ(last().line, "GET /agent/bot/");
}

TEST_F(Invoke, TheKeyLeavesAuthorizationToTheAgent) {
  api.on("GET /agent/bot/x", {200, "ok"});
  EXPECT_EQ(terminal.run({"invoke", "bot", "x?a=1", "-H", "Authorization: Basic abc", "-H", "X-A: 1"}), 0);
  EXPECT_EQ(last().line, "GET /agent/bot/x?a=1");
  EXPECT_EQ(last().headers["gantry-key"], "gk_secret");
  EXPECT_EQ(last().headers["authorization"], "Basic abc");
  EXPECT_EQ(last().headers["x-a"], "1");
}

TEST_F(Invoke, DataIsPostedWithItsLengthAndItsType) {
  api.on("POST /agent/bot/ask", {200, "ok", {{"Gantry-Request-Id", "req_7"}}});
  EXPECT_EQ(terminal.run({"invoke", "bot", "/ask", "-d", "{\"a\":1}"}), 0);
  EXPECT_EQ(last().body, "{\"a\":1}");
  EXPECT_EQ(last().headers["content-type"], "application/json");
  EXPECT_EQ(last().headers["content-length"], "7");
  EXPECT_EQ(terminal.out(), "ok");
  EXPECT_EQ(terminal.err(), "request req_7\n");
  EXPECT_EQ(terminal.run({"invoke", "bot", "/ask", "-d", "plain words", "-H", "content-type: text/x"}), 0);
  EXPECT_EQ(last().headers["content-type"], "text/x");
  api.on("PUT /agent/bot/ask", {200, "ok"});
  EXPECT_EQ(terminal.run({"invoke", "bot", "/ask", "-X", "PUT", "-d", "plain words"}), 0);
  EXPECT_EQ(last().headers["content-type"], "application/octet-stream");
}

TEST_F(Invoke, DataComesFromStdinAndFiles) {
  api.on("POST /agent/bot/", {200, "ok"});
  terminal.in.str("from stdin");
  EXPECT_EQ(terminal.run({"invoke", "bot", "-d", "-"}), 0) << terminal.err();
  EXPECT_EQ(last().body, "from stdin");

  std::string path = testing::TempDir() + "gantry-invoke-" + std::to_string(::getpid());
  // More than is held in memory: sent in pieces.
  std::string large(size_t{20} << 20, 'x');
  std::ofstream(path, std::ios::binary) << large;
  EXPECT_EQ(terminal.run({"invoke", "bot", "-d", "@" + path}), 0) << terminal.err();
  EXPECT_EQ(last().body.size(), large.size());
  EXPECT_EQ(last().headers["transfer-encoding"], "chunked");
  ::unlink(path.c_str());
  EXPECT_EQ(terminal.run({"invoke", "bot", "-d", "@" + path}), 3);
}

TEST_F(Invoke, WaitBecomesAPreference) {
  api.on("POST /agent/bot/", {200, "ok"});
  EXPECT_EQ(terminal.run({"invoke", "bot", "-d", "x", "--wait", "1500ms"}), 0);
  EXPECT_EQ(last().headers["prefer"], "wait=2");
}

TEST_F(Invoke, ARequestThatIsKeptForLaterPrintsItsIdAndTheNextCommand) {
  api.on("POST /agent/bot/",
         {202,
          R"({"request_id":"req_9","status":"pending"})",
          {{"Content-Type", "application/json"}, {"Gantry-Request-Id", "req_9"}, {"Location", "/v1/requests/req_9"}}});
  EXPECT_EQ(terminal.run({"invoke", "bot", "-d", "x"}), 0);
  EXPECT_EQ(terminal.out(), "req_9\n");
  EXPECT_EQ(
      terminal.err(),
      "'bot' has not answered yet; the request is kept and will be delivered\nnext: gantry requests show req_9\n");
  EXPECT_EQ(terminal.run({"invoke", "bot", "-d", "x", "-o", "json"}), 0);
  EXPECT_EQ(json::get_bool(*json::parse(terminal.out()), "pending"), true);
}

TEST_F(Invoke, A202OfTheAgentItselfIsAnAnswer) {
  api.on("POST /agent/bot/", {202, "queued", {{"Gantry-Request-Id", "req_9"}, {"Location", "/jobs/1"}}});
  EXPECT_EQ(terminal.run({"invoke", "bot", "-d", "x"}), 0);
  EXPECT_EQ(terminal.out(), "queued");
}

TEST_F(Invoke, AnErrorOfTheAgentIsPrintedAndEndsWithOne) {
  for (int status : {400, 404, 500, 503}) {
    FakeApi failing;
    failing.on("GET /agent/bot/", {status, "the agent's words", {{"Content-Type", "text/plain"}}});
    terminal.variables["GANTRY_URL"] = failing.url();
    EXPECT_EQ(terminal.run({"invoke", "bot"}), 1) << status;
    EXPECT_EQ(terminal.out(), "the agent's words");
    EXPECT_TRUE(terminal.err().starts_with(fmt::format("the agent answered {} ", status))) << terminal.err();
  }
}

TEST_F(Invoke, ARefusalByGantryIsNoAnswerOfTheAgent) {
  struct Case {
    int status;
    std::string code;
    int exit;
  };
  for (const auto& [status, code, exit] : std::vector<Case>{{401, "unauthenticated", 4},
                                                            {404, "not_found", 3},
                                                            {503, "unavailable", 11},
                                                            {504, "timeout", 6},
                                                            {429, "exhausted", 12}}) {
    FakeApi failing;
    failing.on("GET /agent/bot/", FakeApi::problem(status, code, "why", "do this"));
    terminal.variables["GANTRY_URL"] = failing.url();
    EXPECT_EQ(terminal.run({"invoke", "bot"}), exit) << status;
    EXPECT_EQ(terminal.out(), "");
    EXPECT_EQ(terminal.err(), "error: invoke: why\nhint: do this\n");
  }
}

TEST_F(Invoke, AnAnswerThatBreaksOffTellsWhatBecameOfTheRequest) {
  struct Case {
    Canned request;
    std::string told;
    std::string hint;
  };
  for (const auto& [request, told, hint] : std::vector<Case>{
           {{200, R"({"status":"processing"})"}, "request req_7 is kept and tried again", "gantry requests show req_7"},
           {{200, R"({"status":"pending"})"}, "request req_7 is kept and tried again", "gantry requests show req_7"},
           {{200, R"({"status":"failed"})"}, "request req_7 is a dead letter now", "gantry requests show req_7"},
           {{200, R"({"status":"completed"})"},
            "request req_7 is completed and its answer recorded",
            "gantry requests show req_7"},
           {FakeApi::problem(404, "not_found", "no such request"), "request req_7 is not of a kind that is kept",
            "gantry logs bot --tail 50"}}) {
    FakeApi breaking;
    breaking.on("GET /agent/bot/",
                {200, "half of i", {{"Content-Type", "text/plain"}, {"Gantry-Request-Id", "req_7"}}, Ending::broken});
    breaking.on("GET /v1/requests/req_7", request);
    terminal.variables["GANTRY_URL"] = breaking.url();
    EXPECT_EQ(terminal.run({"invoke", "bot"}), 13) << terminal.err();
    EXPECT_EQ(terminal.out(), "half of i");
    EXPECT_TRUE(terminal.err().ends_with(
        fmt::format("error: invoke: the answer broke off; {} (GR0809)\nhint: {}\n", told, hint)))
        << terminal.err();
  }
}

TEST_F(Invoke, NoReadyInstanceIsAStateAndNotAnUnreachableServer) {
  Canned refusal = FakeApi::problem(503, "unavailable", "agent 'bot' is crash_loop: exit 1", "use the header Prefer");
  refusal.body.insert(refusal.body.size() - 1, R"(,"id":"GR0403")");
  api.on("GET /agent/bot/", refusal);
  EXPECT_EQ(terminal.run({"invoke", "bot"}), 5);
  EXPECT_EQ(terminal.err(),
            "error: invoke: agent 'bot' is crash_loop: exit 1 (GR0403)\n"
            "hint: gantry inspect bot; or wait for an instance with --wait 30s\n");
  EXPECT_EQ(terminal.run({"invoke", "bot", "--wait", "1s"}), 5);
  EXPECT_TRUE(terminal.err().ends_with("hint: gantry inspect bot; gantry logs bot --tail 50\n")) << terminal.err();
}

TEST_F(Invoke, AHeaderThatWouldBreakTheMessageIsRefused) {
  for (const char* header : {"no colon", "bad name: x", "A: b\r\nC: d"}) {
    EXPECT_EQ(terminal.run({"invoke", "bot", "-H", header}), 2) << header;
  }
  EXPECT_TRUE(api.asked().empty());
}

TEST_F(Invoke, BinaryAnswersComeThroughUnchanged) {
  std::string bytes("\x00\xff\x01\n\0\0\0", 7);
  api.on("GET /agent/bot/", {200, bytes, {{"Content-Type", "application/octet-stream"}}});
  EXPECT_EQ(terminal.run({"invoke", "bot"}), 0);
  EXPECT_EQ(terminal.out(), bytes);
  EXPECT_EQ(terminal.run({"invoke", "bot", "-o", "json"}), 0);
  auto value = json::parse(terminal.out());
  EXPECT_EQ(json::get_string(*value, "body.base64"), "AP8BCgAAAA==");
  EXPECT_EQ(json::find(*value, "body.text"), nullptr);
}

}  // namespace
}  // namespace gantry::cli
