#include "journal/drivers/segments/provisioner.h"

#include <pthread.h>

#include <algorithm>

#include "journal/drivers/segments/segment.h"

namespace gantry::journal::segments {
namespace {

constexpr uint64_t first_size = 4 << 20;

}  // namespace

uint64_t Provisioner::size_of(uint64_t number, const Options& options) {
  uint64_t size = first_size;
  for (uint64_t i = 1; i < number && size < options.segment_size.count; ++i) size *= 2;
  return std::min(size, options.segment_size.count);
}

void Provisioner::start(std::deque<Prepared> ready, uint64_t next_number) {
  ready_ = std::move(ready);
  had_reserve_ = ready_.size() >= target;
  next_number_ = next_number;
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "journal-files");
}

void Provisioner::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Result<Prepared> Provisioner::take(Priority priority) {
  std::unique_lock lock(mutex_);
  for (;;) {
    // Not even while nothing has failed yet: the reserve would be gone when the next attempt finds the disk full.
    const bool reserved = priority == Priority::accept && (had_reserve_ || failure_);
    if (ready_.size() > (reserved ? 1 : 0)) {
      Prepared prepared = std::move(ready_.front());
      ready_.pop_front();
      changed_.notify_all();
      return prepared;
    }
    if (failure_) return std::unexpected(*failure_);
    if (stopping_) return fail(ErrorId::GR0101, "the journal is stopping");
    changed_.wait(lock);
  }
}

bool Provisioner::has_reserve() const {
  std::lock_guard lock(mutex_);
  return !failure_ || !ready_.empty();
}

bool Provisioner::failing() const {
  std::lock_guard lock(mutex_);
  return failure_.has_value();
}

Bytes Provisioner::on_disk() const {
  std::lock_guard lock(mutex_);
  Bytes sum;
  for (const Prepared& one : ready_) sum.count += one.size;
  return sum;
}

void Provisioner::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (ready_.size() >= target) {
      changed_.wait(lock);
      continue;
    }
    const uint64_t number = next_number_++;
    lock.unlock();
    auto made = make(number);
    if (!made) report(made.error());
    lock.lock();
    if (made) {
      ready_.push_back(*std::move(made));
      had_reserve_ = had_reserve_ || ready_.size() >= target;
      if (failure_) {
        failure_.reset();
        lock.unlock();
        options_.notify(Severity::info, "the journal can allocate segments again");
        lock.lock();
      }
      changed_.notify_all();
      continue;
    }
    failure_ = std::move(made).error();
    changed_.notify_all();
    changed_.wait_for(lock, options_.probe_every, [this] { return stopping_; });
  }
}

Result<Prepared> Provisioner::make(uint64_t number) {
  const std::string name = raw_name(number);
  const uint64_t size = size_of(number, options_);
  auto fill = [&]() -> Result<std::shared_ptr<File>> {
    GANTRY_TRY(std::shared_ptr<File> file, storage_.open(name, OpenMode::create));
    GANTRY_TRY_VOID(file->fill_with_zeros(size));
    GANTRY_TRY_VOID(file->sync());
    GANTRY_TRY_VOID(storage_.sync_directory(std::string(segment_directory)));
    return file;
  };
  auto file = fill();
  if (!file) {
    std::ignore = storage_.remove(name);
    return std::unexpected(
        Error(ErrorId::GR0101, "prepare a segment of " + format_bytes_short({size}) + ": " + file.error().reason())
            .with_hint("free space: `gantry doctor --storage` lists what uses it"));
  }
  return Prepared{number, size, *std::move(file)};
}

void Provisioner::report(const Error& error) {
  {
    // Once for each outage, not for each attempt.
    std::lock_guard lock(mutex_);
    if (failure_) return;
  }
  options_.notify(Severity::error, "the journal cannot allocate a segment: " + error.reason());
}

}  // namespace gantry::journal::segments
