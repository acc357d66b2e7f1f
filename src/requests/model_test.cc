// The life of durable requests beside a model of it: random histories of records, claims, crashes and checkpoints run
// through the live table and through a reference that is as plain as the specification, and both must say the same.
//
// A history is a list of steps whose meaning depends only on the state that they meet, so any of them can be left out:
// a difference is reported with its seed and the shortest history that shows it. GANTRY_MODEL_STEPS=5000000 looks
// longer, GANTRY_MODEL_SEED=N at one history only. For a new rule extend `Model` (what it means) and `Op` with
// `World::take` (how it comes to be).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "requests/live_table.h"
#include "requests/request_model.h"

namespace gantry::requests {
namespace {

constexpr int slots = 10;  // requests that live at the same time
constexpr int agents = 2;
constexpr size_t history_steps = 250;
const RetryPolicy policy{.max = 3, .backoff = {.initial = std::chrono::seconds(2), .cap = std::chrono::seconds(8)}};

AgentId agent(uint64_t n) { return AgentId(IdBytes{static_cast<uint8_t>(n + 1)}); }
InstanceId instance() { return InstanceId(IdBytes{9}); }
RequestId request(uint64_t n) {
  IdBytes bytes{};
  for (size_t i = 0; i < 8; ++i) bytes[15 - i] = static_cast<uint8_t>(n >> (8 * i));
  return RequestId(bytes);
}

// ---- Histories.

enum class Op : uint8_t {
  accept,
  accept_later,
  accept_first,
  claim,
  unclaim,
  start,
  fail,
  interrupt,
  complete,
  bury,
  cancel,
  wait,
  crash,
  checkpoint,
  restore,
  project,
  instance_ready,
  take_overdue,
  count
};

struct Step {
  Op op{};
  uint32_t a = 0, b = 0, c = 0;

  std::string text() const {
    static constexpr const char* names[] = {"accept",
                                            "accept later",
                                            "accept with a first attempt",
                                            "claim",
                                            "unclaim",
                                            "start attempt",
                                            "attempt fails",
                                            "interrupt",
                                            "complete",
                                            "bury",
                                            "cancel",
                                            "time passes",
                                            "crash",
                                            "checkpoint",
                                            "checkpoint and restore",
                                            "project",
                                            "an instance is ready",
                                            "take overdue ones"};
    return fmt::format("{} ({}, {}, {})", names[static_cast<size_t>(op)], a, b, c);
  }
};
using History = std::vector<Step>;

History make_history(uint64_t seed) {
  // What happens often stands often.
  constexpr Op ops[] = {Op::accept,     Op::accept,    Op::accept,   Op::accept_later,   Op::accept_first,
                        Op::claim,      Op::claim,     Op::claim,    Op::unclaim,        Op::start,
                        Op::start,      Op::start,     Op::start,    Op::fail,           Op::fail,
                        Op::fail,       Op::interrupt, Op::complete, Op::complete,       Op::bury,
                        Op::cancel,     Op::wait,      Op::wait,     Op::wait,           Op::crash,
                        Op::checkpoint, Op::restore,   Op::project,  Op::instance_ready, Op::take_overdue};
  SeededRandom random(seed);
  History history(history_steps);
  for (Step& step : history)
    step = {.op = ops[random.below(std::size(ops))],
            .a = static_cast<uint32_t>(random.below(slots)),
            .b = static_cast<uint32_t>(random.below(1000)),
            .c = static_cast<uint32_t>(random.below(1000))};
  return history;
}

/// The real thing and the model, fed with the same steps.
class World {
 public:
  /// The first difference, in words; nullopt if there is none.
  std::optional<std::string> run(const History& history) {
    for (size_t i = 0; i < history.size() && wrong_.empty(); ++i) {
      take(history[i]);
      take_piece();
      if (wrong_.empty()) compare();
      if (!wrong_.empty()) wrong_ = fmt::format("step {}: {}", i + 1, wrong_);
    }
    return wrong_.empty() ? std::nullopt : std::optional(wrong_);
  }

 private:
  struct Kept {
    journal::Kind kind;
    RequestId id;
    std::string payload;
    uint64_t seq;
    Time time;
  };

