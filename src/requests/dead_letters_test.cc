// Edit, requeue and purge against a real journal and a real store, over restarts.
#include <gtest/gtest.h>

#include <filesystem>

#include "audit/audit.h"
#include "journal/storage_testing.h"
#include "requests/requests.h"
#include "requests/wire_requeue.h"

namespace gantry::requests {
namespace {

AgentId agent() { return AgentId(IdBytes{1}); }
InstanceId instance() { return InstanceId(IdBytes{9}); }

// Hears what the dispatcher hears.
class Heard final : public QueueListener {
 public:
  void queued(const AgentKey& key) override {
    std::lock_guard lock(mutex_);
    agents_.push_back(key.id);
  }
  size_t count() {
    std::lock_guard lock(mutex_);
    return agents_.size();
  }

 private:
  std::mutex mutex_;
  std::vector<AgentId> agents_;
};

// How the projection of the requests stands when something happens: it may be held back.
class DeadLettersTest : public journal::StorageTest {
 protected:
  void SetUp() override {
    StorageTest::SetUp();
    open();
  }
  void TearDown() override {
    close();
    StorageTest::TearDown();
  }
  void open() {
    const std::array steps{audit::migrations(), migrations()};
    open_storage(steps, {.segment_size = mebibytes(4), .projection_linger = linger_});
    requests_ =
        std::make_unique<Requests>(Parts{*journal_, *database_, *blocking_, clock_, random_, logger_}, Options{});
    requests_->add_listener(heard_);
    trail_ = std::make_unique<audit::Trail>(audit::Parts{*journal_, *database_, clock_}, audit::Options{});
    open_journal();
    settle();
    ASSERT_TRUE(wait(requests_->start()).has_value());
  }
  void close() {
    stop_storage();
    trail_.reset();
    requests_.reset();
    drop_storage();
  }
  void reopen() {
    close();
    open();
  }
  // As a crash leaves it: the files of this moment, without a checkpoint at the end, in another directory.
  void crash() {
    if (linger_ < std::chrono::seconds(1)) settle();
    std::filesystem::path copy = directory_.string() + "-crashed";
    std::filesystem::copy(directory_, copy, std::filesystem::copy_options::recursive);
    close();
    std::filesystem::remove_all(directory_);
    std::filesystem::rename(copy, directory_);
    open();
  }

  RequestId accept(std::string_view body, Conditions conditions = {}, std::string_view target = "/work") {
    RequestId id = requests_->make_id();
    AcceptedRecord record;
    record.agent_id = agent();
    record.agent = "bot";
    record.principal = "root";
    record.method = "POST";
    record.target = target;
    record.headers = {{"X-A", "1"}, {"X-B", "2"}, {"x-a", "3"}};
    record.framing = net::Framing::Kind::length;
    record.conditions = conditions;
    record.body = {.inline_bytes = body, .blob = {}, .size = body.size()};
    EXPECT_TRUE(wait(requests_->accept({.id = id, .scope = scope_, .record = record, .inline_body = std::string(body)}))
                    .has_value());
    return id;
  }
  void begin(RequestId id, uint32_t number) {
    ASSERT_TRUE(wait(requests_->begin_attempt(id, scope_, {.number = number, .instance = instance()})).has_value());
  }
  void bury(RequestId id, uint32_t number, std::string_view reason = "it died") {
    begin(id, number);
    ASSERT_TRUE(
        wait(requests_->bury(id, scope_, {.number = number, .outcome = Outcome::died, .reason = reason})).has_value());
  }
  RequestId dead(std::string_view body = "body", Conditions conditions = {}, std::string_view target = "/work") {
    RequestId id = accept(body, conditions, target);
    bury(id, 1);
    return id;
  }
  void complete(RequestId id, uint32_t number) {
    begin(id, number);
    CompletedRecord record{.number = number, .status = 200};
    ASSERT_TRUE(wait(requests_->complete(id, scope_, record, "")).has_value());
  }
  Requeue how(Edit edit = {}) {
    return {.principal = "ada",
            .edit = std::move(edit),
            .not_before = {},
            .agent_of = [](const Scope&, const std::string&) { return std::optional(agent()); }};
  }
  Result<void> requeue(RequestId id, Edit edit = {}) {
    return wait(requests_->requeue(scope_, id, how(std::move(edit))));
  }
  RequestView view(RequestId id) {
    auto found = wait(requests_->get(scope_, id));
    EXPECT_TRUE(found.has_value());
    return found.value_or(RequestView{});
  }
  std::vector<RequestId> listed(Filter filter = {}) {
    auto page = wait(requests_->list(scope_, filter));
    EXPECT_TRUE(page.has_value());
    std::vector<RequestId> ids;
    for (const RequestView& each : page->requests) ids.push_back(each.id);
    return ids;
  }
  std::vector<audit::Recorded> trail(RequestId id) {
    auto page = wait(trail_->list(scope_, {.subject = id.to_string()}));
    EXPECT_TRUE(page.has_value());
    return page ? page->entries : std::vector<audit::Recorded>{};
  }

