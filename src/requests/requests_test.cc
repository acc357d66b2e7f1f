#include "requests/requests.h"

#include <gtest/gtest.h>

#include "audit/audit.h"
#include "journal/storage_testing.h"
#include "os/os.h"

namespace gantry::requests {
namespace {

AgentId agent() { return AgentId(IdBytes{1}); }
InstanceId instance() { return InstanceId(IdBytes{9}); }

// A real journal and a real store in a directory of their own; `reopen` is a restart of the server.
class RequestsTest : public journal::StorageTest {
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
    open_storage(steps, {.projection_linger = std::chrono::milliseconds(1)});
    requests_ =
        std::make_unique<Requests>(Parts{*journal_, *database_, *blocking_, clock_, random_, logger_}, Options{});
    open_journal();
    ASSERT_TRUE(wait(requests_->start()).has_value());
  }
  void close() {
    stop_storage();
    requests_.reset();
    drop_storage();
  }
  void reopen() {
    close();
    open();
  }

  RequestId accept(std::string_view body, std::optional<InstanceId> first = {}, Conditions conditions = {}) {
    RequestId id = requests_->make_id();
    AcceptedRecord record;
    record.agent_id = agent();
    record.agent = "bot";
    record.principal = "root";
    record.method = "POST";
    record.target = "/work";
    record.headers = {{"X-A", "1"}, {"X-A", "2"}};
    record.framing = net::Framing::Kind::length;
    record.first_instance = first;
    record.conditions = conditions;
    record.body = {.inline_bytes = body, .blob = {}, .size = body.size()};
    auto done =
        wait(requests_->accept({.id = id, .scope = scope_, .record = record, .inline_body = std::string(body)}));
    EXPECT_TRUE(done.has_value());
    return id;
  }
  void complete(RequestId id, std::string_view body, uint32_t number = 1) {
    CompletedRecord record;
    record.number = number;
    record.status = 201;
    record.headers = {{"X-B", "3"}};
    record.body = {.inline_bytes = body, .blob = {}, .size = body.size()};
    ASSERT_TRUE(wait(requests_->complete(id, scope_, record, std::string(body))).has_value());
  }
  Status status(RequestId id) {
    auto view = wait(requests_->get(scope_, id));
    EXPECT_TRUE(view.has_value());
    return view ? view->state.status : Status::failed;
  }

  telemetry::Logger logger_;
  std::unique_ptr<Requests> requests_;
};

TEST_F(RequestsTest, AnAcceptedRequestIsReadBackByteForByte) {
  std::string body("a\0b\xff", 4);
  RequestId id = accept(body);
  auto view = wait(requests_->get(scope_, id));
  ASSERT_TRUE(view.has_value());
  auto stored = wait(requests_->load_request(*view));
  ASSERT_TRUE(stored.has_value()) << stored.error().reason();
  EXPECT_EQ(stored->record.body.inline_bytes, body);
  EXPECT_EQ(stored->record.headers, (FieldList{{"X-A", "1"}, {"X-A", "2"}}));
}

TEST_F(RequestsTest, ACompletedRequestIsTheSameBeforeAndAfterItIsProjected) {
  RequestId id = accept("in", instance());
  EXPECT_EQ(wait(requests_->get(scope_, id))->final_seq, 0u);
  complete(id, "out");
  uint64_t end = journal_->durable_seq();
  for (int round = 0; round < 2; ++round) {
    auto view = wait(requests_->get(scope_, id));
    ASSERT_TRUE(view.has_value());
    EXPECT_EQ(view->final_seq, end);
    EXPECT_EQ(view->state.status, Status::completed);
    EXPECT_EQ(view->state.response_status, 201);
    ASSERT_EQ(view->state.log.size(), 1u);
    EXPECT_EQ(view->state.log[0].instance, instance());
    auto answer = wait(requests_->load_answer(*view));
    ASSERT_TRUE(answer.has_value()) << answer.error().reason();
    EXPECT_EQ(answer->record.body.inline_bytes, "out");
    settle();
  }
  EXPECT_EQ(requests_->counts().completed, 1u);
}

TEST_F(RequestsTest, ARestartLosesNothingAndRedeliversWhatWasUnderWay) {
  RequestId waiting = accept("1");
  RequestId under_way = accept("2", instance());
  RequestId done = accept("3", instance());
  complete(done, "answer");
  reopen();
  EXPECT_EQ(status(waiting), Status::pending);
  EXPECT_EQ(status(under_way), Status::pending);
  EXPECT_EQ(status(done), Status::completed);
  auto first = requests_->claim_due(agent(), clock_.now(), Order::strict);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->id, waiting);
  auto second = requests_->claim_due(agent(), clock_.now(), Order::strict);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->id, under_way);
  EXPECT_EQ(second->attempts, 1u);
  EXPECT_EQ(second->failures, 0u);
  EXPECT_FALSE(requests_->claim_due(agent(), clock_.now(), Order::strict).has_value());
}