  template <class Record>
  uint64_t write(journal::Kind kind, RequestId id, const Record& record) {
    std::string payload;
    encode(record, payload);
    return append(kind, id, std::move(payload));
  }
  uint64_t append(journal::Kind kind, RequestId id, std::string payload) {
    tail_.push_back({kind, id, std::move(payload), ++seq_, now_});
    apply(tail_.back());
    return seq_;
  }
  void apply(const Kept& kept) {
    table_->apply({.seq = kept.seq,
                   .time = kept.time,
                   .kind = kept.kind,
                   .scope = Scope::standard(),
                   .entity = kept.id.bytes(),
                   .payload = kept.payload,
                   .location = {.segment = 1, .offset = static_cast<uint32_t>(kept.seq), .size = 10}});
  }
  uint64_t id_in(uint32_t slot) const { return slot + 1 + generation_[slot] * slots; }

  // The number that fits; now and then one that does not.
  static uint32_t number_near(uint32_t right, uint32_t chance) { return chance % 16 == 0 ? chance / 16 % 4 : right; }

  void accept(const Step& step) {
    const uint64_t id = id_in(step.a), of_agent = step.b % agents;
    Reference one{.id = id, .agent = of_agent, .key = step.c % 3 == 0 ? fmt::format("k{}", step.c % 4) : ""};
    if (model_.find(id)) return;
    // Of callers with the same key one accepts a request: the desk for keys looks here first (key_desk.h).
    if (!one.key.empty() && model_.holder(of_agent, one.key)) return;
    const std::string name = fmt::format("agent-{}", of_agent);
    AcceptedRecord record{.agent_id = agent(of_agent),
                          .agent = name,
                          .principal = "root",
                          .method = "POST",
                          .target = "/x",
                          .headers = {},
                          .trailers = {},
                          .body = {},
                          .replay_of = {},
                          .first_instance = {}};
    if (step.op == Op::accept_first) record.first_instance = instance();
    if (step.op == Op::accept_later) one.put_off = now_ + std::chrono::seconds(1 + step.c % 20);
    // Behind others with its order key nobody begins at once (journaled.cc), and what is put off here has none: whether
    // it comes before those that lined up meanwhile is left open.
    if (step.op == Op::accept && step.c % 5 < 2) one.order_key = fmt::format("o{}", step.c % 2);
    if (step.c % 7 == 0) one.priority = static_cast<uint8_t>(step.c % 10);
    if (step.c % 11 == 0) one.deadline = now_ + std::chrono::seconds(1 + step.b % 30);
    record.conditions = {.key = one.key,
                         .not_before = one.put_off,
                         .order_key = one.order_key,
                         .priority = one.priority,
                         .deadline = one.deadline};
    one.accept_seq = write(request_accepted, request(id), record);
    model_.all.push_back(one);
    if (step.op == Op::accept_first) model_.started(id, 1);
  }

  void end_attempt(uint64_t id, uint32_t number, Outcome outcome, uint32_t chance) {
    const Reference* one = model_.find(id);
    const uint32_t failures = one ? one->failures : 0;
    const Time deadline = one ? one->deadline : Time{};
    SeededRandom jitter(chance);
    const Verdict verdict =
        judge({.outcome = outcome, .failures = failures, .deadline = deadline}, now_, policy, jitter);
    const bool counts = counts_as_failure(outcome);
    const bool backs_off = counts || outcome == Outcome::refused;
    const bool used_up = counts && failures + 1 >= policy.max;
    const Duration most =
        backs_off ? std::min<Duration>(policy.backoff.cap, policy.backoff.initial * (1 << failures)) : Duration{};
    const bool too_late = deadline != Time{} && deadline <= now_ + most;  // then the jitter decides
    if (!too_late && verdict.dead != used_up) return differ("judge", verdict.dead, used_up);
    if (verdict.dead) return bury(id, number, outcome);
    const Duration pause = verdict.next_attempt_at - now_;
    if (pause < Duration{} || pause > most) return differ("pause before the next attempt", pause.count(), most.count());
    write(attempt_ended, request(id),
          AttemptEndedRecord{
              .number = number, .outcome = outcome, .detail = "gone", .next_attempt_at = verdict.next_attempt_at});
    model_.ended(id, number, outcome, verdict.next_attempt_at);
  }

