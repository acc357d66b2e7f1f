// What the commands of webhooks ask the server for.
#include <gtest/gtest.h>

#include "cli/canned.h"
#include "cli/fake_api.h"
#include "cli/fake_terminal.h"

namespace gantry::cli {
namespace {

class Webhooks : public testing::Test {
 protected:
  Webhooks() {
    terminal.variables["GANTRY_URL"] = api.url();
    terminal.variables["GANTRY_KEY"] = "gk_secret";
    api.on("POST /v1/webhooks", {201, canned::made_webhook});
    api.on("PATCH /v1/webhooks/ops", {200, canned::webhook});
    api.on("POST /v1/webhooks/ops/rotate", {200, canned::made_webhook});
    api.on("GET /v1/webhooks/ops/deliveries", {200, canned::deliveries});
  }

  FakeApi api;
  FakeTerminal terminal;
};

TEST_F(Webhooks, WebhooksSendWhatWasGivenAndNothingElse) {
  struct Case {
    std::vector<std::string> words;
    std::string line, body;
  };
  for (const auto& [words, line, body] : std::vector<Case>{
           {{"add", "ops", "https://a.example"}, "POST /v1/webhooks", R"({"name":"ops","url":"https://a.example"})"},
           {{"add", "ops", "https://a.example", "-e", "request.failed", "-e", "request.retrying", "-a", "bot"},
            "POST /v1/webhooks",
            R"({"name":"ops","url":"https://a.example","events":["request.failed","request.retrying"],"agent":"bot"})"},
           {{"edit", "ops", "--to", "https://b.example"}, "PATCH /v1/webhooks/ops", R"({"url":"https://b.example"})"},
           {{"edit", "ops", "--all-agents", "--enable"}, "PATCH /v1/webhooks/ops", R"({"agent":null,"enabled":true})"},
           {{"rotate", "ops"}, "POST /v1/webhooks/ops/rotate", R"({"grace":"1d"})"},
           {{"rotate", "ops", "--grace", "0"}, "POST /v1/webhooks/ops/rotate", R"({"grace":"0s"})"},
           {{"deliveries", "ops", "--status", "failed", "-n", "5"},
            "GET /v1/webhooks/ops/deliveries?status=failed&limit=5",
            ""}}) {
    std::vector<std::string> all{"webhooks"};
    all.insert(all.end(), words.begin(), words.end());
    EXPECT_EQ(terminal.run(all), 0) << terminal.err();
    EXPECT_EQ(api.asked().back().line, line);
    EXPECT_EQ(api.asked().back().body, body);
  }
}

TEST_F(Webhooks, AWebhookIsNotEditedWithoutAnythingToChangeOrWithContradictions) {
  for (const auto& words :
       std::vector<std::vector<std::string>>{{"webhooks", "edit", "ops"},
                                             {"webhooks", "edit", "ops", "--enable", "--disable"},
                                             {"webhooks", "edit", "ops", "--agent", "bot", "--all-agents"}}) {
    EXPECT_EQ(terminal.run(words), 2) << terminal.err();
    EXPECT_TRUE(terminal.err().ends_with("hint: gantry webhooks edit --help\n")) << terminal.err();
  }
  EXPECT_TRUE(api.asked().empty());
}

}  // namespace
}  // namespace gantry::cli
