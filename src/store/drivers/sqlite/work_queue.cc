#include "store/drivers/sqlite/work_queue.h"

#include <pthread.h>

namespace gantry::store::sqlite {

WorkQueue::WorkQueue(std::string name, std::vector<std::unique_ptr<Connection>> connections, size_t limit)
    : name_(std::move(name)), connections_(std::move(connections)), limit_(limit) {
  for (auto& connection : connections_) {
    threads_.emplace_back([this, &connection] { run(*connection); });
    ::pthread_setname_np(threads_.back().native_handle(), name_.c_str());
  }
}

WorkQueue::~WorkQueue() { stop(); }

void WorkQueue::submit(Job job) {
  std::optional<Error> refusal;
  {
    std::lock_guard lock(mutex_);
    if (stopping_)
      refusal = Error(Code::unavailable, "the store is stopping");
    else if (jobs_.size() >= limit_)
      refusal = Error(Code::exhausted, fmt::format("the queue {} is full ({} waiting)", name_, limit_));
    else
      jobs_.push_back(std::move(job));
  }
  if (refusal.has_value())
    // NOLINTNEXTLINE(bugprone-use-after-move): a job that was refused was not moved
    job.done(std::unexpected(std::move(*refusal)));
  else
    changed_.notify_one();
}

void WorkQueue::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void WorkQueue::run(Connection& connection) {
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    Result<> result = execute(connection, job);
    job.done(std::move(result));
  }
}

Result<> WorkQueue::execute(Connection& connection, Job& job) {
  if (job.kind != Job::Kind::read) {
    const auto durability = job.kind == Job::Kind::write_flushed ? Durability::flushed : Durability::deferred;
    GANTRY_TRY_VOID(connection.set_durability(durability));
  }
  GANTRY_TRY(std::unique_ptr<Transaction> transaction, Transaction::begin(connection, job.scope));
  Session session(*transaction);
  GANTRY_TRY_VOID(job.work(session));
  return transaction->commit();
}

}  // namespace gantry::store::sqlite