  telemetry::Logger logger_;
  Heard heard_;
  Duration linger_ = std::chrono::milliseconds(1);
  std::unique_ptr<Requests> requests_;
  std::unique_ptr<audit::Trail> trail_;
};

TEST_F(DeadLettersTest, GoesOutAgainHoweverItsAttemptsEnded) {
  for (int value = 2; value <= static_cast<int>(last_outcome); ++value) {
    const auto outcome = static_cast<Outcome>(value);
    const RequestId id = accept("body");
    begin(id, 1);
    ASSERT_TRUE(
        wait(requests_->end_attempt(id, scope_, {.number = 1, .outcome = outcome, .detail = "so"})).has_value());
    bury(id, 2);
    settle();
    ASSERT_TRUE(requeue(id).has_value()) << to_string(outcome);
    settle();
    EXPECT_EQ(view(id).state.status, Status::pending) << to_string(outcome);
    reopen();
    EXPECT_EQ(view(id).state.status, Status::pending) << to_string(outcome);
    EXPECT_EQ(view(id).state.log.at(0).outcome, outcome);
  }
}

TEST_F(DeadLettersTest, GoesOutAgainUnderItsIdWithANewSetOfAttempts) {
  RequestId id = dead();
  settle();
  EXPECT_EQ(requests_->counts().failed, 1u);
  size_t heard = heard_.count();
  ASSERT_TRUE(requeue(id).has_value());
  EXPECT_EQ(heard_.count(), heard + 1);
  RequestView again = view(id);
  EXPECT_EQ(again.state.status, Status::pending);
  EXPECT_EQ(again.state.attempts, 1u);
  EXPECT_EQ(again.state.failures, 0u);
  ASSERT_EQ(again.state.log.size(), 1u);
  EXPECT_EQ(again.state.log[0].detail, "it died");
  settle();
  EXPECT_EQ(requests_->counts().failed, 0u);
  auto due = requests_->claim_due(agent(), clock_.now(), Order::relaxed);
  ASSERT_TRUE(due.has_value());
  EXPECT_EQ(due->id, id);
  EXPECT_EQ(due->failures, 0u);
  complete(id, 2);
  settle();
  EXPECT_EQ(view(id).state.status, Status::completed);
  EXPECT_EQ(view(id).state.attempts, 2u);
  EXPECT_EQ(listed(), std::vector{id});
  EXPECT_EQ(requests_->counts().completed, 1u);
  EXPECT_EQ(requests_->counts().failed, 0u);
}

TEST_F(DeadLettersTest, KeepsItsBodyAndTheTimeOfItsFirstAcceptance) {
  RequestId id = dead("the body");
  Time created = view(id).created_at;
  ASSERT_TRUE(requeue(id).has_value());
  reopen();
  RequestView again = view(id);
  EXPECT_EQ(again.created_at, created);
  EXPECT_FALSE(again.requeued->original.has_value());
  auto stored = wait(requests_->load_request(again));
  ASSERT_TRUE(stored.has_value()) << stored.error().reason();
  EXPECT_EQ(stored->record.body.inline_bytes, "the body");
  EXPECT_EQ(stored->record.headers.size(), 3u);
}

TEST_F(DeadLettersTest, GoesOutEditedAndTheOriginalStays) {
  RequestId id = dead("old");
  Edit edit{.method = "PUT",
            .target = "/other?x=1",
            .headers = {},
            .set = {{"x-a", "new"}, {"X-C", "c"}},
            .remove = {"X-b"},
            .body = "new body"};
  ASSERT_TRUE(requeue(id, edit).has_value());
  for (int round = 0; round < 2; ++round) {
    RequestView again = view(id);
    EXPECT_EQ(again.method, "PUT");
    EXPECT_EQ(again.target, "/other?x=1");
    auto stored = wait(requests_->load_request(again));
    ASSERT_TRUE(stored.has_value());
    EXPECT_EQ(stored->record.body.inline_bytes, "new body");
    ASSERT_EQ(stored->record.headers.size(), 2u);
    EXPECT_EQ(stored->record.headers[0].name, "x-a");
    EXPECT_EQ(stored->record.headers[0].value, "new");
    EXPECT_EQ(stored->record.headers[1].name, "X-C");
    auto original = wait(requests_->load_original(again));
    ASSERT_TRUE(original.has_value()) << original.error().reason();
    EXPECT_EQ(original->record.method, "POST");
    EXPECT_EQ(original->record.body.inline_bytes, "old");
    reopen();
  }
  // A second edit does not become the original.
  bury(id, 2);
  ASSERT_TRUE(requeue(id, {.body = "newer"}).has_value());
  complete(id, 3);
  settle();
  auto original = wait(requests_->load_original(view(id)));
  ASSERT_TRUE(original.has_value());
  EXPECT_EQ(original->record.body.inline_bytes, "old");
  auto entries = trail(id);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].entry.principal, "ada");
  std::string details = json::serialize(entries[1].entry.details);
  EXPECT_TRUE(details.contains(crypto::sha256_hex("old"))) << details;
  EXPECT_TRUE(details.contains(crypto::sha256_hex("new body"))) << details;
  EXPECT_TRUE(details.contains("X-C")) << details;
  EXPECT_FALSE(details.contains("\"new body\"")) << details;
}

