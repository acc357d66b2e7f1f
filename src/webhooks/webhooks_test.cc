#include "webhooks/webhooks.h"

#include <gtest/gtest.h>

#include <map>

#include "json/json.h"
#include "webhooks/records.h"
#include "webhooks/signature.h"
#include "webhooks/webhooks_testing.h"

namespace gantry::webhooks {
namespace {

TEST_F(WebhooksTest, ACompletedRequestIsToldOnceAndSigned) {
  Made made = make("ops");
  RequestId id = completed();
  ASSERT_TRUE(eventually([&] { return all_finished("ops", 1); }));
  auto calls = receiver_.calls();
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].target, "/hook");
  auto body = json::parse(calls[0].body);
  ASSERT_TRUE(body.has_value());
  EXPECT_EQ(json::get_string(*body, "type").value_or(""), "request.completed");
  EXPECT_EQ(json::get_string(*body, "data.request.id").value_or(""), id.to_string());
  std::vector<telemetry::Secret> secrets{made.secret};
  EXPECT_EQ(calls[0].signature, *signatures(secrets, calls[0].id, std::stoll(calls[0].timestamp), calls[0].body));

  Delivery delivery = deliveries("ops").at(0);
  EXPECT_EQ(delivery.event, "request.completed");
  EXPECT_EQ(delivery.subject, id.to_string());
  EXPECT_EQ(delivery.message_id, calls[0].id);
  EXPECT_EQ(delivery.request.id.to_string(), calls[0].id);
  // A delivery is a request that completes, too, and nobody is told.
  settle();
  EXPECT_EQ(receiver_.calls().size(), 1U);
}

TEST_F(WebhooksTest, OnlyWhatIsWantedIsTold) {
  completed();  // before there is a webhook
  make("bots", {Event::completed}, "bot");
  make("steps", {Event::accepted, Event::processing, Event::retrying, Event::failed});
  completed("other");
  completed("bot");
  RequestId id = accept();
  ASSERT_TRUE(wait(requests_->bury(id, scope_, {.number = 1, .reason = "exit 1"})).has_value());
  settle();
  EXPECT_EQ(deliveries("bots").size(), 1U);
  std::map<std::string, int> counts;
  for (const Delivery& delivery : deliveries("steps")) ++counts[delivery.event];
  EXPECT_EQ(counts,
            (std::map<std::string, int>{{"request.accepted", 3}, {"request.processing", 3}, {"request.failed", 1}}));
}

TEST_F(WebhooksTest, ASecondEndOfARequestIsNotTold) {
  make("ops");
  RequestId id = completed();
  ASSERT_TRUE(wait(requests_->bury(id, scope_, {.number = 1, .reason = "too late"})).has_value());
  complete(id);
  settle();
  EXPECT_EQ(deliveries("ops").size(), 1U);
}

TEST_F(WebhooksTest, ABatchThatComesAgainMakesNoSecondDelivery) {
  make("ops", {Event::accepted, Event::completed});
  for (int i = 0; i < 5; ++i) completed();
  ASSERT_TRUE(eventually([&] { return all_finished("ops", 10); }));
  settle();
  // As after a crash that took the position, but not the deliveries.
  auto rolled_back =
      database_->write_blocking(Scope::standard(), [](store::Session& session) { return save_position(session, 0); });
  ASSERT_TRUE(rolled_back.has_value());
  reopen();
  settle();
  EXPECT_EQ(deliveries("ops").size(), 10U);
  EXPECT_EQ(receiver_.calls().size(), 10U);
  EXPECT_EQ(requests_->counts().completed, 15U);
}

TEST_F(WebhooksTest, WhatHappenedBeforeARestartIsToldAfterIt) {
  make("ops");
  settle();
  // Its projection never sees this: the position stays before it, as after a crash right behind the record.
  uint64_t before = journal_->durable_seq();
  RequestId id = completed();
  settle();
  auto rolled_back = database_->write_blocking(scope_, [before](store::Session& session) -> Result<void> {
    GANTRY_TRY_VOID(session.execute("DELETE FROM requests WHERE scope = :scope AND agent = 'webhook:ops'"));
    return save_position(session, before);
  });
  ASSERT_TRUE(rolled_back.has_value());
  reopen();
  ASSERT_TRUE(eventually([&] { return all_finished("ops", 1); }));
  EXPECT_EQ(deliveries("ops").at(0).subject, id.to_string());
}

TEST_F(WebhooksTest, WhatWaitsForARemovedWebhookIsADeadLetter) {
  make("ops");
  receiver_.next({.status = 503, .retry_after = "3600"});
  completed();
  ASSERT_TRUE(
      eventually([&] { return !receiver_.calls().empty() && deliveries("ops").at(0).request.state.failures == 1; }));
  RequestId delivery = deliveries("ops").at(0).request.id;
  ASSERT_TRUE(wait(webhooks_->remove(scope_, "ops")).has_value());
  auto view = wait(requests_->get(scope_, delivery));
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->state.reason, "the webhook was removed");
  EXPECT_EQ(webhooks_->get(scope_, "ops").error().id(), ErrorId::GR1101);
  // A replay of it finds nobody.
  auto copy = wait(requests_->replay(scope_, delivery, "root"));
  ASSERT_TRUE(copy.has_value());
  ASSERT_TRUE(eventually([&] { return wait(requests_->get(scope_, *copy))->state.finished(); }));
}

TEST_F(WebhooksTest, NamesAreTakenOnceAndTheirNumberIsBounded) {
  options_.max_webhooks = 2;
  reopen();
  make("ops");
  NewWebhook wanted{.name = "ops", .url = url()};
  EXPECT_EQ(wait(webhooks_->make(scope_, wanted)).error().id(), ErrorId::GR1103);
  make("more");
  wanted.name = "third";
  EXPECT_EQ(wait(webhooks_->make(scope_, wanted)).error().id(), ErrorId::GR1104);
  for (const char* name : {"", "Ops", "a:b", "-a"}) {
    wanted.name = name;
    EXPECT_EQ(wait(webhooks_->make(scope_, wanted)).error().code(), Code::invalid) << name;
  }
  wanted.name = "third";
  for (std::string wrong : {"ftp://example.com/", "unix:/run/x.sock", "nonsense", "http://user:pass@example.com/"}) {
    wanted.url = wrong;
    EXPECT_EQ(wait(webhooks_->make(scope_, wanted)).error().code(), Code::invalid) << wrong;
  }
  EXPECT_EQ(webhooks_->get(scope_, "opps").error().hint(), "did you mean `ops`?");
}

TEST_F(WebhooksTest, AChangeGoesForWhatWaitsToo) {
  make("ops");
  receiver_.next({.status = 500});
  auto changed = wait(webhooks_->change(scope_, "ops", {.url = url("/new"), .agent = "bot"}));
  ASSERT_TRUE(changed.has_value());
  EXPECT_EQ(changed->agent, "bot");
  completed();
  ASSERT_TRUE(eventually([&] { return all_finished("ops", 1); }));
  EXPECT_EQ(receiver_.calls().back().target, "/new");
  reopen();
  EXPECT_EQ(webhooks_->get(scope_, "ops")->url, url("/new"));
  EXPECT_EQ(wait(webhooks_->change(scope_, "ops", {.events = std::vector<Event>{}})).error().code(), Code::invalid);
}

}  // namespace
}  // namespace gantry::webhooks
