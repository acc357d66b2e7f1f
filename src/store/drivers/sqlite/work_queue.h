// Units of work for the threads that own a connection: a bounded queue that is drained before its
// threads end.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "store/drivers/sqlite/connection.h"

namespace gantry::store::sqlite {

/// One unit of work; `done` is called exactly once, by the queue's thread or by `submit` itself.
struct Job {
  enum class Kind { read, write_flushed, write_deferred };
  Kind kind = Kind::read;
  Scope scope;
  std::function<Result<>(Session&)> work;
  std::function<void(Result<>)> done;
};

/// Threads with a connection each that take jobs in order.
class WorkQueue {
 public:
  /// `name` is shown by the system for its threads.
  WorkQueue(std::string name, std::vector<std::unique_ptr<Connection>> connections, size_t limit);
  ~WorkQueue();

  /// Answers `exhausted` if `limit` jobs wait already, `unavailable` after `stop`.
  void submit(Job job);
  /// Ends what is queued, then the threads. Idempotent.
  void stop();

 private:
  void run(Connection& connection);
  static Result<> execute(Connection& connection, Job& job);

  std::string name_;
  std::vector<std::unique_ptr<Connection>> connections_;
  size_t limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace gantry::store::sqlite