TEST_F(DeadLettersTest, KeepsASegmentThatHoldsAnOriginalUntilTheRequestGoes) {
  RequestId id = dead("old");
  ASSERT_TRUE(requeue(id, {.body = "new"}).has_value());
  uint64_t original = view(id).requeued->original->seq;
  // Segments of 4 MiB: the one with the original is sealed, and nothing else needs it.
  std::string filler(kibibytes(60).count, 'x');
  for (int i = 0; i < 90; ++i) ASSERT_TRUE(wait(requests_->purge(scope_, dead(filler), "root")).has_value());
  settle();
  ASSERT_TRUE(journal_->tidy_up().has_value());
  ASSERT_TRUE(journal_->tidy_up().has_value());
  EXPECT_LE(journal_->first_seq(), original);
  EXPECT_TRUE(wait(requests_->load_original(view(id))).has_value());
  complete(id, 2);
  settle();
  ASSERT_TRUE(journal_->tidy_up().has_value());
  EXPECT_TRUE(wait(requests_->load_original(view(id))).has_value());
  ASSERT_TRUE(wait(requests_->purge(scope_, id, "root")).has_value());
  settle();
  for (int i = 0; i < 90; ++i) ASSERT_TRUE(wait(requests_->purge(scope_, dead(filler), "root")).has_value());
  settle();
  ASSERT_TRUE(journal_->tidy_up().has_value());
  ASSERT_TRUE(journal_->tidy_up().has_value());
  EXPECT_GT(journal_->first_seq(), original);
}

TEST_F(DeadLettersTest, LongNewBodiesAreBlobs) {
  RequestId id = dead("old");
  std::string body(kibibytes(200).count, 'b');
  ASSERT_TRUE(requeue(id, {.body = body}).has_value());
  auto stored = wait(requests_->load_request(view(id)));
  ASSERT_TRUE(stored.has_value());
  ASSERT_TRUE(stored->record.body.blob.has_value());
  EXPECT_EQ(requests_->blobs().read(*stored->record.body.blob, mebibytes(1)).value_or(""), body);
  complete(id, 2);
  settle();
  // Still the body of the row, and of nothing once that is gone.
  auto blob = *stored->record.body.blob;
  EXPECT_TRUE(wait(requests_->load_request(view(id)))->record.body.blob == blob);
}

