#include "requests/live_table.h"

#include <gtest/gtest.h>

#include <map>

#include "requests/wire_requeue.h"

namespace gantry::requests {
namespace {

AgentId agent(uint8_t n) { return AgentId(IdBytes{n}); }
RequestId request(uint64_t n) {
  IdBytes bytes{};
  for (size_t i = 0; i < 8; ++i) bytes[15 - i] = static_cast<uint8_t>(n >> (8 * i));
  return RequestId(bytes);
}
InstanceId instance() { return InstanceId(IdBytes{9}); }

// Writes records with growing sequences into a table, as the journal does.
class Log {
 public:
  explicit Log(LiveTable& table) : table_(table) {}

  void append(journal::Kind kind, RequestId id, std::string payload) {
    ++seq_;
    table_.apply({.seq = seq_,
                  .time = time_from_unix_ms(static_cast<int64_t>(1'000'000 + seq_)),
                  .kind = kind,
                  .scope = Scope::standard(),
                  .entity = id.bytes(),
                  .payload = payload,
                  .location = {.segment = 1, .offset = static_cast<uint32_t>(seq_), .size = 10}});
  }
  void accept(RequestId id, uint8_t agent_number = 1, std::optional<InstanceId> first = {}) {
    AcceptedRecord record;
    record.agent_id = agent(agent_number);
    record.agent = "bot";
    record.principal = "root";
    record.method = "POST";
    record.target = "/x";
    record.first_instance = first;
    std::string payload;
    encode(record, payload);
    append(request_accepted, id, payload);
  }
  void attempt(RequestId id, uint32_t number) {
    std::string payload;
    encode(AttemptRecord{.number = number, .instance = instance()}, payload);
    append(attempt_started, id, payload);
  }
  void ended(RequestId id, uint32_t number, Time next = Time{}) {
    std::string payload;
    encode(
        AttemptEndedRecord{.number = number, .outcome = Outcome::died, .detail = "exit 137", .next_attempt_at = next},
        payload);
    append(attempt_ended, id, payload);
  }
  void complete(RequestId id, uint32_t number) {
    std::string payload;
    CompletedRecord record;
    record.number = number;
    record.status = 200;
    encode(record, payload);
    append(request_completed, id, payload);
  }
  void restart() { append(server_started, RequestId{}, ""); }
  // If it has ended; a dead letter would be, but the fold does not ask how.
  void requeue(RequestId id) {
    const auto view = table_.find(id);
    if (!view || !view->state.finished()) return;
    AcceptedRecord record{.agent_id = agent(1), .agent = "bot"};
    record.method = "PUT";
    std::string payload;
    encode(Carried{.requeued = {.ended_seq = view->final_seq, .attempts = view->state.attempts},
                   .created_at = view->created_at,
                   .log = view->state.log},
           payload);
    encode(record, payload);
    append(request_requeued, id, payload);
  }
  void purge(RequestId id) { append(requests_purged, RequestId{}, encode_purged(std::array{id})); }
  uint64_t seq() const { return seq_; }