TEST_F(RequestsTest, ListsLiveAndFinishedRequestsInOneOrderWithoutGapOrDouble) {
  std::vector<RequestId> ids;
  for (int i = 0; i < 25; ++i) {
    ids.push_back(accept("x", i % 3 == 0 ? std::optional(instance()) : std::nullopt));
    if (i % 3 == 0) complete(ids.back(), "y");
    if (i == 12) settle();
  }
  std::vector<RequestId> listed;
  Filter filter{.agent = "bot", .limit = 7};
  do {
    auto page = wait(requests_->list(scope_, filter));
    ASSERT_TRUE(page.has_value());
    for (const RequestView& view : page->requests) listed.push_back(view.id);
    filter.before_seq = page->next;
  } while (filter.before_seq != 0);
  EXPECT_EQ(listed, std::vector<RequestId>(ids.rbegin(), ids.rend()));
}

TEST_F(RequestsTest, AnotherScopeSeesNothing) {
  RequestId id = accept("x");
  Scope other{"other", "default", "dev"};
  auto view = wait(requests_->get(other, id));
  ASSERT_FALSE(view.has_value());
  EXPECT_EQ(view.error().id(), ErrorId::GR0401);
  EXPECT_TRUE(wait(requests_->list(other, {}))->requests.empty());
}

TEST_F(RequestsTest, AReplayIsANewRequestWithTheSameContent) {
  RequestId id = accept("again", instance());
  complete(id, "out");
  settle();
  auto copy = wait(requests_->replay(scope_, id, "root"));
  ASSERT_TRUE(copy.has_value()) << copy.error().reason();
  auto view = wait(requests_->get(scope_, *copy));
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->replay_of, id);
  EXPECT_EQ(view->state.status, Status::pending);
  EXPECT_EQ(wait(requests_->load_request(*view))->record.body.inline_bytes, "again");
}

TEST_F(RequestsTest, AReplayAsksForWhatTheFirstOneAskedForButItsKeyAndItsTime) {
  const Time now = clock_.now();
  RequestId id = accept("again", instance(),
                        {.key = "k",
                         .not_before = now - std::chrono::hours(1),
                         .order_key = "o",
                         .priority = 9,
                         .deadline = now + std::chrono::hours(2),
                         .retry = {.max = 7}});
  complete(id, "out");
  auto copy = wait(requests_->replay(scope_, id, "root"));
  ASSERT_TRUE(copy.has_value()) << copy.error().reason();
  auto stored = wait(requests_->load_request(*wait(requests_->get(scope_, *copy))));
  ASSERT_TRUE(stored.has_value());
  const Conditions& asked = stored->record.conditions;
  EXPECT_EQ(asked.key, "");
  EXPECT_EQ(asked.not_before, Time{});
  EXPECT_EQ(asked.order_key, "o");
  EXPECT_EQ(asked.priority, 9);
  EXPECT_EQ(asked.retry.max, 7u);
  // Two hours were left when it was accepted.
  EXPECT_GT(asked.deadline, now + std::chrono::minutes(119));
  EXPECT_LT(asked.deadline, now + std::chrono::minutes(121));
}

TEST_F(RequestsTest, RetentionForgetsFinishedRequestsOnly) {
  RequestId done = accept("1", instance());
  complete(done, "answer");
  RequestId waiting = accept("2");
  settle();
  auto removed = wait(requests_->expire(scope_, "bot", {.since = clock_.now() + std::chrono::seconds(1)}));
  ASSERT_TRUE(removed.has_value());
  EXPECT_EQ(*removed, 1);
  EXPECT_FALSE(wait(requests_->get(scope_, done)).has_value());
  EXPECT_EQ(status(waiting), Status::pending);
}

