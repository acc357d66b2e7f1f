// Unconnected sockets of one sandbox's network, ready to be used by any thread.
#pragma once

#include <mutex>
#include <optional>
#include <vector>

#include "async/async.h"
#include "os/os.h"

namespace gantry::sandbox::bubblewrap {

/// Thread-safe; `take` costs one uncontended lock. A pooled socket keeps its network namespace alive, so
/// the pool is closed when the sandbox ends.
class SocketPool {
 public:
  explicit SocketPool(uint32_t low_water) : low_water_(low_water) {}

  struct Taken {
    std::optional<os::Fd> socket;
    bool refill = false;  ///< the caller must ask the shim for more; said once until `put`
    bool closed = false;
  };
  Taken take();
  /// An answer of the shim, possibly empty.
  void put(std::vector<os::Fd> sockets);
  /// Forgets that more were asked for: the answer will not come.
  void forget_request();
  /// Closes all sockets; `take` says `closed` from now on.
  void close();

  /// Told about every `put` and `close`.
  Notifier& changed() { return changed_; }

 private:
  const uint32_t low_water_;
  std::mutex mutex_;
  std::vector<os::Fd> sockets_;
  bool asked_ = false;
  bool closed_ = false;
  Notifier changed_;
};

}  // namespace gantry::sandbox::bubblewrap
