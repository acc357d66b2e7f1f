#include "journal/drivers/segments/durable_point.h"

namespace gantry::journal::segments {

// A waiter counts itself, then looks at seq_; the writer moves seq_, then looks at the count. In the one
// total order of seq_cst at least one of them sees the other.
void DurablePoint::publish(uint64_t seq) {
  seq_.store(seq, std::memory_order_seq_cst);
  if (waiting_.load(std::memory_order_seq_cst) > 0) wake();
}

void DurablePoint::close() {
  closed_.store(true, std::memory_order_seq_cst);
  wake();
}

void DurablePoint::wake() {
  // The lock, so that nobody is between its look and its sleep.
  {
    std::lock_guard lock(mutex_);
  }
  moved_.notify_all();
  notifier_.notify();
}

bool DurablePoint::wait(uint64_t wanted, Duration patience) {
  if (seq() >= wanted) return true;
  waiting_.fetch_add(1, std::memory_order_seq_cst);
  std::unique_lock lock(mutex_);
  const bool reached =
      moved_.wait_for(lock, patience, [&] { return seq_.load(std::memory_order_seq_cst) >= wanted || closed(); });
  waiting_.fetch_sub(1, std::memory_order_seq_cst);
  return reached && seq() >= wanted;
}

Task<bool> DurablePoint::until(uint64_t wanted, SteadyTime deadline) {
  waiting_.fetch_add(1, std::memory_order_seq_cst);
  bool in_time = true;
  while (in_time) {
    const Notifier::Ticket ticket = notifier_.ticket();
    if (seq_.load(std::memory_order_seq_cst) >= wanted || closed()) break;
    in_time = co_await notifier_.wait(ticket, deadline);
  }
  waiting_.fetch_sub(1, std::memory_order_seq_cst);
  co_return seq() >= wanted;
}

}  // namespace gantry::journal::segments
