// An immutable value that many threads read and few replace.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

namespace gantry {

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GANTRY_SNAPSHOT_WITH_MUTEX 1
#endif
#endif

/// Holds a shared_ptr to an immutable T. `load` takes no lock: the reader keeps what it loaded, a
/// writer puts a new one in its place. Writers that derive the new value from the old one need a
/// mutex of their own.
template <class T>
class Snapshot {
 public:
  using Pointer = std::shared_ptr<const T>;
  Snapshot() : Snapshot(std::make_shared<const T>()) {}
  explicit Snapshot(Pointer value) : value_(std::move(value)) {}

  /// Never null unless null was stored.
#ifdef GANTRY_SNAPSHOT_WITH_MUTEX
  // The lock bit inside of libstdc++ 12's atomic<shared_ptr> is unknown to the thread sanitizer.
  Pointer load() const {
    std::lock_guard lock(mutex_);
    return value_;
  }
  void store(Pointer value) {
    std::lock_guard lock(mutex_);
    value_.swap(value);
  }

 private:
  mutable std::mutex mutex_;
  Pointer value_;
#else
  Pointer load() const { return value_.load(std::memory_order_acquire); }
  void store(Pointer value) { value_.store(std::move(value), std::memory_order_release); }

 private:
  std::atomic<Pointer> value_;
#endif
};

}  // namespace gantry