 private:
  LiveTable& table_;
  uint64_t seq_ = 0;
};

constexpr Time soon = time_from_unix_ms(5'000'000);
constexpr Time now = time_from_unix_ms(2'000'000);

std::vector<RequestId> claim_all(LiveTable& table, Order order, Time at = now) {
  std::vector<RequestId> ids;
  while (auto due = table.claim_due(agent(1), at, order)) ids.push_back(due->id);
  return ids;
}

TEST(LiveTable, HandsOutPendingRequestsInTheOrderOfAcceptance) {
  LiveTable table;
  Log log(table);
  for (uint64_t n : {5, 3, 4}) log.accept(request(n));
  EXPECT_EQ(claim_all(table, Order::relaxed), (std::vector{request(5), request(3), request(4)}));
  EXPECT_FALSE(table.has_waiting(agent(1)));
}

TEST(LiveTable, ARequestThatIsUnderWayIsNotInTheQueue) {
  LiveTable table;
  Log log(table);
  log.accept(request(1), 1, instance());
  EXPECT_FALSE(table.has_waiting(agent(1)));
  EXPECT_EQ(table.find(request(1))->state.status, Status::processing);
  EXPECT_EQ(table.counts(agent(1)).processing, 1u);
  EXPECT_EQ(table.counts().processing, 1u);
}

TEST(LiveTable, StrictOrderWaitsForTheFirstAndRelaxedOrderPassesIt) {
  LiveTable table;
  Log log(table);
  log.accept(request(1));
  log.accept(request(2));
  log.attempt(request(1), 1);
  log.ended(request(1), 1, soon);
  EXPECT_TRUE(claim_all(table, Order::strict).empty());
  EXPECT_EQ(table.next_due(agent(1), now, Order::strict), soon);
  EXPECT_EQ(table.next_due(agent(1), now, Order::relaxed), Time{});
  EXPECT_EQ(claim_all(table, Order::relaxed), (std::vector{request(2)}));
  EXPECT_EQ(table.next_due(agent(1), now, Order::relaxed), soon);
  EXPECT_EQ(claim_all(table, Order::relaxed, soon), (std::vector{request(1)}));
}

TEST(LiveTable, AnUnclaimedRequestComesBackAtItsTime) {
  LiveTable table;
  Log log(table);
  log.accept(request(1));
  auto due = table.claim_due(agent(1), now, Order::relaxed);
  ASSERT_TRUE(due.has_value());
  table.unclaim(due->id, soon);
  EXPECT_TRUE(claim_all(table, Order::relaxed).empty());
  EXPECT_EQ(claim_all(table, Order::relaxed, soon), (std::vector{request(1)}));
}

TEST(LiveTable, ARequestThatWasGivenBackKeepsItsTurn) {
  LiveTable table;
  Log log(table);
  log.accept(request(1));
  log.accept(request(2));
  table.unclaim(table.claim_due(agent(1), now, Order::strict)->id, soon);
  EXPECT_TRUE(claim_all(table, Order::strict).empty());
  EXPECT_EQ(table.next_due(agent(1), now, Order::strict), soon);
  EXPECT_EQ(claim_all(table, Order::strict, soon), (std::vector{request(1), request(2)}));
}

TEST(LiveTable, ARecordThatDoesNotFitTakesNoRequestFromWhoClaimedIt) {
  LiveTable table;
  Log log(table);
  log.accept(request(1));
  ASSERT_TRUE(table.claim_due(agent(1), now, Order::relaxed).has_value());
  log.attempt(request(1), 7);
  EXPECT_TRUE(claim_all(table, Order::relaxed).empty());
}

TEST(LiveTable, ARetryKeepsItsPauseWhenTheClockIsSetBack) {
  LiveTable table;
  Log log(table);
  log.accept(request(1), 1, instance());
  log.ended(request(1), 1, soon);
  table.clock_went_back(std::chrono::seconds(600));
  EXPECT_EQ(table.next_due(agent(1), now, Order::strict), soon - std::chrono::seconds(600));
  EXPECT_TRUE(claim_all(table, Order::strict, soon - std::chrono::seconds(601)).empty());
  EXPECT_EQ(claim_all(table, Order::strict, soon - std::chrono::seconds(600)), (std::vector{request(1)}));
}

TEST(LiveTable, ARestartPutsWhatWasUnderWayBackAtItsPlace) {
  LiveTable table;
  Log log(table);
  log.accept(request(1), 1, instance());
  log.accept(request(2));
  log.restart();
  EXPECT_EQ(claim_all(table, Order::strict), (std::vector{request(1), request(2)}));
  EXPECT_EQ(table.find(request(1))->state.failures, 0u);
}

TEST(LiveTable, KeepsAFinishedRequestUntilItIsProjected) {
  LiveTable table;
  Log log(table);
  log.accept(request(1), 1, instance());
  log.complete(request(1), 1);
  ASSERT_TRUE(table.finished(request(1)).has_value());
  EXPECT_EQ(table.find(request(1))->state.response_status, 200);
  table.forget_projected(log.seq() - 1);
  EXPECT_TRUE(table.find(request(1)).has_value());
  table.forget_projected(log.seq());
  EXPECT_FALSE(table.find(request(1)).has_value());
  EXPECT_EQ(table.size(), 0u);
}

TEST(LiveTable, ASecondEndOfARequestChangesNothing) {
  LiveTable table;
  Log log(table);
  log.accept(request(1), 1, instance());
  log.complete(request(1), 1);
  uint64_t first_end = log.seq();
  log.complete(request(1), 1);
  EXPECT_EQ(table.finished(request(1))->final_seq, first_end);
}

TEST(LiveTable, NeedsTheRecordsOfUnfinishedRequestsOnly) {
  LiveTable table;
  Log log(table);
  log.accept(request(1), 1, instance());
  log.accept(request(2));
  log.complete(request(1), 1);
  table.forget_projected(log.seq());
  EXPECT_FALSE(table.needs(1, 1));
  EXPECT_TRUE(table.needs(2, 2));
  EXPECT_FALSE(table.needs(3, 100));
}

TEST(LiveTable, ListsNewestFirstWithFilters) {
  LiveTable table;
  Log log(table);
  for (uint64_t n = 1; n <= 5; ++n) log.accept(request(n), 1, n % 2 ? std::optional(instance()) : std::nullopt);
  auto all = table.list(Scope::standard(), {.limit = 2}).views;
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].id, request(5));
  auto pending = table.list(Scope::standard(), {.status = Status::pending}).views;
  ASSERT_EQ(pending.size(), 2u);
  EXPECT_EQ(pending[0].id, request(4));
  EXPECT_TRUE(table.list(Scope{"other", "default", "dev"}, {}).views.empty());
}

