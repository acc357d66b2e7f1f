#include "webhooks/deliverer.h"

#include <gtest/gtest.h>

#include "webhooks/signature.h"
#include "webhooks/webhooks_testing.h"

namespace gantry::webhooks {
namespace {

TEST_F(WebhooksTest, AFailingReceiverIsTriedAgainWithTheSameIdAndAFreshSignature) {
  make("ops");
  receiver_.next({.status = 500});
  receiver_.next({.status = 302});
  completed();
  ASSERT_TRUE(eventually([&] { return all_finished("ops", 1); }));
  auto calls = receiver_.calls();
  ASSERT_EQ(calls.size(), 3U);
  EXPECT_EQ(calls[0].id, calls[2].id);
  EXPECT_EQ(calls[0].body, calls[2].body);
  requests::RequestState state = deliveries("ops").at(0).request.state;
  EXPECT_EQ(state.status, requests::Status::completed);
  ASSERT_EQ(state.log.size(), 3U);
  EXPECT_EQ(state.log[0].detail, "the receiver answered 500 Internal Server Error: thanks");
  EXPECT_TRUE(state.log[1].detail.contains("redirects are not followed")) << state.log[1].detail;
}

TEST_F(WebhooksTest, AReceiverThatNeverTakesItMakesADeadLetterThatCanBeReplayed) {
  options_.retry.max = 3;
  reopen();
  make("ops");
  receiver_.always({.status = 400});
  completed();
  ASSERT_TRUE(eventually([&] { return all_finished("ops", 1); }));
  Delivery dead = deliveries("ops").at(0);
  EXPECT_EQ(dead.request.state.status, requests::Status::failed);
  EXPECT_EQ(dead.request.state.attempts, 3U);
  receiver_.always({});
  auto copy = wait(webhooks_->replay(scope_, "ops", dead.request.id, "root"));
  ASSERT_TRUE(copy.has_value()) << copy.error().reason();
  ASSERT_TRUE(eventually([&] { return all_finished("ops", 2); }));
  auto calls = receiver_.calls();
  EXPECT_EQ(calls.back().id, calls.front().id);
  EXPECT_EQ(deliveries("ops").at(0).request.replay_of, dead.request.id);
  // A request that is no delivery of this webhook is none.
  for (RequestId other : {requests_->make_id(), completed()}) {
    auto wrong = wait(webhooks_->replay(scope_, "ops", other, "root"));
    ASSERT_FALSE(wrong.has_value());
    EXPECT_EQ(wrong.error().id(), ErrorId::GR0401);
  }
}

TEST_F(WebhooksTest, RetryAfterIsHonoured) {
  make("ops");
  receiver_.next({.status = 503, .retry_after = "3600"});
  completed();
  ASSERT_TRUE(eventually([&] {
    auto all = deliveries("ops");
    return !all.empty() && all[0].request.state.failures == 1;
  }));
  EXPECT_GT(deliveries("ops").at(0).request.state.not_before, clock_.now() + std::chrono::minutes(50));
}

TEST_F(WebhooksTest, GoneDisablesTheWebhook) {
  make("ops");
  receiver_.next({.status = 410});
  completed();
  ASSERT_TRUE(eventually([&] { return !webhooks_->get(scope_, "ops")->enabled; }));
  EXPECT_EQ(webhooks_->get(scope_, "ops")->disabled_reason, "the receiver answered 410 Gone");
  EXPECT_EQ(deliveries("ops").at(0).request.state.status, requests::Status::failed);
  completed();
  settle();
  EXPECT_EQ(deliveries("ops").size(), 1U);
  auto refused = wait(webhooks_->test(scope_, "ops", "root"));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().id(), ErrorId::GR1105);
  ASSERT_TRUE(wait(webhooks_->change(scope_, "ops", {.enabled = true})).has_value());
  settle();
  EXPECT_EQ(deliveries("ops").size(), 1U);
  completed();
  ASSERT_TRUE(eventually([&] { return all_finished("ops", 2); }));
}

TEST_F(WebhooksTest, WhatWaitsForADisabledWebhookIsDeliveredWhenItIsEnabled) {
  options_.retry.backoff.initial = std::chrono::milliseconds(50);
  options_.retry.backoff.cap = std::chrono::milliseconds(50);
  options_.retry.max = 1'000;
  reopen();
  make("ops");
  receiver_.always({.status = 500});
  completed();
  ASSERT_TRUE(eventually([&] { return !receiver_.calls().empty(); }));
  ASSERT_TRUE(wait(webhooks_->change(scope_, "ops", {.enabled = false})).has_value());
  // Whatever was under way has ended, and it is due by now: only the switch holds it back.
  ASSERT_TRUE(eventually([&] {
    auto view = deliveries("ops").front().request;
    return view.state.status == requests::Status::pending && view.state.not_before < clock_.now();
  }));
  receiver_.always({});
  make("other");
  ASSERT_TRUE(wait(webhooks_->test(scope_, "other", "root")).has_value());
  ASSERT_TRUE(eventually([&] { return all_finished("other", 1); }));
  EXPECT_EQ(deliveries("ops").front().request.state.status, requests::Status::pending);
  ASSERT_TRUE(wait(webhooks_->change(scope_, "ops", {.enabled = true})).has_value());
  ASSERT_TRUE(eventually([&] { return all_finished("ops", 1); }));
}

TEST_F(WebhooksTest, WhatHappenedWhileItWasDisabledIsNeverTold) {
  make("ops");
  ASSERT_TRUE(wait(webhooks_->change(scope_, "ops", {.enabled = false})).has_value());
  completed();
  settle();
  ASSERT_TRUE(wait(webhooks_->change(scope_, "ops", {.enabled = true})).has_value());
  // As after a crash that took the position.
  ASSERT_TRUE(database_->write_blocking(scope_, [](store::Session& session) { return save_position(session, 0); }));
  reopen();
  settle();
  EXPECT_TRUE(deliveries("ops").empty());
}

TEST_F(WebhooksTest, BothSecretsSignUntilTheGraceIsOver) {
  Made made = make("ops");
  auto rotated = wait(webhooks_->rotate(scope_, "ops", std::chrono::hours(1)));
  ASSERT_TRUE(rotated.has_value());
  ASSERT_TRUE(wait(webhooks_->test(scope_, "ops", "root")).has_value());
  ASSERT_TRUE(eventually([&] { return receiver_.calls().size() == 1; }));
  auto call = receiver_.calls().at(0);
  std::vector<telemetry::Secret> secrets{rotated->secret, made.secret};
  EXPECT_EQ(call.signature, *signatures(secrets, call.id, std::stoll(call.timestamp), call.body));

  ASSERT_TRUE((rotated = wait(webhooks_->rotate(scope_, "ops", Duration::zero()))).has_value());
  EXPECT_FALSE(rotated->webhook.old_secret_until.has_value());
  reopen();
  ASSERT_TRUE(wait(webhooks_->test(scope_, "ops", "root")).has_value());
  ASSERT_TRUE(eventually([&] { return receiver_.calls().size() == 2; }));
  call = receiver_.calls().at(1);
  secrets = {rotated->secret};
  EXPECT_EQ(call.signature, *signatures(secrets, call.id, std::stoll(call.timestamp), call.body));
  EXPECT_FALSE(wait(webhooks_->rotate(scope_, "ops", longest_grace + std::chrono::seconds(1))).has_value());
}

TEST(SigningSecrets, AnOldSecretEndsWithItsTime) {
  Time now(std::chrono::seconds(1'700'000'000));
  WebhookRecord record;
  record.secret = telemetry::Secret("new");
  record.old_secret = telemetry::Secret("old");
  EXPECT_EQ(signing_secrets(record, now).size(), 1U);
  record.webhook.old_secret_until = now + std::chrono::seconds(1);
  ASSERT_EQ(signing_secrets(record, now).size(), 2U);
  EXPECT_EQ(signing_secrets(record, now).front().reveal(), "new");
  EXPECT_EQ(signing_secrets(record, now + std::chrono::seconds(1)).size(), 1U);
}

TEST_F(WebhooksTest, AnAddressInsideIsRefusedAlsoWhenOnlyTheNameLeadsThere) {
  options_.hosts = AllowedHosts();
  reopen();
  NewWebhook wanted{.name = "ops", .url = url()};
  auto refused = wait(webhooks_->make(scope_, wanted));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().id(), ErrorId::GR1102);
  // With another network in the list a name is only judged by its address, when it is connected to.
  options_.hosts = *AllowedHosts::parse("*,10.0.0.0/8");
  options_.retry.max = 1;
  reopen();
  wanted.url = fmt::format("http://localhost:{}/hook", server_.local_endpoint().port);
  ASSERT_TRUE(wait(webhooks_->make(scope_, wanted)).has_value());
  completed();
  ASSERT_TRUE(eventually([&] { return all_finished("ops", 1); }));
  std::string reason = deliveries("ops").at(0).request.state.reason;
  EXPECT_TRUE(reason.starts_with("localhost is ")) << reason;
  EXPECT_TRUE(reason.contains("not an address of the public internet")) << reason;
  EXPECT_TRUE(receiver_.calls().empty());
}

TEST_F(WebhooksTest, AReceiverThatLetsTooMuchWaitIsDisabled) {
  options_.max_waiting = 3;
  reopen();
  make("ops");
  for (int i = 0; i < 4; ++i) receiver_.next({.status = 503, .retry_after = "3600"});
  for (int i = 0; i < 3; ++i) completed();
  ASSERT_TRUE(eventually([&] { return receiver_.calls().size() == 3; }));
  settle();
  completed();
  ASSERT_TRUE(eventually([&] { return !webhooks_->get(scope_, "ops")->enabled; }));
  settle();
  EXPECT_EQ(deliveries("ops").size(), 3U);
  EXPECT_TRUE(webhooks_->get(scope_, "ops")->disabled_reason.starts_with("3 deliveries wait"));
}

}  // namespace
}  // namespace gantry::webhooks
