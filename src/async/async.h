// Coroutines of this code base: their types, who owns them, and how another thread wakes one.
//
//   Task<T>        a coroutine on one io_context (a concrete executor: 5 % faster than any_io_executor)
//   IoThreads      one io_context and one thread for each core; a connection stays on its thread
//   TaskGroup      owns background coroutines; its owner joins it in stop(); nothing is detached
//   suspend        park a coroutine; any thread resumes it (what journal and blocking pool build on)
//   Notifier       wait for a condition with a deadline
//   BlockingPool   the bounded pool for calls that block
//   Channel<T>     a bounded queue from many threads to one coroutine (channel.h)
//   Backoff        the delay before attempt n, pure
//   retry          calls again after a Backoff, until a deadline or its owner stops (retry.h)
//
// The rules for coroutines are in docs/adr/0002-coroutine-subset-and-compiler.md: named functions,
// parameters by value, no lock across a co_await, cancelled work returns Code::cancelled.
//
// Example:
//
//   Task<void> Pump::run() {
//     while (!stopping_) {
//       co_await wake_.wait_until(clock_.steady() + std::chrono::seconds(1));
//       co_await deliver_all();
//     }
//   }
//   tasks_.spawn(threads.executor(0), run());   // and in stop(): stopping_ = true; wake_.notify(); tasks_.join();
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/base.h"

namespace gantry {

namespace asio = boost::asio;
using Executor = asio::io_context::executor_type;

/// A coroutine bound to one io_context. Start it with `TaskGroup::spawn` or co_await it.
template <class T = void>
using Task = asio::awaitable<T, Executor>;

/// Completion token of an Asio operation inside a Task; throws on error: prefer `use_tuple`.
inline constexpr asio::use_awaitable_t<Executor> use_task{};
/// Completion token that returns `std::tuple<error_code, …>` and never throws.
inline constexpr auto use_tuple = asio::as_tuple(use_task);

/// The suspended half of a coroutine. `resume` exactly once, from any thread; the coroutine goes
/// on in its own io_context. Destroying it unresumed is a defect (checked).
class Suspended {
 public:
  struct Node {
    explicit Node(Executor its_executor) : executor(its_executor) {}
    virtual ~Node() = default;
    virtual void run() = 0;  ///< consumes the node
    Executor executor;
  };
  explicit Suspended(Node* node) : node_(node) {}
  Suspended(Suspended&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  Suspended& operator=(Suspended&& other) noexcept;
  ~Suspended() { GANTRY_CHECK(node_ == nullptr); }

  void resume() &&;
  /// Resumes many with one post for each io_context. Clears the vector.
  static void resume_all(std::vector<Suspended>& many);

 private:
  Node* node_;
};

/// Parks the calling coroutine; `keep(Suspended)` stores the handle somewhere that another thread
/// finds. `keep` runs after the coroutine has really stopped, so resuming at once is safe.
template <class Keep>
Task<void> suspend(Keep keep);

/// N io_contexts, one thread each. Started once, stopped once.
class IoThreads {
 public:
  /// `count` 0 means one for each core.
  explicit IoThreads(size_t count = 0);
  ~IoThreads();
  void start();
  /// Lets no new work in, ends the loops and joins the threads. Idempotent. Not from an I/O thread.
  void stop();
  size_t size() const { return contexts_.size(); }
  asio::io_context& context(size_t index) { return *contexts_[index]; }
  Executor executor(size_t index) { return contexts_[index]->get_executor(); }
  /// The index of the I/O thread that calls, nullopt on any other thread.
  static std::optional<size_t> current();

 private:
  std::vector<std::unique_ptr<asio::io_context>> contexts_;
  std::vector<asio::executor_work_guard<Executor>> guards_;
  std::vector<std::thread> threads_;
};

/// Owns background coroutines. Thread-safe. Tasks must end when their owner closes what they wait
/// for; `join` then waits. An exception that leaves a task is a defect and aborts with its text.
class TaskGroup {
 public:
  TaskGroup();
  ~TaskGroup();  ///< checks that it is empty
  /// Starts a task; false (and the task is dropped unstarted) once `join` or `close` was called.
  bool spawn(Executor executor, Task<void> task);
  /// Refuses new tasks from now on.
  void close();
  /// close(), then blocks until all have ended. Not from an I/O thread.
  void join();
  size_t size() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// Wakes coroutines that wait for a condition. Thread-safe. A `notify` between the check of the
/// condition and the wait is not lost if the caller took `ticket()` before its check.
class Notifier {
 public:
  using Ticket = uint64_t;
  Notifier();
  ~Notifier();
  Ticket ticket() const;
  /// Wakes all current waiters and those that wait with an older ticket.
  void notify();
  /// Waits for a notify after `seen`; false if the deadline passed first.
  Task<bool> wait(Ticket seen, SteadyTime deadline);
  /// Waits for the next notify; false if the deadline passed first.
  Task<bool> wait_until(SteadyTime deadline);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// Sleeps on the caller's io_context.
Task<void> sleep_for(Duration duration);

/// A bounded pool of threads for calls that block (files, SQLite readers, DNS).
class BlockingPool {
 public:
  BlockingPool(size_t threads, size_t queue_limit);
  ~BlockingPool();
  /// Runs `work()` on the pool and resumes the caller in its own io_context with the result.
  /// `exhausted` if the queue is full. `work` must not throw.
  template <class Work>
  Task<Result<std::invoke_result_t<Work>>> run(Work work);
  /// Blocks until queued work has ended. Idempotent.
  void stop();

 private:
  bool try_enter();
  void leave();
  asio::thread_pool pool_;
  size_t limit_;
  std::mutex mutex_;
  size_t queued_ = 0;
};

/// The delay before the next attempt: `exponential` doubles, `linear` adds, `fixed` repeats.
struct Backoff {
  enum class Policy { exponential, linear, fixed };
  Policy policy = Policy::exponential;
  Duration initial = std::chrono::seconds(1);
  Duration cap = std::chrono::minutes(1);
  /// AWS Architecture Blog 2015, "Exponential Backoff And Jitter": `equal` is uniform in [delay/2, delay] and never
  /// immediate, `full` is uniform in [0, delay] and spreads many best.
  enum class Jitter { equal, full };
  Jitter jitter = Jitter::equal;
  /// `failures` ≥ 1 is how many attempts have failed.
  Duration delay(uint32_t failures, Random& random) const;
  friend bool operator==(const Backoff&, const Backoff&) = default;
};
std::string_view to_string(Backoff::Policy policy);

}  // namespace gantry

#include "async/channel.h"
#include "async/detail.h"
#include "async/retry.h"
