#include "journal/drivers/segments/projector.h"

#include <pthread.h>

#include <algorithm>

namespace gantry::journal::segments {
namespace {

constexpr Backoff retry{
    .policy = Backoff::Policy::exponential, .initial = std::chrono::milliseconds(50), .cap = std::chrono::seconds(10)};
// Long, because `stop` ends the wait and a new record does too.
constexpr Duration idle_wait = std::chrono::minutes(10);

}  // namespace

void Projector::start() {
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "journal-project");
}

void Projector::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopped_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Lag Projector::lag() const {
  const uint64_t reached = this->reached();
  const uint64_t durable = parts_.durable.seq();
  const uint64_t behind = durable > reached ? durable - reached : 0;
  std::lock_guard lock(mutex_);
  return {.projection = std::string(projection_.name()),
          .reached = reached,
          .records = behind,
          .lagging = behind > parts_.options.lag_limit,
          .failure = failure_};
}

void Projector::run() {
  for (;;) {
    auto ended = run_until_error();
    if (ended) return;
    ++failures_;
    parts_.options.notify(Severity::warning, fmt::format("projection '{}' failed {} times in a row: {}",
                                                         projection_.name(), failures_, ended.error().reason()));
    {
      std::lock_guard lock(mutex_);
      failure_ = ended.error().reason();
    }
    if (!rest(retry.delay(failures_, parts_.random))) return;
  }
}

// Ends without an error at `stop`.
Result<void> Projector::run_until_error() {
  // Also after an error: its transaction may have been committed although the answer was lost.
  GANTRY_TRY(uint64_t reached, projection_.reached());
  reached_.store(reached, std::memory_order_release);
  Cursor cursor(parts_.catalog, parts_.options.cipher, reached + 1);
  for (;;) {
    if (parts_.durable.seq() <= this->reached()) {
      parts_.durable.wait(this->reached() + 1, idle_wait);
      if (parts_.durable.closed()) return {};
      if (!rest(parts_.options.projection_linger)) return {};
    }
    const uint64_t before = this->reached();
    const uint64_t wanted = parts_.durable.seq();
    GANTRY_TRY_VOID(project_batch(cursor));
    // Records gather meanwhile, under load too: one transaction, one flush of the tables and one read of the log for
    // many of them. Who did not get to the end of what was there, because a batch is bounded, does not wait.
    const bool behind = this->reached() > before && this->reached() < wanted;
    if (!rest(behind ? Duration::zero() : parts_.options.projection_linger)) return {};
  }
}

// Up to the durable point and no further: a projection asks the folds about the records that it is given.
Result<void> Projector::project_batch(Cursor& cursor) {
  GANTRY_TRY(auto batch, cursor.next(parts_.options.batch_records, parts_.durable.seq()));
  if (batch.empty()) return {};
  while (!batch.empty()) {
    // What the cursor hands out comes from one chunk; a projection may want smaller bites.
    size_t count = 0;
    for (uint64_t bytes = 0; count < batch.size() && (count == 0 || bytes < parts_.options.batch_size.count); ++count)
      bytes += batch[count].location.size;
    GANTRY_TRY(uint64_t reached, projection_.project(batch.first(count)));
    if (reached != batch[count - 1].seq)
      return fail(Code::internal, "it says that it reached {} and not {}", reached, batch[count - 1].seq);
    reached_.store(reached, std::memory_order_release);
    batch = batch.subspan(count);
  }
  if (failures_ > 0) {
    failures_ = 0;
    parts_.options.notify(Severity::info, fmt::format("projection '{}' works again", projection_.name()));
    std::lock_guard lock(mutex_);
    failure_.clear();
  }
  return {};
}

// False once it is to stop.
bool Projector::rest(Duration duration) {
  std::unique_lock lock(mutex_);
  return !stopped_.wait_for(lock, duration, [this] { return stopping_; });
}

}  // namespace gantry::journal::segments
