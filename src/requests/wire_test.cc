#include "requests/wire.h"

#include <gtest/gtest.h>

namespace gantry::requests {
namespace {

AgentId some_agent() { return AgentId(IdBytes{1, 2, 3}); }
InstanceId some_instance() { return InstanceId(IdBytes{9, 8, 7}); }

AcceptedRecord sample() {
  AcceptedRecord record;
  record.agent_id = some_agent();
  record.agent = "bot";
  record.principal = "root";
  record.method = "POST";
  record.target = "/work?a=1&a=2";
  record.headers = {{"X-One", "1"}, {"x-one", ""}, {"Content-Type", "text/plain"}};
  record.trailers = {{"Checksum", "abc"}};
  record.framing = net::Framing::Kind::chunked;
  record.body = {.inline_bytes = std::string_view("he\0llo", 6), .size = 6};
  return record;
}

// What the journal holds: the head, then the inline body as a part of its own.
std::string stored(const auto& record) {
  std::string out;
  encode(record, out);
  out.append(record.body.inline_bytes);
  return out;
}

TEST(AcceptedRecord, ComesBackAsItWasWritten) {
  AcceptedRecord record = sample();
  record.replay_of = RequestId(IdBytes{5});
  record.first_instance = some_instance();
  std::string bytes = stored(record);
  auto back = decode_accepted(bytes);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->agent_id, record.agent_id);
  EXPECT_EQ(back->agent, "bot");
  EXPECT_EQ(back->principal, "root");
  EXPECT_EQ(back->method, "POST");
  EXPECT_EQ(back->target, "/work?a=1&a=2");
  EXPECT_EQ(back->headers, record.headers);
  EXPECT_EQ(back->trailers, record.trailers);
  EXPECT_EQ(back->framing, record.framing);
  EXPECT_EQ(back->body.inline_bytes, record.body.inline_bytes);
  EXPECT_EQ(back->replay_of, record.replay_of);
  EXPECT_EQ(back->first_instance, record.first_instance);
}

TEST(AcceptedRecord, KeepsABlobBodyByDigest) {
  AcceptedRecord record = sample();
  record.body = {.inline_bytes = "", .blob = journal::BlobId{7}, .size = 1'000'000};
  std::string bytes = stored(record);
  auto back = decode_accepted(bytes);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->body.blob, journal::BlobId{7});
  EXPECT_EQ(back->body.size, 1'000'000u);
}

TEST(AcceptedRecord, SummaryReadsOnlyTheStart) {
  std::string bytes = stored(sample());
  auto summary = decode_accepted_summary(bytes);
  ASSERT_TRUE(summary.has_value());
  EXPECT_EQ(summary->agent, "bot");
  EXPECT_EQ(summary->target, "/work?a=1&a=2");
  EXPECT_FALSE(summary->first_instance.has_value());
}

TEST(CompletedRecord, ComesBackAsItWasWritten) {
  CompletedRecord record;
  record.number = 3;
  record.status = 201;
  record.reason = "Created";
  record.headers = {{"Set-Cookie", "a"}, {"Set-Cookie", "b"}};
  record.body = {.inline_bytes = "{}", .size = 2};
  std::string bytes = stored(record);
  auto back = decode_completed(bytes);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->number, 3u);
  EXPECT_EQ(back->status, 201);
  EXPECT_EQ(back->reason, "Created");
  EXPECT_EQ(back->headers, record.headers);
  EXPECT_EQ(back->body.inline_bytes, "{}");
  auto summary = decode_completed_summary(bytes);
  ASSERT_TRUE(summary.has_value());
  EXPECT_EQ(summary->status, 201);
}

TEST(SmallRecords, ComeBackAsTheyWereWritten) {
  std::string out;
  encode(AttemptRecord{.number = 7, .instance = some_instance()}, out);
  auto attempt = decode_attempt(out);
  ASSERT_TRUE(attempt.has_value());
  EXPECT_EQ(attempt->number, 7u);
  EXPECT_EQ(attempt->instance, some_instance());

  out.clear();
  AttemptEndedRecord ended{
      .number = 2, .outcome = Outcome::died, .detail = "exit 137", .next_attempt_at = time_from_unix_ms(5)};
  encode(ended, out);
  auto back = decode_attempt_ended(out);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->outcome, Outcome::died);
  EXPECT_EQ(back->detail, "exit 137");
  EXPECT_EQ(unix_ms(back->next_attempt_at), 5);

  out.clear();
  encode(FailedRecord{.number = 5, .outcome = Outcome::timeout, .reason = "no answer"}, out);
  auto failed = decode_failed(out);
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(failed->reason, "no answer");
}