TEST_F(DeadLettersTest, OnlyOneOfManyRequeuesWins) {
  RequestId id = dead();
  settle();
  std::vector<std::optional<Result<void>>> results(50);
  TaskGroup group;
  for (size_t i = 0; i < results.size(); ++i)
    group.spawn(threads_.executor(i % 2), store_result(requests_->requeue(scope_, id, how()), results[i]));
  group.join();
  size_t won = 0;
  for (const auto& result : results) {
    if (*result)
      ++won;
    else
      EXPECT_EQ(result->error().id(), ErrorId::GR0414);
  }
  EXPECT_EQ(won, 1u);
  EXPECT_EQ(trail(id).size(), 1u);
}

TEST_F(DeadLettersTest, WhatHasNotFailedIsNotRequeued) {
  RequestId pending = accept("a");
  RequestId done = accept("b");
  complete(done, 1);
  for (RequestId id : {pending, done}) {
    auto refused = requeue(id);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().id(), ErrorId::GR0414);
    EXPECT_FALSE(refused.error().hint().empty());
  }
  EXPECT_EQ(requeue(requests_->make_id()).error().id(), ErrorId::GR0401);
  ASSERT_TRUE(wait(requests_->cancel(scope_, pending, "no")).has_value());
  EXPECT_TRUE(requeue(pending).has_value());
  Requeue nobody = how();
  nobody.agent_of = [](const Scope&, const std::string&) { return std::optional<AgentId>(); };
  EXPECT_EQ(wait(requests_->requeue(scope_, dead(), nobody)).error().id(), ErrorId::GR0501);
}

TEST_F(DeadLettersTest, WhoStillDeliversACancelledRequestDoesNotTouchItsNextLife) {
  RequestId id = accept("old");
  begin(id, 1);
  ASSERT_TRUE(wait(requests_->cancel(scope_, id, "no")).has_value());
  ASSERT_TRUE(requeue(id, {.body = "new"}).has_value());
  // The first delivery, and one that had claimed it, write what they know.
  ASSERT_TRUE(wait(requests_->bury(id, scope_, {.number = 1, .outcome = Outcome::died, .reason = "late"})).has_value());
  ASSERT_TRUE(wait(requests_->begin_attempt(id, scope_, {.number = 2, .instance = instance()})).has_value());
  EXPECT_EQ(view(id).state.status, Status::pending);
  complete(id, 3);
  EXPECT_EQ(view(id).state.status, Status::completed);
}