  void bury(uint64_t id, uint32_t number, Outcome outcome) {
    uint64_t seq =
        write(request_failed, request(id), FailedRecord{.number = number, .outcome = outcome, .reason = "dead"});
    model_.end(id, Status::failed, outcome, "dead", seq);
  }

  void claim(const Step& step) {
    const uint64_t of_agent = step.b % agents;
    const Order order = step.c % 2 ? Order::strict : Order::relaxed;
    auto due = table_->claim_due(agent(of_agent), now_, order);
    Reference* expected = model_.next(of_agent, now_, order);
    if (due.has_value() != (expected != nullptr)) return differ("claim_due", due.has_value(), expected != nullptr);
    if (!due) return;
    if (due->id != request(expected->id))
      return differ("claimed", due->id.to_string(), request(expected->id).to_string());
    if (due->attempts != expected->attempts || due->failures != expected->failures)
      return differ("claimed attempts", due->attempts, expected->attempts);
    expected->claimed = true;
    expected->held = Time{};
  }

  void unclaim(const Step& step) {
    const Time until = now_ + std::chrono::seconds(step.b % 5);
    table_->unclaim(request(id_in(step.a)), until);
    Reference* one = model_.find(id_in(step.a));
    if (!one || !one->claimed) return;
    one->claimed = false;
    one->held = until;
  }

  void take_overdue(size_t limit) {
    const auto late = table_->take_overdue(now_, limit);
    const auto expected = model_.overdue(now_);
    if (late.size() != std::min(limit, expected.size())) return differ("overdue", late.size(), expected.size());
    for (size_t i = 0; i < late.size(); ++i) {
      if (late[i].id != request(expected[i]->id))
        return differ("overdue", late[i].id.to_string(), request(expected[i]->id).to_string());
      expected[i]->claimed = true;
      expected[i]->held = Time{};
    }
  }

  // A checkpoint is taken while the history goes on; one that is not complete when it crashes does not count.
  void take_piece() {
    if (!snapshot_ || snapshot_->append_to(snapshot_bytes_)) return;
    snapshot_.reset();
    checkpoint_ = std::exchange(snapshot_bytes_, {});
    tail_.erase(tail_.begin(), tail_.begin() + static_cast<std::ptrdiff_t>(std::exchange(in_snapshot_, 0)));
  }

  void crash() {
    snapshot_.reset();
    table_ = std::make_unique<LiveTable>();
    if (!checkpoint_.empty() && !table_->restore(checkpoint_)) return differ("restore", false, true);
    for (const Kept& kept : tail_) apply(kept);
    table_->forget_projected(projected_);
    append(server_started, RequestId{}, "");
    model_.crash();
    // Whether a backoff that was forgotten comes back depends on the last checkpoint; instances are ready after a
    // start.
    for (uint64_t n = 0; n < agents; ++n) {
      table_->forget_backoff(agent(n));
      model_.forget_backoff(n, now_);
    }
  }

  void project() {
    projected_ = seq_;
    table_->forget_projected(projected_);
    model_.projected(projected_);
    for (uint32_t slot = 0; slot < slots; ++slot)
      if (accepted_once_.contains(id_in(slot)) && !model_.find(id_in(slot))) ++generation_[slot];
  }

  // What becomes of one request: a record, which may fit its state or not.
  void record(const Step& step) {
    const uint64_t id = id_in(step.a);
    const Reference* one = model_.find(id);
    const uint32_t attempts = one ? one->attempts : 0;
    switch (step.op) {
      case Op::start: {
        if (one && model_.is_blocked(*one)) break;
        const uint32_t number = number_near(attempts + 1, step.b);
        write(attempt_started, request(id), AttemptRecord{.number = number, .instance = instance()});
        model_.started(id, number);
        break;
      }
      case Op::fail: {
        constexpr Outcome outcomes[] = {Outcome::died, Outcome::refused, Outcome::timeout, Outcome::answered};
        end_attempt(id, number_near(attempts, step.b), outcomes[step.c % 4], step.c);
        break;
      }
      case Op::interrupt:
        end_attempt(id, number_near(attempts, step.b), Outcome::interrupted, step.c);
        break;
      case Op::complete: {
        const uint32_t number = number_near(attempts, step.b);
        CompletedRecord record{
            .number = number, .status = 200, .reason = "OK", .headers = {}, .trailers = {}, .body = {}};
        uint64_t seq = write(request_completed, request(id), record);
        model_.completed(id, number, 200, seq);
        break;
      }
      case Op::bury:
        bury(id, attempts, Outcome::interrupted);
        break;
      case Op::cancel: {
        uint64_t seq = write(request_cancelled, request(id),
                             FailedRecord{.number = attempts, .outcome = Outcome::cancelled, .reason = "no"});
        model_.end(id, Status::cancelled, Outcome::cancelled, "no", seq);
        break;
      }
      default:
        break;
    }
  }

