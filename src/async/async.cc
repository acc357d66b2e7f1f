#include "async/async.h"

#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <list>

namespace gantry {
namespace {

using Timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

thread_local std::optional<size_t> current_index;

void die_of(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "gantry: internal defect: a task threw: %s\n", exception.what());
  } catch (...) {
    std::fprintf(stderr, "gantry: internal defect: a task threw\n");
  }
  std::abort();
}

}  // namespace

Suspended& Suspended::operator=(Suspended&& other) noexcept {
  GANTRY_CHECK(node_ == nullptr);
  node_ = std::exchange(other.node_, nullptr);
  return *this;
}

void Suspended::resume() && {
  Node* node = std::exchange(node_, nullptr);
  asio::post(node->executor, [node] { node->run(); });
}

void Suspended::resume_all(std::vector<Suspended>& many) {
  // A handful of io_contexts: one pass for each is cheaper than a map.
  while (!many.empty()) {
    Executor executor = many.front().node_->executor;
    std::vector<Node*> batch;
    batch.reserve(many.size());
    std::erase_if(many, [&](Suspended& one) {
      if (one.node_->executor != executor) return false;
      batch.push_back(std::exchange(one.node_, nullptr));
      return true;
    });
    asio::post(executor, [batch = std::move(batch)] {
      for (Node* node : batch) node->run();
    });
  }
}

IoThreads::IoThreads(size_t count) {
  if (count == 0) count = std::max(1u, std::thread::hardware_concurrency());
  for (size_t i = 0; i < count; ++i) {
    contexts_.push_back(std::make_unique<asio::io_context>(1));
    guards_.push_back(asio::make_work_guard(*contexts_.back()));
  }
}

IoThreads::~IoThreads() { stop(); }

void IoThreads::start() {
  GANTRY_CHECK(threads_.empty());
  for (size_t i = 0; i < contexts_.size(); ++i) {
    threads_.emplace_back([this, i] {
      current_index = i;
      contexts_[i]->run();
    });
    ::pthread_setname_np(threads_.back().native_handle(), fmt::format("io-{}", i).c_str());
  }
}

void IoThreads::stop() {
  GANTRY_CHECK(!current_index.has_value());
  guards_.clear();
  for (auto& context : contexts_) context->stop();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

std::optional<size_t> IoThreads::current() { return current_index; }

struct TaskGroup::State {
  std::mutex mutex;
  std::condition_variable empty;
  size_t running = 0;
  bool closed = false;
};

TaskGroup::TaskGroup() : state_(std::make_shared<State>()) {}
TaskGroup::~TaskGroup() { GANTRY_CHECK(size() == 0); }

bool TaskGroup::spawn(Executor executor, Task<void> task) {
  {
    std::lock_guard lock(state_->mutex);
    if (state_->closed) return false;
    ++state_->running;
  }
  asio::co_spawn(executor, std::move(task), [state = state_](std::exception_ptr error) {
    if (error) die_of(error);
    std::lock_guard lock(state->mutex);
    if (--state->running == 0) state->empty.notify_all();
  });
  return true;
}

void TaskGroup::close() {
  std::lock_guard lock(state_->mutex);
  state_->closed = true;
}

void TaskGroup::join() {
  GANTRY_CHECK(!current_index.has_value());
  std::unique_lock lock(state_->mutex);
  state_->closed = true;
  state_->empty.wait(lock, [&] { return state_->running == 0; });
}

size_t TaskGroup::size() const {
  std::lock_guard lock(state_->mutex);
  return state_->running;
}

struct Notifier::State {
  struct Waiter {
    explicit Waiter(Executor executor) : timer(executor) {}
    Timer timer;
    bool notified = false;
  };
  std::mutex mutex;
  Ticket count = 0;
  std::list<std::shared_ptr<Waiter>> waiters;
};

Notifier::Notifier() : state_(std::make_shared<State>()) {}
Notifier::~Notifier() = default;

Notifier::Ticket Notifier::ticket() const {
  std::lock_guard lock(state_->mutex);
  return state_->count;
}

void Notifier::notify() {
  std::list<std::shared_ptr<State::Waiter>> woken;
  {
    std::lock_guard lock(state_->mutex);
    ++state_->count;
    woken.swap(state_->waiters);
  }
  // A timer is not thread-safe: it is cancelled in its own io_context.
  for (auto& waiter : woken) {
    asio::post(waiter->timer.get_executor(), [waiter] {
      waiter->notified = true;
      waiter->timer.cancel();
    });
  }
}

Task<bool> Notifier::wait(Ticket seen, SteadyTime deadline) {
  auto state = state_;
  Executor executor = co_await asio::this_coro::executor;
  auto waiter = std::make_shared<State::Waiter>(executor);
  waiter->timer.expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(deadline));
  {
    std::lock_guard lock(state->mutex);
    if (state->count != seen) co_return true;
    state->waiters.push_back(waiter);
  }
  co_await waiter->timer.async_wait(use_tuple);
  if (waiter->notified) co_return true;
  std::lock_guard lock(state->mutex);
  // Not listed any more: a notify took it while the timer fired.
  bool listed = state->waiters.remove(waiter) > 0;
  co_return !listed;
}

Task<bool> Notifier::wait_until(SteadyTime deadline) { return wait(ticket(), deadline); }

Task<void> sleep_for(Duration duration) {
  Executor executor = co_await asio::this_coro::executor;
  Timer timer(executor, duration);
  co_await timer.async_wait(use_tuple);
}

BlockingPool::BlockingPool(size_t threads, size_t queue_limit) : pool_(threads), limit_(queue_limit) {}
BlockingPool::~BlockingPool() { stop(); }
void BlockingPool::stop() { pool_.join(); }

bool BlockingPool::try_enter() {
  std::lock_guard lock(mutex_);
  if (queued_ >= limit_) return false;
  ++queued_;
  return true;
}

void BlockingPool::leave() {
  std::lock_guard lock(mutex_);
  --queued_;
}

Duration Backoff::delay(uint32_t failures, Random& random) const {
  // In double, so that 2^1000 is capped and does not wrap.
  double factor = 1;
  if (policy == Policy::exponential)
    for (uint32_t i = 1; i < failures && factor < 1e12; ++i) factor *= 2;
  if (policy == Policy::linear) factor = failures;
  double wanted = std::min(static_cast<double>(initial.count()) * factor, static_cast<double>(cap.count()));
  auto whole = static_cast<int64_t>(wanted);
  const int64_t spread = jitter == Jitter::full ? whole : whole / 2;
  return Duration(whole - static_cast<int64_t>(random.below(static_cast<uint64_t>(spread + 1))));
}

std::string_view to_string(Backoff::Policy policy) {
  switch (policy) {
    case Backoff::Policy::exponential:
      return "exponential";
    case Backoff::Policy::linear:
      return "linear";
    case Backoff::Policy::fixed:
      return "fixed";
  }
  return "exponential";
}

}  // namespace gantry
