#include "sandbox/drivers/bubblewrap/socket_pool.h"

#include <netinet/in.h>

#include <algorithm>

namespace gantry::sandbox::bubblewrap {

Result<> check_socket(const os::SocketFacts& facts, const ExpectedSocket& expected) {
  bool tcp = facts.domain == AF_INET && facts.type == SOCK_STREAM && facts.protocol == IPPROTO_TCP;
  bool inside = facts.network == expected.sandbox_network && facts.network != expected.host_network;
  if (tcp && inside && facts.listening == expected.listening) return {};
  return fail(Code::denied, "the sandbox handed out a socket that is not its own");
}

SocketPool::Taken SocketPool::take() {
  std::lock_guard lock(mutex_);
  Taken taken;
  taken.closed = closed_;
  if (closed_) return taken;
  if (!sockets_.empty()) {
    taken.socket = std::move(sockets_.back());
    sockets_.pop_back();
  }
  if (sockets_.size() < low_water_ && !asked_) taken.refill = asked_ = true;
  return taken;
}

void SocketPool::put(std::vector<os::Fd> sockets) {
  {
    std::lock_guard lock(mutex_);
    asked_ = false;
    if (closed_) return;
    std::ranges::move(sockets, std::back_inserter(sockets_));
  }
  changed_.notify();
}

void SocketPool::forget_request() {
  std::lock_guard lock(mutex_);
  asked_ = false;
}

void SocketPool::close() {
  std::vector<os::Fd> closing;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    closing.swap(sockets_);
  }
  changed_.notify();
}

}  // namespace gantry::sandbox::bubblewrap