  void take(const Step& step) {
    const uint64_t id = id_in(step.a);
    switch (step.op) {
      case Op::accept:
      case Op::accept_later:
      case Op::accept_first:
        accept(step);
        if (model_.find(id)) accepted_once_[id] = true;
        break;
      case Op::claim:
        claim(step);
        break;
      case Op::unclaim:
        unclaim(step);
        break;
      case Op::wait:
        now_ += std::chrono::milliseconds(step.b * 10);
        break;
      case Op::crash:
        crash();
        break;
      case Op::checkpoint:
        if (snapshot_) break;
        snapshot_ = table_->snapshot_in(step.b % 3 + 1);
        snapshot_bytes_.clear();
        in_snapshot_ = tail_.size();
        break;
      case Op::restore:
        snapshot_.reset();
        checkpoint_ = table_->checkpoint();
        tail_.clear();
        crash();
        break;
      case Op::project:
        project();
        break;
      case Op::instance_ready:
        table_->forget_backoff(agent(step.b % agents));
        model_.forget_backoff(step.b % agents, now_);
        break;
      case Op::take_overdue:
        take_overdue(step.b % 3 + 1);
        break;
      default:
        record(step);
        break;
    }
  }

  template <class A, class B>
  void differ(std::string_view what, const A& real, const B& expected) {
    if (wrong_.empty()) wrong_ = fmt::format("{} is {}, the model says {}", what, real, expected);
  }
  template <class A, class B>
  void same(std::string_view what, const A& real, const B& expected) {
    if (real != expected) differ(what, real, expected);
  }

  void compare() {
    same("size", table_->size(), model_.all.size());
    for (uint64_t n = 0; n < agents && wrong_.empty(); ++n) compare_queue(n);
    for (const Reference& one : model_.all)
      if (wrong_.empty()) compare_request(one);
    std::optional<Time> deadline;
    for (const Reference& one : model_.all)
      if (one.waits() && one.deadline != Time{}) deadline = std::min(deadline.value_or(Time::max()), one.deadline);
    if (table_->next_deadline() != deadline) differ("next_deadline", "another", "this");
    if (!model_.all.empty()) {
      const uint64_t first = model_.all.front().accept_seq;
      same("needs", table_->needs(first, first), true);
      if (first > 1) same("needs what went before", table_->needs(1, first - 1), false);
    }
  }

  void compare_queue(uint64_t n) {
    size_t waiting = 0, in_line = 0, pending = 0, processing = 0;
    std::vector<RequestId> unfinished;
    for (const Reference& one : model_.all) {
      if (one.agent != n) continue;
      waiting += one.waits();
      in_line += one.in_line(now_) && !model_.is_blocked(one);
      pending += one.status == Status::pending;
      processing += one.status == Status::processing;
      if (!one.finished()) unfinished.push_back(request(one.id));
    }
    for (Order order : {Order::relaxed, Order::strict}) {
      auto real = table_->next_due(agent(n), now_, order);
      auto expected = model_.next_due(n, now_, order);
      same("next_due is there", real.has_value(), expected.has_value());
      if (!real || !expected) continue;
      same("something is due", *real <= now_, *expected <= now_);
      // Looking too early costs a look; too late is a request that waits for nothing.
      if (*real > std::max(*expected, now_)) differ("next_due", (*real - now_).count(), (*expected - now_).count());
    }
    same("waiting", table_->waiting(agent(n)), waiting);
    same("has_waiting", table_->has_waiting(agent(n)), in_line > 0);
    same("pending", table_->counts(agent(n)).pending, pending);
    same("processing", table_->counts(agent(n)).processing, processing);
    if (table_->unfinished(agent(n)) != unfinished) differ("unfinished", "another list", unfinished.size());
  }

