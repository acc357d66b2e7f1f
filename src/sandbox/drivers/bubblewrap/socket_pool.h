// Unconnected sockets of one sandbox's network, ready to be used by any thread.
#pragma once

#include <mutex>
#include <optional>
#include <vector>

#include "async/async.h"
#include "os/os.h"

namespace gantry::sandbox::bubblewrap {

/// What a socket from inside must be.
struct ExpectedSocket {
  uint64_t sandbox_network = 0;
  uint64_t host_network = 0;
  bool listening = false;
};
/// `denied` unless it is a TCP socket over IPv4 of that sandbox's network, which is not the host's: anything
/// else would be a way out of the sandbox, or into the host. Pure.
Result<> check_socket(const os::SocketFacts& facts, const ExpectedSocket& expected);

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
