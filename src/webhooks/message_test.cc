#include "webhooks/message.h"

#include <gtest/gtest.h>

#include "json/json.h"
#include "webhooks/deliverer.h"

namespace gantry::webhooks {
namespace {

journal::Record record_of(journal::Kind kind, std::string_view payload) {
  return {.seq = 7,
          .time = Time(std::chrono::seconds(1'700'000'000)),
          .kind = kind,
          .scope = Scope::standard(),
          .entity = IdBytes{1, 2, 3, 4, 5, 6, 0x70},
          .payload = payload,
          .location = {}};
}

template <class Any>
std::string encoded(const Any& record) {
  std::string bytes;
  requests::encode(record, bytes);
  return bytes;
}

std::vector<std::string> words_of(const std::vector<News>& news) {
  std::vector<std::string> words;
  for (const News& item : news)
    words.push_back(fmt::format("{} {} {} {} {}", to_string(item.event), requests::to_string(item.status),
                                item.attempts, item.response_status, item.reason));
  return words;
}

TEST(News, FollowFromTheRecordAlone) {
  requests::AcceptedRecord accepted{.agent_id = AgentId(IdBytes{1}), .agent = "bot", .method = "POST", .target = "/"};
  requests::AcceptedRecord begun = accepted;
  begun.first_instance = InstanceId(IdBytes{9});
  struct Case {
    journal::Kind kind;
    std::string payload;
    std::vector<std::string> expected;
  };
  for (const auto& [kind, payload, expected] : std::vector<Case>{
           {requests::request_accepted, encoded(accepted), {"request.accepted pending 0 0 "}},
           {requests::request_accepted,
            encoded(begun),
            {"request.accepted processing 1 0 ", "request.processing processing 1 0 "}},
           {requests::attempt_started,
            encoded(requests::AttemptRecord{.number = 2}),
            {"request.processing processing 2 0 "}},
           {requests::attempt_ended,
            encoded(requests::AttemptEndedRecord{.number = 2, .outcome = requests::Outcome::died, .detail = "exit 1"}),
            {"request.retrying pending 2 0 exit 1"}},
           {requests::request_completed,
            encoded(requests::CompletedRecord{.number = 3, .status = 201}),
            {"request.completed completed 3 201 "}},
           {requests::request_failed,
            encoded(requests::FailedRecord{.number = 5, .reason = "exit 1"}),
            {"request.failed failed 5 0 exit 1"}},
           {requests::server_started, "", {}},
           {requests::request_completed, "damaged", {}},
       })
    EXPECT_EQ(words_of(news_of(record_of(kind, payload))), expected);
}

TEST(News, OfADeliveryAreNone) {
  requests::AcceptedRecord accepted{
      .agent_id = AgentId(IdBytes{1}), .agent = "webhook:ops", .method = "POST", .target = "/"};
  EXPECT_TRUE(news_of(record_of(requests::request_accepted, encoded(accepted))).empty());
}

TEST(News, OfARecordBehindTheEndAreStale) {
  requests::RequestView view{.final_seq = 7};
  EXPECT_FALSE(is_stale({.event = Event::completed, .seq = 7}, view));
  EXPECT_TRUE(is_stale({.event = Event::failed, .seq = 8}, view));
  EXPECT_TRUE(is_stale({.event = Event::retrying, .seq = 8}, view));
  EXPECT_FALSE(is_stale({.event = Event::processing, .seq = 6}, view));
  view.final_seq = 0;
  EXPECT_FALSE(is_stale({.event = Event::processing, .seq = 6}, view));
}

TEST(News, OfALifeBeforeARequeueAreStaleOnlyBehindItsEnd) {
  requests::RequestView view{.accept_seq = 20, .requeued = requests::Requeued{.ended_seq = 7}};
  EXPECT_FALSE(is_stale({.event = Event::failed, .seq = 7}, view));
  EXPECT_FALSE(is_stale({.event = Event::processing, .seq = 6}, view));
  EXPECT_TRUE(is_stale({.event = Event::failed, .seq = 9}, view));
  EXPECT_FALSE(is_stale({.event = Event::requeued, .seq = 20}, view));
  EXPECT_TRUE(is_stale({.event = Event::requeued, .seq = 21}, view));
  view.final_seq = 25;
  EXPECT_FALSE(is_stale({.event = Event::failed, .seq = 25}, view));
  // Both lives may fail with the same number of attempts: each is told.
  WebhookId webhook(IdBytes{1});
  News first{.event = Event::failed, .seq = 7, .attempts = 3}, second{.event = Event::failed, .seq = 25, .attempts = 3};
  EXPECT_EQ(life_of(first, view), 0u);
  EXPECT_NE(delivery_id(webhook, first, life_of(first, view)), delivery_id(webhook, second, life_of(second, view)));
}

TEST(News, AreWantedByEventAgentAndAge) {
  WebhookRecord record;
  record.webhook.events = {Event::completed};
  record.since_seq = 6;
  News news{.event = Event::completed, .seq = 7};
  EXPECT_TRUE(wants(record, news, "bot"));
  EXPECT_FALSE(wants(record, {.event = Event::failed, .seq = 7}, "bot"));
  EXPECT_FALSE(wants(record, {.event = Event::completed, .seq = 6}, "bot"));
  record.webhook.agent = "other";
  EXPECT_FALSE(wants(record, news, "bot"));
  record.webhook.agent = "bot";
  EXPECT_TRUE(wants(record, news, "bot"));
  record.webhook.enabled = false;
  EXPECT_FALSE(wants(record, news, "bot"));
}

TEST(DeliveryId, IsTheSameForTheSameNewsAndNoOther) {
  WebhookId webhook(IdBytes{1}), other(IdBytes{2});
  News news{.event = Event::retrying, .seq = 7, .request = RequestId(IdBytes{1, 2, 3, 4, 5, 6, 0x7f}), .attempts = 1};
  News again = news;
  again.seq = 9;  // the record was written twice
  EXPECT_EQ(delivery_id(webhook, news), delivery_id(webhook, again));
  EXPECT_EQ(delivery_id(webhook, news).unix_ms(), news.request.unix_ms());
  EXPECT_NE(delivery_id(webhook, news), delivery_id(other, news));
  again.attempts = 2;
  EXPECT_NE(delivery_id(webhook, news), delivery_id(webhook, again));
  again = news;
  again.event = Event::processing;
  EXPECT_NE(delivery_id(webhook, news), delivery_id(webhook, again));
}

TEST(Body, TellsTheRequestAsItWasThen) {
  // The request has ended meanwhile: what is told of the retry does not say so.
  requests::RequestView view{.agent = "bot", .method = "POST", .target = "/ask", .final_seq = 9};
  view.state.status = requests::Status::completed;
  News news{.event = Event::retrying, .seq = 7, .at = Time(std::chrono::seconds(1'700'000'000)), .attempts = 1};
  news.reason = "exit 1";
  EXPECT_EQ(body_of(news, view),
            R"({"type":"request.retrying","timestamp":"2023-11-14T22:13:20.000Z","data":{"request":{)"
            R"("id":"req_00000000000000000000000000","agent":"bot","method":"POST","target":"/ask","status":"pending",)"
            R"("response_status":null,"attempts":1,"created_at":"1970-01-01T00:00:00.000Z","ended_at":null,)"
            R"("reason":"exit 1"}}})");
  Heading heading = heading_of(body_of(news, view));
  EXPECT_EQ(heading.type, "request.retrying");
  EXPECT_EQ(heading.request, "req_00000000000000000000000000");
  EXPECT_EQ(heading_of("no JSON").type, "");
}

TEST(Body, StaysSmall) {
  requests::RequestView view{.target = std::string(100'000, 'x')};
  News news{.event = Event::failed, .reason = std::string(100'000, 'y')};
  EXPECT_LT(body_of(news, view).size(), 6'000U);
}

TEST(Events, AreSpelledInOneWay) {
  for (Event event : all_events()) EXPECT_EQ(event_from_string(to_string(event)), event);
  EXPECT_FALSE(event_from_string("request.nothing").has_value());
}

TEST(JudgeAnswer, WaitsAsLongAsTheReceiverWantsWithinBounds) {
  SeededRandom random(1);
  Options options;
  Time now(std::chrono::seconds(1'700'000'000));
  Answer answer{.outcome = requests::Outcome::answered, .status = 503};
  auto at = [&](uint32_t failures) { return judge_answer(answer, failures, now, options, random); };
  EXPECT_LE(at(0).next_attempt_at, now + std::chrono::seconds(5));
  EXPECT_LE(at(8).next_attempt_at, now + std::chrono::hours(1));
  EXPECT_TRUE(at(9).dead);
  answer.retry_after = std::chrono::minutes(10);
  EXPECT_EQ(at(0).next_attempt_at, now + std::chrono::minutes(10));
  answer.retry_after = std::chrono::hours(1'000);
  EXPECT_EQ(at(0).next_attempt_at, now + requests::longest_retry_after);
  answer.status = gone_status;
  EXPECT_TRUE(at(0).dead);
  answer = {.outcome = requests::Outcome::refused};
  EXPECT_FALSE(at(8).dead);
  EXPECT_TRUE(at(9).dead) << "nobody there is a failure, too";
  answer = {.outcome = requests::Outcome::interrupted};
  EXPECT_EQ(at(9).next_attempt_at, now);
}

}  // namespace
}  // namespace gantry::webhooks
