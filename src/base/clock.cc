#include "base/clock.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace gantry {
namespace {

// Bytes of getrandom(2) in 4 KiB portions: one system call for about 400 ids.
struct RandomBuffer {
  uint8_t bytes[4096];
  size_t used = sizeof bytes;
  pid_t owner = 0;

  void take(std::span<uint8_t> out) {
    // A fork copies the buffer: parent and child would make the same ids and keys.
    if (pid_t self = ::getpid(); self != owner) {
      owner = self;
      used = sizeof bytes;
    }
    while (!out.empty()) {
      if (used == sizeof bytes) refill();
      size_t part = std::min(out.size(), sizeof bytes - used);
      std::memcpy(out.data(), bytes + used, part);
      // A byte that was handed out is not kept: a later memory disclosure cannot reveal it.
      std::memset(bytes + used, 0, part);
      used += part;
      out = out.subspan(part);
    }
  }

  void refill() {
    size_t have = 0;
    while (have < sizeof bytes) {
      ssize_t got = ::getrandom(bytes + have, sizeof bytes - have, 0);
      if (got < 0 && errno == EINTR) continue;
      GANTRY_CHECK(got > 0);
      have += static_cast<size_t>(got);
    }
    used = 0;
  }
};

}  // namespace

uint64_t Random::below(uint64_t bound) {
  if (bound == 0) return 0;
  // Rejection keeps it uniform.
  const uint64_t limit = ~uint64_t{0} - ~uint64_t{0} % bound;
  for (;;) {
    uint64_t value = 0;
    fill({reinterpret_cast<uint8_t*>(&value), sizeof value});
    if (value < limit) return value % bound;
  }
}

Time SystemClock::now() { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }
SteadyTime SystemClock::steady() { return std::chrono::steady_clock::now(); }

void SystemRandom::fill(std::span<uint8_t> out) {
  thread_local RandomBuffer buffer;
  buffer.take(out);
}

void SeededRandom::fill(std::span<uint8_t> out) {
  constexpr uint64_t step = 0x9e3779b97f4a7c15;
  for (size_t i = 0; i < out.size();) {
    uint64_t z = state_.fetch_add(step) + step;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    for (int k = 0; k < 8 && i < out.size(); ++k, z >>= 8) out[i++] = static_cast<uint8_t>(z);
  }
}

}  // namespace gantry