TEST_F(RequestsTest, RetentionKeepsTheNewestUpToACountAndASize) {
  std::vector<RequestId> ids;
  for (int i = 0; i < 6; ++i) {
    ids.push_back(accept(std::string(1000, 'x'), instance()));
    complete(ids.back(), std::string(1000, 'y'));
  }
  settle();
  const auto kept = [&] { return wait(requests_->list(scope_, {}))->requests.size(); };
  EXPECT_EQ(*wait(requests_->expire(scope_, "bot", {.count = 6, .bytes = mebibytes(1)})), 0);
  EXPECT_EQ(*wait(requests_->expire(scope_, "bot", {.count = 4})), 2);
  EXPECT_FALSE(wait(requests_->get(scope_, ids[1])).has_value());
  EXPECT_EQ(kept(), 4u);
  // Each of them is a little more than 2 KiB.
  EXPECT_EQ(*wait(requests_->expire(scope_, "bot", {.bytes = Bytes{5000}})), 2);
  EXPECT_EQ(kept(), 2u);
  EXPECT_TRUE(wait(requests_->get(scope_, ids[5])).has_value());
}

TEST_F(RequestsTest, RetentionBySizeCountsWhatIsStoredBesideTheRecords) {
  Body body{.size = 1'000'000};
  body.blob = journal::BlobId{7};
  for (int i = 0; i < 3; ++i) {
    RequestId id = accept("", instance());
    CompletedRecord record;
    record.number = 1;
    record.status = 200;
    record.body = body;
    ASSERT_TRUE(wait(requests_->complete(id, scope_, std::move(record), "")).has_value());
  }
  settle();
  EXPECT_EQ(*wait(requests_->expire(scope_, "bot", {.bytes = Bytes{2'500'000}})), 1);
}

TEST_F(RequestsTest, TheRequestsOfARemovedAgentBecomeDeadLetters) {
  RequestId one = accept("1");
  RequestId two = accept("2", instance());
  ASSERT_TRUE(wait(requests_->bury_all(agent(), scope_, "the agent was removed")).has_value());
  for (RequestId id : {one, two}) {
    auto view = wait(requests_->get(scope_, id));
    ASSERT_TRUE(view.has_value());
    EXPECT_EQ(view->state.status, Status::failed);
    EXPECT_EQ(view->state.reason, "the agent was removed");
  }
  EXPECT_FALSE(requests_->claim_due(agent(), clock_.now(), Order::relaxed).has_value());
}

TEST_F(RequestsTest, WaitFinishedEndsWithTheRequestOrTheDeadline) {
  RequestId id = accept("1", instance());
  EXPECT_FALSE(wait(requests_->wait_finished(id, clock_.steady() + std::chrono::milliseconds(5))));
  complete(id, "x");
  EXPECT_TRUE(wait(requests_->wait_finished(id, clock_.steady() + std::chrono::minutes(1))));
}

crypto::Digest print(uint8_t number) {
  crypto::Digest digest{};
  digest[0] = number;
  return digest;
}