struct Counter final : QueueListener {
  std::vector<std::string> queued_agents;
  void queued(const AgentKey& key) override { queued_agents.push_back(key.name); }
};

TEST(LiveTable, TellsItsListenersAboutEveryRequestThatWaits) {
  LiveTable table;
  Counter counter, other;
  table.add_listener(counter);
  table.add_listener(other);
  Log log(table);
  log.accept(request(1), 1, instance());
  EXPECT_TRUE(counter.queued_agents.empty());
  log.ended(request(1), 1, soon);
  log.accept(request(2));
  EXPECT_EQ(counter.queued_agents, (std::vector<std::string>{"bot", "bot"}));
  EXPECT_EQ(other.queued_agents, counter.queued_agents);
}

// A table that was restored from a checkpoint at any point goes on exactly like one that saw every record.
TEST(LiveTable, IsTheSameAfterACheckpointAtAnyPointOfRandomHistories) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SeededRandom random(seed);
    auto whole = std::make_unique<LiveTable>();
    auto other = std::make_unique<LiveTable>();
    Log log(*whole);
    Log copy(*other);
    for (int step = 0; step < 120; ++step) {
      RequestId id = request(random.below(12) + 1);
      uint32_t number = static_cast<uint32_t>(random.below(3)) + 1;
      uint64_t action = random.below(7);
      bool first = random.below(2) == 0;
      Time next = random.below(2) ? Time{} : soon;
      for (Log* each : {&log, &copy}) {
        if (action <= 1) each->accept(id, 1, first ? std::optional(instance()) : std::nullopt);
        if (action == 2) each->attempt(id, number);
        if (action == 3) each->ended(id, number, next);
        if (action == 4) each->complete(id, number);
        if (action == 5 && number == 1) each->restart();
      }
      if (action == 6) {
        std::string bytes = other->checkpoint();
        ASSERT_TRUE(other->restore(bytes).has_value()) << "seed " << seed;
      }
      ASSERT_EQ(whole->checkpoint(), other->checkpoint()) << "seed " << seed << " step " << step;
    }
    EXPECT_EQ(claim_all(*whole, Order::relaxed, soon), claim_all(*other, Order::relaxed, soon)) << "seed " << seed;
  }
}

// What is taken piece by piece while the table goes on is the state of the moment in which it began.
TEST(LiveTable, ASnapshotIsOfOneMomentWhateverHappensWhileItIsTaken) {
  int changed_meanwhile = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SeededRandom random(seed);
    LiveTable table;
    Log log(table);
    std::string expected, taken;
    std::unique_ptr<journal::Fold::Snapshot> snapshot;
    auto step = [&] {
      const RequestId id = request(random.below(12) + 1);
      const uint32_t number = static_cast<uint32_t>(random.below(3)) + 1;
      const uint64_t action = random.below(10);
      if (action <= 2) log.accept(id, 1, random.below(2) == 0 ? std::optional(instance()) : std::nullopt);
      if (action == 3) log.attempt(id, number);
      if (action == 4) log.ended(id, number, random.below(2) == 0 ? Time{} : soon);
      if (action == 5 || action == 6) log.complete(id, number);
      if (action == 7) log.requeue(id);
      if (action == 8) log.purge(id);
      if (action == 9 && number == 1) log.restart();
      if (action == 9 && number == 2) table.forget_projected(log.seq() - random.below(log.seq() + 1));
    };
    for (uint64_t before = random.below(80) + 20; before > 0; --before) step();
    expected = table.checkpoint();
    snapshot = table.snapshot_in(random.below(3) + 1);
    while (snapshot->append_to(taken))
      for (uint64_t between = random.below(6); between > 0; --between) step();
    snapshot.reset();
    ASSERT_EQ(taken, expected) << "seed " << seed;
    changed_meanwhile += table.checkpoint() != expected ? 1 : 0;
    LiveTable restored;
    ASSERT_TRUE(restored.restore(taken).has_value()) << "seed " << seed;
    EXPECT_EQ(restored.checkpoint(), expected) << "seed " << seed;
  }
  EXPECT_GT(changed_meanwhile, 200);
}

TEST(LiveTable, RefusesADamagedCheckpoint) {
  LiveTable table;
  Log log(table);
  for (uint64_t n = 1; n <= 3; ++n) log.accept(request(n));
  std::string bytes = table.checkpoint();
  for (size_t length = 0; length < bytes.size(); ++length) {
    LiveTable fresh;
    EXPECT_FALSE(fresh.restore(std::string_view(bytes).substr(0, length)).has_value()) << length;
  }
}

}  // namespace
}  // namespace gantry::requests
