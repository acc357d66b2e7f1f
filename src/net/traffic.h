// Bytes that went over connections to one peer, whoever counts them. Part of the door (net.h).
#pragma once

#include <atomic>
#include <cstdint>

namespace gantry::net {

/// Counts what the kernel took and gave, with heads and framing. Thread-safe; never goes back.
struct Traffic {
  std::atomic<uint64_t> sent = 0;
  std::atomic<uint64_t> received = 0;
};

}  // namespace gantry::net
