// An event that happens once, for code that lives on one thread. Private to this folder.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <memory>
#include <utility>

#include "async/async.h"
#include "os/os.h"

namespace gantry::sandbox {

/// One coroutine waits, anybody on the same io_context opens. Opening before the wait is not lost.
class Gate {
 public:
  explicit Gate(const Executor& executor) : timer_(executor) {}

  void open() {
    opened_ = true;
    timer_.cancel();
  }
  bool opened() const { return opened_; }
  /// True once it is open, false if `patience` passed first.
  Task<bool> wait(Duration patience) {
    if (!opened_) {
      timer_.expires_after(patience);
      co_await timer_.async_wait(use_tuple);
    }
    co_return opened_;
  }

 private:
  asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor> timer_;
  bool opened_ = false;
};

/// A descriptor whose readiness a coroutine waits for. Owns it.
class WatchedFd {
 public:
  WatchedFd(const Executor& executor, os::Fd fd);
  ~WatchedFd();
  const os::Fd& fd() const { return fd_; }
  /// False if the wait was cancelled.
  Task<bool> readable();
  Task<bool> writable();
  /// Ends a wait; the descriptor stays open until this is destroyed.
  void cancel();
  /// Gives the descriptor away.
  os::Fd release();

 private:
  struct Registration;
  std::unique_ptr<Registration> registration_;
  os::Fd fd_;
};

}  // namespace gantry::sandbox
