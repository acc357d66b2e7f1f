// Which segments of the journal the history still points into.
#include "requests/history.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace gantry::requests {
namespace {

struct Place {
  uint64_t seq = 0;
  uint64_t segment = 0;
};

RequestId request(uint8_t number) { return RequestId(IdBytes{number}); }

class HistoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "history-XXXXXX").string();
    // SAFETY: mkdtemp writes into its argument.
    directory_ = ::mkdtemp(pattern.data());
  }
  void TearDown() override {
    history_.reset();
    database_.reset();
    std::filesystem::remove_all(directory_);
  }

  // As a version of the product that knew the first `steps` steps of the schema.
  void open(size_t steps) {
    history_.reset();
    database_.reset();
    store::Migrations known = migrations();
    known.steps = known.steps.first(steps);
    const std::array all{known};
    auto opened = store::open_sqlite(directory_ / "store.db", all);
    ASSERT_TRUE(opened.has_value()) << opened.error().reason();
    database_ = std::move(*opened);
    history_ = std::make_unique<History>(*database_, live_);
  }

  void apply(journal::Kind kind, RequestId id, Place place, std::string payload) {
    payloads_.push_back(std::move(payload));
    batch_.push_back({.seq = place.seq,
                      .time = time_from_unix_ms(static_cast<int64_t>(1'000'000 + place.seq)),
                      .kind = kind,
                      .scope = Scope::standard(),
                      .entity = id.bytes(),
                      .payload = payloads_.back(),
                      .location = {.segment = place.segment, .offset = static_cast<uint32_t>(place.seq), .size = 10}});
    live_.apply(batch_.back());
  }
  void accept(RequestId id, Place place) {
    AcceptedRecord record;
    record.agent_id = AgentId(IdBytes{1});
    record.agent = "bot";
    record.method = "POST";
    record.target = "/x";
    record.first_instance = InstanceId(IdBytes{9});
    std::string payload;
    encode(record, payload);
    apply(request_accepted, id, place, std::move(payload));
  }
  void complete(RequestId id, Place place) {
    CompletedRecord record;
    record.number = 1;
    record.status = 200;
    std::string payload;
    encode(record, payload);
    apply(request_completed, id, place, std::move(payload));
  }
  void project() {
    auto reached = history_->project(batch_);
    ASSERT_TRUE(reached.has_value()) << reached.error().reason();
    batch_.clear();
  }
  // A row as the version before had it.
  void insert_as_before(int64_t accept_seq, int64_t accept_segment, int64_t final_seq, int64_t final_segment) {
    auto written = database_->write_blocking(Scope::standard(), [&](store::Session& session) {
      return session.execute(
          "INSERT INTO requests (accept_seq, final_seq, scope, id, agent_id, agent, method, target, status, attempts,"
          " failures, response_status, reason, created_at, ended_at, accept_segment, accept_offset, accept_size,"
          " final_segment, final_offset, final_size, log) VALUES (?, ?, :scope, ?, ?, 'bot', 'POST', '/x', 2, 1, 0, "
          "200,"
          " '', 1, 2, ?, 0, 10, ?, 0, 10, x'00')",
          {accept_seq, final_seq, request(1), AgentId(IdBytes{1}), accept_segment, final_segment});
    });
    ASSERT_TRUE(written.has_value()) << written.error().reason();
  }
  bool needs(uint64_t first, uint64_t last) {
    auto needed = history_->needs(first, last);
    EXPECT_TRUE(needed.has_value());
    return needed.value_or(false);
  }

  std::filesystem::path directory_;
  LiveTable live_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<History> history_;
  std::vector<journal::Record> batch_;
  std::deque<std::string> payloads_;
};

TEST_F(HistoryTest, ASegmentIsNeededForWhatBeganInItAndForWhatEndedInIt) {
  open(migrations().steps.size());
  accept(request(1), {.seq = 2, .segment = 1});
  complete(request(1), {.seq = 3, .segment = 1});
  accept(request(2), {.seq = 4, .segment = 1});
  complete(request(2), {.seq = 25, .segment = 3});
  project();
  EXPECT_TRUE(needs(1, 9)) << "segment 1: both began there";
  EXPECT_FALSE(needs(10, 19)) << "segment 2: nothing happened there";
  EXPECT_TRUE(needs(20, 29)) << "segment 3: the answer of the second is there";
  EXPECT_FALSE(needs(30, 39));
}

TEST_F(HistoryTest, ARequeueThatTheFoldRefusedLeavesTheRowWhereItIs) {
  open(migrations().steps.size());
  accept(request(1), {.seq = 2, .segment = 1});
  complete(request(1), {.seq = 3, .segment = 1});
  project();
  apply(request_requeued, request(1), {.seq = 4, .segment = 1}, "no such record");
  project();
  EXPECT_TRUE(needs(1, 3));
}

TEST_F(HistoryTest, ADirectoryOfAnOlderVersionIsTakenOver) {
  open(2);
  insert_as_before(4, 1, 25, 3);
  open(migrations().steps.size());
  EXPECT_TRUE(needs(1, 9));
  EXPECT_TRUE(needs(20, 29));
  EXPECT_FALSE(needs(30, 39));
}

}  // namespace
}  // namespace gantry::requests
