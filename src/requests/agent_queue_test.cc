#include "requests/agent_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace gantry::requests {
namespace {

constexpr Time now = time_from_unix_ms(2'000'000);
constexpr Time soon = time_from_unix_ms(2'005'000);
const std::string caller = "root";

class AgentQueueTest : public testing::Test {
 protected:
  LiveEntry& make(uint64_t seq, std::string order_key = "", uint8_t priority = usual_priority) {
    auto entry = std::make_unique<LiveEntry>();
    entry->accept_seq = seq;
    entry->order_key = std::move(order_key);
    entry->priority = priority;
    entry->caller = &caller;
    entries_.push_back(std::move(entry));
    return *entries_.back();
  }
  LiveEntry& put(uint64_t seq, std::string order_key = "", uint8_t priority = usual_priority) {
    LiveEntry& entry = make(seq, std::move(order_key), priority);
    queue_.put(entry);
    return entry;
  }
  std::vector<uint64_t> claim_all(Time at = now, Order order = Order::relaxed) {
    std::vector<uint64_t> seqs;
    while (LiveEntry* entry = queue_.claim(at, order)) seqs.push_back(entry->accept_seq);
    return seqs;
  }
  // A delivery that failed: it waits for another one.
  void fail(LiveEntry& entry, Outcome outcome, Time next) {
    queue_.take(entry);
    entry.state.attempts = 1;
    entry.state.log.push_back({.number = 1, .outcome = outcome});
    entry.state.not_before = next;
    queue_.put(entry);
  }
  void end(LiveEntry& entry) {
    queue_.take(entry);
    queue_.finish(entry);
  }