TEST_F(DeadLettersTest, RefusesEditsThatCannotBe) {
  RequestId id = dead();
  const Edit bad[] = {{.method = "PO ST"},
                      {.method = ""},
                      {.method = "CONNECT"},
                      {.target = "work"},
                      {.target = "/a b"},
                      {.target = "/a#b"},
                      {.target = "/" + std::string(20'000, 'a')},
                      {.set = {{"X A", "1"}}},
                      {.set = {{"X-A", "1\r\nX-B: 2"}}},
                      {.set = {{"X-A", " 1"}}},
                      {.set = {{"Gantry-Attempt", "1"}}},
                      {.set = {{"Content-Length", "1"}}},
                      {.set = {{"Transfer-Encoding", "chunked"}}},
                      {.set = Edit::Fields(300, {"X-A", "1"})},
                      {.set = {{"X-A", std::string(70'000, 'a')}}},
                      {.remove = {""}},
                      {.headers = Edit::Fields{}, .set = {{"X-A", "1"}}},
                      {.body = std::string(longest_edited_body.count + 1, 'a')}};
  for (const Edit& edit : bad) {
    auto refused = requeue(id, edit);
    ASSERT_FALSE(refused.has_value()) << &edit - bad;
    EXPECT_EQ(refused.error().id(), ErrorId::GR0416) << &edit - bad;
    EXPECT_FALSE(refused.error().hint().empty()) << &edit - bad;
  }
  EXPECT_EQ(view(id).state.status, Status::failed);
  EXPECT_TRUE(trail(id).empty());
}

TEST_F(DeadLettersTest, KeepsItsIdempotencyKey) {
  Conditions conditions{.key = "once", .fingerprint = crypto::sha256("x"), .not_before = {}};
  RequestId id = dead("a", conditions);
  settle();
  ASSERT_TRUE(requeue(id, {.body = "b"}).has_value());
  for (int round = 0; round < 3; ++round) {
    auto claim = wait(requests_->claim_key({scope_, agent(), "once"}, crypto::sha256("x")));
    ASSERT_TRUE(claim.has_value());
    EXPECT_EQ(claim->state, KeyClaim::State::held);
    EXPECT_EQ(claim->holder->id, id);
    if (round == 0) reopen();
    if (round == 1) complete(id, 2);
    settle();
  }
}

TEST_F(DeadLettersTest, SpacesManyOutOldestFirst) {
  std::vector<RequestId> ids;
  for (int i = 0; i < 150; ++i) ids.push_back(dead("x"));
  RequestId other = dead("y", {}, "/elsewhere");
  Time before = clock_.now();
  auto batch = wait(requests_->requeue_many(scope_, {.limit = 1000, .path = "/work"}, how(), std::chrono::seconds(2)));
  ASSERT_TRUE(batch.has_value()) << batch.error().reason();
  EXPECT_EQ(batch->done, 150u);
  EXPECT_EQ(batch->skipped, 0u);
  EXPECT_EQ(batch->next, 0u);
  EXPECT_EQ(view(other).state.status, Status::failed);
  reopen();
  Time first = view(ids[0]).state.not_before;
  EXPECT_GE(first, before);
  for (size_t i = 0; i < ids.size(); ++i)
    EXPECT_EQ(view(ids[i]).state.not_before, first + std::chrono::seconds(2) * i) << i;
  // Those that wait for their time hold nobody back, not even in strict order.
  RequestId fresh = accept("now");
  EXPECT_EQ(requests_->claim_due(agent(), first, Order::strict)->id, ids[0]);
  EXPECT_EQ(requests_->claim_due(agent(), first, Order::strict)->id, fresh);
  EXPECT_FALSE(requests_->claim_due(agent(), first, Order::strict).has_value());
  EXPECT_EQ(requests_->claim_due(agent(), first + std::chrono::seconds(2), Order::strict)->id, ids[1]);
}

TEST_F(DeadLettersTest, ManyHaveABoundAndACursor) {
  std::vector<RequestId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(dead("x"));
  auto batch = wait(requests_->requeue_many(scope_, {.limit = 2}, how(), Duration{}));
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->done, 2u);
  ASSERT_NE(batch->next, 0u);
  EXPECT_EQ(view(ids[1]).state.status, Status::pending);
  EXPECT_EQ(view(ids[2]).state.status, Status::failed);
  batch = wait(requests_->requeue_many(scope_, {.limit = 10, .after_seq = batch->next}, how(), Duration{}));
  EXPECT_EQ(batch->done, 3u);
}

TEST_F(DeadLettersTest, WhatIsPurgedIsGoneAtOnceAndHasAnEntry) {
  Conditions conditions{.key = "once", .fingerprint = crypto::sha256("x"), .not_before = {}};
  for (bool projected : {false, true}) {
    RequestId id = dead("a", conditions);
    if (projected) settle();
    ASSERT_TRUE(wait(requests_->purge(scope_, id, "ada")).has_value());
    EXPECT_EQ(wait(requests_->get(scope_, id)).error().id(), ErrorId::GR0401);
    EXPECT_TRUE(listed().empty());
    EXPECT_EQ(requeue(id).error().id(), ErrorId::GR0401);
    settle();
    EXPECT_EQ(wait(requests_->get(scope_, id)).error().id(), ErrorId::GR0401);
    EXPECT_EQ(requests_->counts().failed, 0u);
    auto entries = trail(id);
    ASSERT_EQ(entries.size(), 1u);
    EXPECT_EQ(entries[0].entry.action, "request.purge");
    EXPECT_EQ(wait(requests_->claim_key({scope_, agent(), "once"}, crypto::sha256("y")))->state, KeyClaim::State::mine);
    requests_->release_key({scope_, agent(), "once"});
    EXPECT_EQ(wait(requests_->purge(scope_, id, "ada")).error().id(), ErrorId::GR0401);
  }
  RequestId pending = accept("b");
  EXPECT_EQ(wait(requests_->purge(scope_, pending, "ada")).error().id(), ErrorId::GR0414);
}

TEST_F(DeadLettersTest, PurgesManyByFilterAndLeavesTheRest) {
  RequestId done = accept("a");
  complete(done, 1);
  std::vector<RequestId> ids;
  for (int i = 0; i < 30; ++i) ids.push_back(dead("x"));
  auto batch = wait(requests_->purge_many(scope_, {.limit = 20}, "ada"));
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->done, 20u);
  EXPECT_NE(batch->next, 0u);
  EXPECT_EQ(listed({.status = Status::failed}).size(), 10u);
  EXPECT_EQ(view(done).state.status, Status::completed);
  crash();
  EXPECT_EQ(listed({.status = Status::failed}).size(), 10u);
  EXPECT_EQ(trail(ids[3]).size(), 1u);
}

TEST_F(DeadLettersTest, RetentionHasAnEntryThatSaysHowMany) {
  dead();
  settle();
  auto removed = wait(requests_->expire(scope_, "bot", {.since = clock_.now() + std::chrono::hours(1)}));
  ASSERT_TRUE(removed.has_value());
  EXPECT_EQ(*removed, 1);
  EXPECT_EQ(*wait(requests_->expire(scope_, "bot", {.since = clock_.now() + std::chrono::hours(1)})), 0);
  auto page = wait(trail_->list(scope_, {.action = "requests.expire"}));
  ASSERT_EQ(page->entries.size(), 1u);
  EXPECT_EQ(json::get_int(page->entries[0].entry.details, "count").value_or(0), 1);
}

// The same deeds, with a crash behind each of them: what was acknowledged is there, and nothing runs twice.
TEST_F(DeadLettersTest, ACrashAtAnyPointLosesNothing) {
  for (Duration linger : {Duration(std::chrono::milliseconds(1)), Duration(std::chrono::hours(1))}) {
    linger_ = linger;  // with the long one nothing is projected before the restart
    reopen();
    RequestId id = dead("one");
    crash();
    EXPECT_EQ(view(id).state.status, Status::failed);
    ASSERT_TRUE(requeue(id, {.body = "two"}).has_value());
    crash();
    EXPECT_EQ(view(id).state.status, Status::pending);
    EXPECT_EQ(listed({.agent = "bot", .limit = 1}), std::vector{id});
    begin(id, 2);
    crash();
    EXPECT_EQ(view(id).state.status, Status::pending);
    EXPECT_EQ(view(id).state.failures, 0u);
    complete(id, 3);
    crash();
    EXPECT_EQ(view(id).state.status, Status::completed);
    EXPECT_EQ(requeue(id).error().id(), ErrorId::GR0414);
    EXPECT_EQ(wait(requests_->load_original(view(id)))->record.body.inline_bytes, "one");
    ASSERT_TRUE(wait(requests_->purge(scope_, id, "ada")).has_value());
    crash();
    EXPECT_EQ(wait(requests_->get(scope_, id)).error().id(), ErrorId::GR0401);
    EXPECT_TRUE(listed().empty());
  }
  linger_ = std::chrono::milliseconds(1);
  reopen();
  settle();
  EXPECT_TRUE(listed().empty());
  EXPECT_EQ(requests_->counts().completed, 0u);
  EXPECT_EQ(requests_->counts().failed, 0u);
}

TEST(RequeueWire, IsReadBackAndDamageIsRefused) {
  Carried carried{.requeued = {.at = time_from_unix_ms(5),
                               .ended_seq = 7,
                               .attempts = 3,
                               .original = Original{.seq = 2, .at = {1, 2, 3}, .blob = crypto::sha256("x")}},
                  .created_at = time_from_unix_ms(4),
                  .log = {{.number = 3, .instance = instance(), .outcome = Outcome::died, .detail = "it died"}}};
  std::string bytes;
  encode(carried, bytes);
  size_t prefix = bytes.size();
  bytes += "the rest";
  auto read = decode_carried(bytes);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->requeued.ended_seq, 7u);
  EXPECT_EQ(read->requeued.original->at, carried.requeued.original->at);
  EXPECT_EQ(read->log.at(0).detail, "it died");
  EXPECT_EQ(accepted_part(bytes), "the rest");
  for (size_t length = 0; length < prefix; ++length) {
    EXPECT_FALSE(decode_carried(bytes.substr(0, length)).has_value()) << length;
    EXPECT_EQ(accepted_part(bytes.substr(0, length)), "") << length;
  }
  std::vector<RequestId> ids(3, RequestId(IdBytes{4}));
  EXPECT_EQ(decode_purged(encode_purged(ids)).value_or(std::vector<RequestId>{}), ids);
  EXPECT_FALSE(decode_purged(encode_purged(ids) + "x").has_value());
  EXPECT_FALSE(decode_purged("").has_value());
}

}  // namespace
}  // namespace gantry::requests