  void compare_request(const Reference& one) {
    auto view = table_->find(request(one.id));
    if (!view) return differ("find", "nothing", one.id);
    const RequestState& state = view->state;
    same("status", to_string(state.status), to_string(one.status));
    same("attempts", state.attempts, one.attempts);
    same("failures", state.failures, one.failures);
    same("response status", state.response_status, one.response_status);
    same("reason", state.reason, one.reason);
    same("seq of its acceptance", view->accept_seq, one.accept_seq);
    same("seq of its end", view->final_seq, one.final_seq);
    same("attempts kept", state.log.size(), std::min<size_t>(one.attempts, RequestState::attempts_kept));
    if (!state.log.empty()) same("outcome", to_string(state.log.back().outcome), to_string(one.last));
    const Time not_before = std::max(one.attempts == 0 ? one.put_off : Time{}, one.retry_at);
    if (one.waits() && not_before > now_)
      same("not before", (state.not_before - now_).count(), (not_before - now_).count());
    same("finished", table_->finished(request(one.id)).has_value(), one.finished());
    if (one.key.empty()) return;
    auto holder = table_->find_key({Scope::standard(), agent(one.agent), one.key});
    same("holder of its key", holder && holder->request.id == request(one.id), true);
  }

  std::unique_ptr<LiveTable> table_ = std::make_unique<LiveTable>();
  Model model_;
  Time now_ = time_from_unix_ms(1'000'000);
  uint64_t seq_ = 0;
  uint64_t projected_ = 0;
  std::string checkpoint_;
  std::vector<Kept> tail_;                             ///< what came after it
  std::unique_ptr<journal::Fold::Snapshot> snapshot_;  ///< the next checkpoint, not complete
  std::string snapshot_bytes_;
  size_t in_snapshot_ = 0;  ///< of the tail
  uint64_t generation_[slots] = {};
  std::map<uint64_t, bool> accepted_once_;
  std::string wrong_;
};

std::optional<std::string> difference(const History& history) { return World().run(history); }

// Leaves out what is not needed for a difference: halves first, single steps last.
template <class Fails>
History shrink(History history, Fails fails) {
  for (size_t size = history.size() / 2; size > 0; size = size == 1 ? 0 : size / 2) {
    for (size_t at = 0; at + size <= history.size();) {
      History shorter = history;
      const auto first = shorter.begin() + static_cast<ptrdiff_t>(at);
      shorter.erase(first, first + static_cast<ptrdiff_t>(size));
      if (fails(shorter))
        history = std::move(shorter);
      else
        at += size;
    }
  }
  return history;
}

std::string report(uint64_t seed) {
  const History shortest = shrink(make_history(seed), difference);
  std::string text =
      fmt::format("GANTRY_MODEL_SEED={}: {}\nthe shortest history:\n", seed, difference(shortest).value_or(""));
  for (size_t i = 0; i < shortest.size(); ++i) text += fmt::format("  {:3} {}\n", i + 1, shortest[i].text());
  return text;
}

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

TEST(Model, SaysTheSameAsTheLiveTableOverRandomHistories) {
  const uint64_t only = number_from("GANTRY_MODEL_SEED", 0);
  const uint64_t steps = number_from("GANTRY_MODEL_STEPS", 300'000);
  const uint64_t last = only ? only : std::max<uint64_t>(1, steps / history_steps);
  for (uint64_t seed = only ? only : 1; seed <= last; ++seed)
    ASSERT_FALSE(difference(make_history(seed))) << report(seed);
}

TEST(Model, ShrinksAHistoryToWhatMatters) {
  auto buried_before_a_crash = [](const History& history) {
    auto buried = std::ranges::find(history, Op::bury, &Step::op);
    return std::find_if(buried, history.end(), [](const Step& step) { return step.op == Op::crash; }) != history.end();
  };
  const History history = make_history(1);
  ASSERT_TRUE(buried_before_a_crash(history));
  const History shortest = shrink(history, buried_before_a_crash);
  ASSERT_EQ(shortest.size(), 2u);
  EXPECT_EQ(shortest[0].op, Op::bury);
  EXPECT_EQ(shortest[1].op, Op::crash);
}

}  // namespace
}  // namespace gantry::requests
