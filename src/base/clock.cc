#include "base/clock.h"

#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace gantry {
namespace {

// Bytes of getrandom(2) in portions of a page: one system call for about 250 ids. The page is wiped in the child of a
// fork (MADV_WIPEONFORK), so that parent and child never make the same ids and keys; what counts is in it.
class RandomBuffer {
 public:
  RandomBuffer() : page_(static_cast<Page*>(map_page())) {}
  RandomBuffer(const RandomBuffer&) = delete;
  RandomBuffer& operator=(const RandomBuffer&) = delete;
  ~RandomBuffer() { ::munmap(page_, sizeof(Page)); }

  void take(std::span<uint8_t> out) {
    while (!out.empty()) {
      if (page_->left == 0) refill();
      const size_t part = std::min<size_t>(out.size(), page_->left);
      uint8_t* from = page_->bytes + sizeof page_->bytes - page_->left;
      std::memcpy(out.data(), from, part);
      // A byte that was handed out is not kept: a later memory disclosure cannot reveal it.
      std::memset(from, 0, part);
      page_->left -= part;
      out = out.subspan(part);
    }
  }

 private:
  struct Page {
    uint64_t left;  // bytes that were not handed out; zero in a new page and in a wiped one
    uint8_t bytes[4096 - sizeof(uint64_t)];
  };
  static_assert(sizeof(Page) == 4096);

  static void* map_page() {
    void* page = ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    GANTRY_CHECK(page != MAP_FAILED);
    GANTRY_CHECK(::madvise(page, sizeof(Page), MADV_WIPEONFORK) == 0);
    return page;
  }

  void refill() {
    size_t have = 0;
    while (have < sizeof page_->bytes) {
      ssize_t got = ::getrandom(page_->bytes + have, sizeof page_->bytes - have, 0);
      if (got < 0 && errno == EINTR) continue;
      GANTRY_CHECK(got > 0);
      have += static_cast<size_t>(got);
    }
    page_->left = have;
  }

  Page* const page_;
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