TEST_F(RequestsTest, AKeyIsHeldByItsRequestForAsLongAsThatIsKept) {
  const KeyName name{scope_, agent(), "k"};
  ASSERT_EQ(wait(requests_->claim_key(name, print(1)))->state, KeyClaim::State::mine);
  EXPECT_EQ(wait(requests_->claim_key(name, print(1)))->state, KeyClaim::State::busy);
  RequestId id = accept("in", instance(), {.key = "k", .fingerprint = print(1)});
  requests_->release_key(name);
  // Unfinished, finished, projected, and after a restart.
  for (int round = 0; round < 4; ++round) {
    auto same = wait(requests_->claim_key(name, print(1)));
    ASSERT_TRUE(same.has_value()) << same.error().reason();
    EXPECT_EQ(same->state, KeyClaim::State::held) << round;
    EXPECT_EQ(same->holder->id, id);
    EXPECT_EQ(same->holder->key, "k");
    EXPECT_EQ(wait(requests_->claim_key(name, print(2)))->state, KeyClaim::State::other);
    if (round == 0) complete(id, "out");
    if (round == 1) settle();
    if (round == 2) reopen();
  }
  // Neither another agent nor another scope has used it.
  EXPECT_EQ(wait(requests_->claim_key({scope_, AgentId(IdBytes{2}), "k"}, print(1)))->state, KeyClaim::State::mine);
  EXPECT_EQ(wait(requests_->claim_key({{"other", "default", "dev"}, agent(), "k"}, print(1)))->state,
            KeyClaim::State::mine);
  ASSERT_TRUE(wait(requests_->expire(scope_, "bot", {.since = clock_.now() + std::chrono::seconds(1)})).has_value());
  EXPECT_EQ(wait(requests_->claim_key(name, print(1)))->state, KeyClaim::State::mine);
}

Task<void> claim_into(Requests& requests, KeyName name, std::atomic<int>& mine) {
  auto claim = co_await requests.claim_key(std::move(name), print(1));
  mine += claim.has_value() && claim->state == KeyClaim::State::mine;
}

TEST_F(RequestsTest, OfAThousandEqualKeysAtOnceOneIsTheFirst) {
  std::atomic<int> mine = 0;
  TaskGroup group;
  for (int i = 0; i < 1000; ++i)
    group.spawn(threads_.executor(i % 2), claim_into(*requests_, {scope_, agent(), "k"}, mine));
  group.join();
  EXPECT_EQ(mine, 1);
}

TEST_F(RequestsTest, AScheduledRequestWaitsForItsTimeAndHoldsNobodyBack) {
  const Time later = clock_.now() + std::chrono::hours(1);
  RequestId scheduled = accept("1", {}, {.not_before = later});
  RequestId next = accept("2");
  for (int round = 0; round < 2; ++round) {
    auto due = requests_->claim_due(agent(), clock_.now(), Order::strict);
    ASSERT_TRUE(due.has_value());
    EXPECT_EQ(due->id, next);
    EXPECT_FALSE(requests_->claim_due(agent(), clock_.now(), Order::strict).has_value());
    EXPECT_EQ(requests_->next_due(agent(), Order::strict), later);
    EXPECT_FALSE(requests_->has_waiting(agent()));
    EXPECT_EQ(requests_->counts(agent()).pending, 2u);
    reopen();
  }
  auto due = requests_->claim_due(agent(), later, Order::strict);
  ASSERT_TRUE(due.has_value());
  EXPECT_EQ(due->id, scheduled) << "it was accepted first";
}

TEST_F(RequestsTest, ACancelledRequestNeverRunsAndItsEndIsTheOnlyOne) {
  RequestId waiting = accept("1");
  RequestId running = accept("2", instance());
  RequestId done = accept("3", instance());
  complete(done, "out");
  EXPECT_TRUE(wait(requests_->cancel(scope_, waiting, "by me")).has_value());
  EXPECT_TRUE(wait(requests_->cancel(scope_, running, "by me")).has_value());
  EXPECT_TRUE(wait(requests_->cancel(scope_, running, "twice")).has_value());
  EXPECT_EQ(wait(requests_->cancel(scope_, done, "too late")).error().code(), Code::conflict);
  complete(running, "it had been answered in this moment");
  EXPECT_FALSE(requests_->claim_due(agent(), clock_.now(), Order::strict).has_value());
  for (int round = 0; round < 3; ++round) {
    for (RequestId id : {waiting, running}) {
      auto view = wait(requests_->get(scope_, id));
      ASSERT_TRUE(view.has_value());
      EXPECT_EQ(view->state.status, Status::cancelled);
      EXPECT_EQ(view->state.reason, "by me");
    }
    EXPECT_EQ(status(done), Status::completed);
    if (round == 0) settle();
    if (round == 1) reopen();
  }
  settle();  // the totals are read from the tables by the projector, which may not have begun
  EXPECT_EQ(requests_->counts().cancelled, 2u);
  EXPECT_EQ(requests_->counts().pending + requests_->counts().processing, 0u);
}

}  // namespace
}  // namespace gantry::requests