  std::vector<std::unique_ptr<LiveEntry>> entries_;
  AgentQueue queue_;
};

TEST_F(AgentQueueTest, HigherPrioritiesGoFirstAndEqualsInTheOrderOfAcceptance) {
  put(1);
  put(2, "", 9);
  put(3, "", 0);
  put(4, "", 9);
  put(5);
  EXPECT_EQ(claim_all(), (std::vector<uint64_t>{2, 4, 1, 5, 3}));
  EXPECT_EQ(queue_.claimed(), 5u);
  EXPECT_EQ(queue_.waiting(), 0u);
}

TEST_F(AgentQueueTest, OneOrderKeyHasOneTurnAtATime) {
  LiveEntry& a1 = put(1, "a");
  put(2, "a");
  LiveEntry& b1 = put(3, "b");
  put(4);
  EXPECT_EQ(claim_all(), (std::vector<uint64_t>{1, 3, 4}));
  EXPECT_EQ(queue_.waiting(), 1u);
  queue_.take(b1);
  EXPECT_FALSE(queue_.finish(b1)) << "nobody else has this key";
  EXPECT_TRUE(claim_all().empty());
  queue_.take(a1);
  EXPECT_TRUE(queue_.finish(a1));
  EXPECT_EQ(claim_all(), (std::vector<uint64_t>{2}));
}

TEST_F(AgentQueueTest, WhatWaitsForARetryHoldsItsKeyBackAndNobodyElse) {
  LiveEntry& first = put(1, "a");
  put(2, "a");
  put(3, "b");
  queue_.claim(now, Order::relaxed);
  fail(first, Outcome::died, soon);
  EXPECT_EQ(claim_all(), (std::vector<uint64_t>{3}));
  EXPECT_EQ(queue_.next_due(now, Order::relaxed), soon);
  EXPECT_EQ(claim_all(soon), (std::vector<uint64_t>{1}));
}

TEST_F(AgentQueueTest, AHeldRequestThatIsCancelledLeavesTheOthersWhereTheyAre) {
  LiveEntry& first = put(1, "a");
  LiveEntry& second = put(2, "a");
  put(3, "a");
  end(second);
  EXPECT_EQ(claim_all(), (std::vector<uint64_t>{1}));
  end(first);
  EXPECT_EQ(claim_all(), (std::vector<uint64_t>{3}));
}

TEST_F(AgentQueueTest, ADeliveryThatBeganByItselfHasTheTurnOfItsKey) {
  LiveEntry& running = make(1, "a");
  queue_.begin(running);
  put(2, "a");
  EXPECT_TRUE(claim_all().empty());
  end(running);
  EXPECT_EQ(claim_all(), (std::vector<uint64_t>{2}));
}

TEST_F(AgentQueueTest, AScheduledRequestHoldsNobodyBackUntilItsTimeHasCome) {
  LiveEntry& later = make(1, "a");
  later.state.not_before = soon;
  queue_.put(later);
  EXPECT_FALSE(queue_.has_waiting());
  LiveEntry& second = put(2, "a");
  EXPECT_EQ(claim_all(), (std::vector<uint64_t>{2}));
  EXPECT_EQ(queue_.next_due(now, Order::strict), soon);
  EXPECT_TRUE(claim_all(soon).empty()) << "the other one is under way";
  end(second);
  EXPECT_EQ(claim_all(soon), (std::vector<uint64_t>{1}));
}

TEST_F(AgentQueueTest, AStrictQueueWaitsForItsHead) {
  LiveEntry& first = put(1);
  put(2);
  queue_.claim(now, Order::strict);
  fail(first, Outcome::died, soon);
  EXPECT_TRUE(claim_all(now, Order::strict).empty());
  EXPECT_EQ(queue_.next_due(now, Order::strict), soon);
  put(3, "", 9);
  EXPECT_EQ(queue_.next_due(now, Order::strict), Time{});
  EXPECT_EQ(claim_all(now, Order::strict), (std::vector<uint64_t>{3}));
  EXPECT_EQ(claim_all(soon, Order::strict), (std::vector<uint64_t>{1, 2}));
}

TEST_F(AgentQueueTest, ANewInstanceMakesBackoffPointlessButNotWhatTheProgramAskedFor) {
  LiveEntry& died = put(1);
  LiveEntry& asked = put(2);
  claim_all();
  fail(died, Outcome::died, soon);
  fail(asked, Outcome::answered, soon);
  queue_.forget_backoff();
  EXPECT_EQ(claim_all(), (std::vector<uint64_t>{1}));
  EXPECT_EQ(queue_.next_due(now, Order::relaxed), soon);
}

TEST(FairShare, TakesWhoeverComesWhileNobodyIsRefused) {
  FairShare share;
  const std::string a = "a";
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(share.admit(&a, 10, static_cast<size_t>(i), now));
    share.joined(&a);
  }
  EXPECT_FALSE(share.admit(&a, 10, 10, now));
}

TEST(FairShare, FreedPlacesGoToWhoHasLessAndWasRefused) {
  FairShare share;
  const std::string a = "a";
  const std::string b = "b";
  for (int i = 0; i < 10; ++i) share.joined(&a);
  EXPECT_FALSE(share.admit(&b, 10, 10, now));
  share.left(&a);
  EXPECT_FALSE(share.admit(&a, 10, 9, now)) << "b has less and waits for a place";
  EXPECT_TRUE(share.admit(&b, 10, 9, now));
  share.joined(&b);
  // With half of the places each, both may come.
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(share.admit(&b, 10, 10, now));
    share.left(&a);
    EXPECT_FALSE(share.admit(&a, 10, 9, now));
    EXPECT_TRUE(share.admit(&b, 10, 9, now));
    share.joined(&b);
  }
  EXPECT_FALSE(share.admit(&b, 10, 10, now));
  share.left(&a);
  EXPECT_TRUE(share.admit(&a, 10, 9, now)) << "b has its share";
}

TEST(FairShare, AClaimIsForgottenWhenNobodyComesBack) {
  FairShare share;
  const std::string a = "a";
  const std::string b = "b";
  for (int i = 0; i < 10; ++i) share.joined(&a);
  EXPECT_FALSE(share.admit(&b, 10, 10, now));
  share.left(&a);
  EXPECT_FALSE(share.admit(&a, 10, 9, now));
  EXPECT_TRUE(share.admit(&a, 10, 9, now + FairShare::patience + FairShare::patience));
}

}  // namespace
}  // namespace gantry::requests
