// What is said of keys from memory: never a wrong "no", and seldom a wrong "maybe".
#include "requests/known_keys.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "requests/history.h"

namespace gantry::requests {
namespace {

AgentId agent(uint8_t number) { return AgentId(IdBytes{number}); }
KeyName key(uint8_t of, int64_t number) {
  return {Scope::standard(), agent(of), fmt::format("order-{:08}-{}", number, number * 7919)};
}

TEST(KeyFilter, IsSeldomWrongAtItsCapacityAndNeverAboutWhatWasAdded) {
  for (size_t capacity : {size_t{1}, size_t{100}, size_t{100'000}}) {
    KeyFilter filter(capacity);
    std::mt19937_64 random(capacity);
    std::vector<uint64_t> hashes(capacity);
    for (uint64_t& hash : hashes) filter.add(hash = random());
    for (uint64_t hash : hashes) ASSERT_TRUE(filter.may_hold(hash));
    EXPECT_FALSE(filter.add(hashes.front()));
    EXPECT_LE(filter.added(), capacity);
    int wrong = 0;
    for (int i = 0; i < 100'000; ++i) wrong += filter.may_hold(random()) ? 1 : 0;
    EXPECT_LT(wrong, 400) << "of 100,000, at a capacity of " << capacity;
  }
}

class KnownKeysTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "known-keys-XXXXXX").string();
    // SAFETY: mkdtemp writes into its argument.
    directory_ = ::mkdtemp(pattern.data());
    const std::array all{migrations()};
    auto opened = store::open_sqlite(directory_ / "store.db", all);
    ASSERT_TRUE(opened.has_value()) << opened.error().reason();
    database_ = std::move(*opened);
  }
  void TearDown() override {
    database_.reset();
    std::filesystem::remove_all(directory_);
  }

  void insert(const Scope& scope, uint8_t of, int first, int last) {
    auto written = database_->write_blocking(scope, [&](store::Session& session) -> Result<> {
      for (int number = first; number < last; ++number) {
        ++row_;
        GANTRY_TRY(auto done,
                   session.execute("INSERT INTO requests (accept_seq, final_seq, scope, id, agent_id, agent, method,"
                                   " target, status, attempts, failures, response_status, reason, created_at, ended_at,"
                                   " accept_segment, accept_offset, accept_size, final_segment, final_offset,"
                                   " final_size, log, key) VALUES (?, ?, :scope, ?, ?, 'bot', 'POST', '/x', 2, 1, 0,"
                                   " 200, '', 1, 2, 1, 0, 10, 1, 0, 10, x'00', ?)",
                                   {row_, row_, fmt::format("{:016}", row_), agent(of), key(of, number).key}));
        static_cast<void>(done);
      }
      return {};
    });
    ASSERT_TRUE(written.has_value()) << written.error().reason();
  }
  // The number of portions.
  int read_all(KnownKeys& keys) {
    int portions = 0;
    for (; keys.may_hold(unheard_of_) && portions < 1'000; ++portions) EXPECT_TRUE(keys.read_some(*database_));
    return portions;
  }
  void expect_known(const KnownKeys& keys, uint8_t of, int first, int last) {
    for (int number = first; number < last; ++number) ASSERT_TRUE(keys.may_hold(key(of, number))) << number;
  }
  int strangers(const KnownKeys& keys, uint8_t of) {
    int taken_for_known = 0;
    for (int number = 0; number < 10'000; ++number) taken_for_known += keys.may_hold(key(of, 900'000 + number)) ? 1 : 0;
    return taken_for_known;
  }

  std::filesystem::path directory_;
  std::unique_ptr<store::Database> database_;
  int64_t row_ = 0;
  const KeyName unheard_of_{Scope::standard(), agent(77), "never used"};
};

TEST_F(KnownKeysTest, SaysMaybeToEverythingUntilAllRowsOfAllScopesWereRead) {
  insert(Scope::standard(), 1, 0, 25'000);
  insert(Scope::standard(), 2, 0, 10'000);
  insert({"other", "default", "dev"}, 3, 0, 5);
  KnownKeys keys;
  EXPECT_EQ(strangers(keys, 1), 10'000);
  ASSERT_TRUE(keys.read_some(*database_));
  EXPECT_EQ(strangers(keys, 1), 10'000) << "a part says nothing about the rest";
  EXPECT_EQ(read_all(keys), 4) << "four full portions, then what is left, then the other scope";
  expect_known(keys, 1, 0, 25'000);
  expect_known(keys, 2, 0, 10'000);
  expect_known(keys, 3, 0, 5);
  EXPECT_LT(strangers(keys, 1), 100);
  EXPECT_LT(strangers(keys, 3), 100) << "the key of one agent is not that of another";
}

TEST_F(KnownKeysTest, KnowsWhatIsAddedWhileRowsAreReadAndAfterwards) {
  insert(Scope::standard(), 1, 0, 15'000);
  KnownKeys keys;
  ASSERT_TRUE(keys.read_some(*database_));
  keys.add(agent(1), key(1, 15'000).key);
  read_all(keys);
  EXPECT_TRUE(keys.may_hold(key(1, 15'000)));
  EXPECT_FALSE(keys.may_hold(key(1, 15'001)));
  keys.add(agent(1), key(1, 15'001).key);
  EXPECT_TRUE(keys.may_hold(key(1, 15'001)));
}

TEST_F(KnownKeysTest, BeginsLargerWhenTheRowsAreMoreThanItsCapacity) {
  insert(Scope::standard(), 1, 0, 25'000);
  KnownKeys keys(1'000);
  EXPECT_EQ(read_all(keys), 7) << "one for 1,000 keys, one for 4,000, two for 16,000, and three for 64,000";
  expect_known(keys, 1, 0, 25'000);
  EXPECT_LT(strangers(keys, 1), 200);
}

TEST_F(KnownKeysTest, GrowsWithWhatIsAddedAndForgetsNothing) {
  KnownKeys keys(64);
  ASSERT_TRUE(keys.read_some(*database_));
  for (int first = 0; first < 20'000; first += 100) {
    for (int number = first; number < first + 100; ++number) keys.add(agent(1), key(1, number).key);
    insert(Scope::standard(), 1, first, first + 100);
    ASSERT_TRUE(keys.read_some(*database_));
    if (first % 1'000 == 0) expect_known(keys, 1, 0, first + 100);
  }
  expect_known(keys, 1, 0, 20'000);
  EXPECT_LT(strangers(keys, 1), 200);
}

TEST_F(KnownKeysTest, GoesOnAfterAnError) {
  insert(Scope::standard(), 1, 0, 15'000);
  KnownKeys keys;
  ASSERT_TRUE(keys.read_some(*database_));
  auto open = std::exchange(database_, nullptr);
  open->stop();
  EXPECT_FALSE(keys.read_some(*open));
  open.reset();
  EXPECT_TRUE(keys.may_hold(unheard_of_));
  const std::array all{migrations()};
  database_ = *store::open_sqlite(directory_ / "store.db", all);
  read_all(keys);
  expect_known(keys, 1, 0, 15'000);
}

}  // namespace
}  // namespace gantry::requests
