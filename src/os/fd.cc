#include "os/fd.h"

#include <unistd.h>

namespace gantry::os {

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void Fd::reset() {
  // SAFETY: the descriptor is ours alone. After EINTR Linux has closed it: a second close could hit
  // a descriptor that another thread just got.
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace gantry::os
