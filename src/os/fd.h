// A file descriptor that closes itself.
#pragma once

#include <utility>

namespace gantry::os {

/// Owns one file descriptor, or none (-1). Move-only. Not thread-safe, as an int is not.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /// Gives the descriptor away: the caller closes it.
  int release() { return std::exchange(fd_, -1); }
  /// Closes now. Errors of close(2) are not reported: who cares about data calls fsync before.
  void reset();

 private:
  int fd_ = -1;
};

}  // namespace gantry::os
