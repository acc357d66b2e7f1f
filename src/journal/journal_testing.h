// What the tests of the journal share: a fold that can be compared, and appends that block.
#pragma once

#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "async/async.h"
#include "crypto/crypto.h"
#include "journal/journal_fake.h"

namespace gantry::journal {

inline constexpr Kind test_kind{0x7f01};

inline Entry entry_of(std::string head, std::string body = {}, Priority priority = Priority::accept) {
  Entry entry{.kind = test_kind,
              .scope = Scope::standard(),
              .head = std::move(head),
              .body = std::move(body),
              .priority = priority};
  entry.entity[15] = 7;
  return entry;
}

/// Order, number and content of all records in one number.
class ChainFold final : public Fold {
 public:
  struct State {
    uint64_t count = 0;
    uint64_t last_seq = 0;
    uint32_t chain = 0;
    friend bool operator==(const State&, const State&) = default;
  };
  explicit ChainFold(std::string_view name = "chain") : name_(name) {}

  static void step(State& state, uint64_t seq, std::string_view payload) {
    ++state.count;
    state.last_seq = seq;
    state.chain = crypto::crc32c(payload, state.chain);
  }
  std::string_view name() const override { return name_; }
  void apply(const Record& record) override {
    std::lock_guard lock(mutex_);
    ++applied_;
    step(state_, record.seq, record.payload);
  }
  std::string checkpoint() override {
    std::lock_guard lock(mutex_);
    return fmt::format("{} {} {}", state_.count, state_.last_seq, state_.chain);
  }
  Result<void> restore(std::string_view bytes) override {
    std::lock_guard lock(mutex_);
    unsigned long count = 0;
    unsigned long last = 0;
    // NOLINTNEXTLINE(bugprone-unchecked-string-to-number-conversion): written by the function above
    if (std::sscanf(std::string(bytes).c_str(), "%lu %lu %u", &count, &last, &state_.chain) != 3)
      return fail(Code::data_loss, "not a state");
    state_.count = count;
    state_.last_seq = last;
    return {};
  }
  void reset() override {
    std::lock_guard lock(mutex_);
    state_ = {};
  }
  bool needs(uint64_t first_seq, uint64_t last_seq) override {
    std::lock_guard lock(mutex_);
    auto at = needed_.lower_bound(first_seq);
    return all_needed_ || (at != needed_.end() && *at <= last_seq);
  }

  State state() const {
    std::lock_guard lock(mutex_);
    return state_;
  }
  /// How many records this object saw, since it was made.
  uint64_t applied() const {
    std::lock_guard lock(mutex_);
    return applied_;
  }
  void need_all() { all_needed_ = true; }
  void need_only(std::set<uint64_t> seqs) {
    std::lock_guard lock(mutex_);
    needed_ = std::move(seqs);
    all_needed_ = false;
  }

 private:
  std::string_view name_;
  mutable std::mutex mutex_;
  State state_;
  uint64_t applied_ = 0;
  std::set<uint64_t> needed_;
  std::atomic<bool> all_needed_ = true;
};

/// Rows in memory that fail on command.
class RowsProjection final : public Projection {
 public:
  std::string_view name() const override { return "rows"; }
  Result<uint64_t> reached() override {
    std::lock_guard lock(mutex_);
    return reached_;
  }
  Result<uint64_t> project(std::span<const Record> batch) override {
    std::lock_guard lock(mutex_);
    if (failures_ > 0) {
      --failures_;
      return fail(Code::unavailable, "the tables are locked");
    }
    for (const Record& record : batch) {
      rows_.emplace_back(record.payload);
      reached_ = record.seq;
    }
    largest_ = std::max(largest_, batch.size());
    return reached_;
  }
  Result<bool> needs(uint64_t, uint64_t) override { return needed_.load(); }

  void fail_next(int times) {
    std::lock_guard lock(mutex_);
    failures_ = times;
  }
  void start_at(uint64_t seq) { reached_ = seq; }
  void keep(bool needed) { needed_ = needed; }
  std::vector<std::string> rows() const {
    std::lock_guard lock(mutex_);
    return rows_;
  }
  size_t largest_batch() const {
    std::lock_guard lock(mutex_);
    return largest_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> rows_;
  uint64_t reached_ = 0;
  int failures_ = 0;
  size_t largest_ = 0;
  std::atomic<bool> needed_ = false;
};

/// I/O threads, and appends for a test's own thread.
class Appender {
 public:
  explicit Appender(size_t threads = 2) : threads_(threads) { threads_.start(); }
  ~Appender() {
    group_.join();
    threads_.stop();
  }

  Result<Appended> append(Journal& journal, Entry entry) { return start(journal, std::move(entry)).get(); }
  Result<Appended> append(Journal& journal, std::string payload) {
    return append(journal, entry_of(std::move(payload)));
  }
  Result<std::vector<Appended>> append_many(Journal& journal, std::vector<Entry> entries) {
    auto promise = std::make_shared<std::promise<Result<std::vector<Appended>>>>();
    auto future = promise->get_future();
    group_.spawn(next(), many(journal, std::move(entries), std::move(promise)));
    return future.get();
  }
  std::future<Result<Appended>> start(Journal& journal, Entry entry) {
    auto promise = std::make_shared<std::promise<Result<Appended>>>();
    auto future = promise->get_future();
    group_.spawn(next(), one(journal, std::move(entry), std::move(promise)));
    return future;
  }
  Executor next() { return threads_.executor(turn_++ % threads_.size()); }
  TaskGroup& group() { return group_; }

 private:
  static Task<void> one(Journal& journal, Entry entry, std::shared_ptr<std::promise<Result<Appended>>> promise) {
    promise->set_value(co_await journal.append(std::move(entry)));
  }
  static Task<void> many(Journal& journal, std::vector<Entry> entries,
                         std::shared_ptr<std::promise<Result<std::vector<Appended>>>> promise) {
    promise->set_value(co_await journal.append_many(std::move(entries)));
  }

  IoThreads threads_;
  TaskGroup group_;
  size_t turn_ = 0;
};

/// All records from the beginning, as (seq, payload).
inline Result<std::vector<std::pair<uint64_t, std::string>>> read_all(Journal& journal, uint64_t from = 1) {
  std::vector<std::pair<uint64_t, std::string>> all;
  auto reader = journal.reader(from);
  for (;;) {
    GANTRY_TRY(auto batch, reader->next(100));
    if (batch.empty()) return all;
    for (const Record& record : batch) all.emplace_back(record.seq, std::string(record.payload));
  }
}

/// Waits for a condition, at most 60 s: on a busy machine with a sanitizer every thread is late.
template <class Condition>
bool eventually(Condition condition) {
  SystemClock clock;
  const SteadyTime deadline = clock.steady() + std::chrono::seconds(60);
  while (!condition()) {
    if (clock.steady() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace gantry::journal