TEST(Decoding, RefusesEveryTruncationAndAnotherFormat) {
  std::string bytes = stored(sample());
  for (size_t length = 0; length < bytes.size(); ++length)
    EXPECT_FALSE(decode_accepted(std::string_view(bytes).substr(0, length)).has_value()) << length;
  bytes[0] = 2;
  auto other = decode_accepted(bytes);
  ASSERT_FALSE(other.has_value());
  EXPECT_EQ(other.error().code(), Code::data_loss);
}

TEST(Decoding, RefusesAFieldCountThatCannotBe) {
  std::string bytes;
  Encoder encoder(bytes);
  encoder.varint(~uint64_t{0});
  Decoder decoder(bytes);
  EXPECT_TRUE(decoder.fields().empty());
  EXPECT_FALSE(decoder.ok());
}

AcceptedRecord with_conditions(Conditions conditions) {
  AcceptedRecord record;
  record.agent = "bot";
  record.principal = "root";
  record.method = "POST";
  record.target = "/x";
  record.conditions = std::move(conditions);
  return record;
}

TEST(Wire, ConditionsComeBackInTheOldestFormatThatCanSayThem) {
  using namespace std::chrono_literals;
  const RetryOverride retry{
      .max = 3,
      .policy = Backoff::Policy::linear,
      .initial = 2s,
      .cap = 1min,
      .timeout = 30s,
      .on = core::RetryOn{.connect = true, .timeout = false, .died = false, .statuses = {429, 503}}};
  struct Case {
    Conditions conditions;
    uint8_t format;
  };
  for (const Case& one :
       {Case{{}, 1}, Case{{.key = "k", .not_before = Time(5s)}, 2}, Case{{.order_key = "o"}, 3},
        Case{{.priority = 9}, 3}, Case{{.deadline = Time(9s)}, 3}, Case{{.retry = {.max = 1}}, 3},
        Case{
            {.key = "k", .not_before = Time(5s), .order_key = "o", .priority = 0, .deadline = Time(9s), .retry = retry},
            3}}) {
    std::string bytes;
    encode(with_conditions(one.conditions), bytes);
    EXPECT_EQ(bytes[0], one.format);
    auto summary = decode_accepted_summary(bytes);
    ASSERT_TRUE(summary.has_value());
    EXPECT_EQ(summary->conditions.key, one.conditions.key);
    EXPECT_EQ(summary->conditions.not_before, one.conditions.not_before);
    EXPECT_EQ(summary->conditions.order_key, one.conditions.order_key);
    EXPECT_EQ(summary->conditions.priority, one.conditions.priority);
    EXPECT_EQ(summary->conditions.deadline, one.conditions.deadline);
    EXPECT_EQ(summary->conditions.retry, one.conditions.retry);
    for (size_t length = 0; length < bytes.size(); ++length)
      EXPECT_FALSE(decode_accepted(std::string_view(bytes).substr(0, length)).has_value()) << length;
  }
}

TEST(Wire, AConditionThatItsFormatDoesNotKnowIsDamage) {
  std::string bytes;
  encode(with_conditions({.order_key = "o"}), bytes);
  bytes[0] = 2;
  EXPECT_FALSE(decode_accepted_summary(bytes).has_value());
  bytes[0] = 4;
  EXPECT_FALSE(decode_accepted_summary(bytes).has_value());
}

TEST(Wire, AFailedRequestSaysOfItsLastAttemptWhatItsReasonDoesNot) {
  for (std::string_view detail : {"", "answered 503"}) {
    std::string bytes;
    encode(FailedRecord{.number = 3, .outcome = Outcome::answered, .reason = "used up", .detail = detail}, bytes);
    auto read = decode_failed(bytes);
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->reason, "used up");
    EXPECT_EQ(read->detail, detail);
    for (size_t length = 0; length < bytes.size(); ++length)
      EXPECT_FALSE(decode_failed(std::string_view(bytes).substr(0, length)).has_value()) << length;
  }
}

TEST(Wire, AnOutcomeThatNobodyKnowsIsDamage) {
  std::string bytes;
  encode(FailedRecord{.number = 1, .outcome = last_outcome, .reason = ""}, bytes);
  ASSERT_TRUE(decode_failed(bytes).has_value());
  ++bytes[2];
  EXPECT_FALSE(decode_failed(bytes).has_value());
}

}  // namespace
}  // namespace gantry::requests
