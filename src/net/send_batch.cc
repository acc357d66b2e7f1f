#include "net/send_batch.h"

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
namespace gantry::net {
namespace {

constexpr unsigned most_entries = 64;
constexpr size_t most_bytes = size_t{256} << 10;
constexpr int send_flags = MSG_NOSIGNAL | MSG_DONTWAIT;

}  // namespace

// The two rings that the kernel shares with this thread. Every send is non-blocking, so that it has ended when the call
// that hands it in returns: nothing is in flight between two calls.
struct SendBatch::Ring {
  int fd = -1;
  char* memory = nullptr;
  size_t memory_size = 0;
  io_uring_sqe* sqes = nullptr;
  size_t sqes_size = 0;
  unsigned* sq_head = nullptr;
  unsigned* sq_tail = nullptr;
  unsigned* cq_head = nullptr;
  unsigned* cq_tail = nullptr;
  unsigned sq_mask = 0;
  unsigned cq_mask = 0;
  io_uring_cqe* cqes = nullptr;

  static std::unique_ptr<Ring> make() {
    auto ring = std::make_unique<Ring>();
    return ring->open() ? std::move(ring) : nullptr;
  }

  ~Ring() {
    if (memory != nullptr) ::munmap(memory, memory_size);
    if (sqes != nullptr) ::munmap(sqes, sqes_size);
    if (fd >= 0) ::close(fd);
  }

  bool open() {
    io_uring_params params{};
    // SAFETY: the kernel fills the parameters and answers a descriptor that is closed on exec.
    fd = static_cast<int>(::syscall(SYS_io_uring_setup, most_entries, &params));
    if (fd < 0 || (params.features & IORING_FEAT_SINGLE_MMAP) == 0) return false;
    memory_size = std::max<size_t>(params.sq_off.array + params.sq_entries * sizeof(unsigned),
                                   params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe));
    sqes_size = params.sq_entries * sizeof(io_uring_sqe);
    memory = static_cast<char*>(map(memory_size, IORING_OFF_SQ_RING));
    sqes = static_cast<io_uring_sqe*>(map(sqes_size, IORING_OFF_SQES));
    if (memory == nullptr || sqes == nullptr) return false;
    // SAFETY: the offsets are the kernel's, within the mapping.
    auto at = [this](unsigned offset) { return reinterpret_cast<unsigned*>(memory + offset); };
    sq_head = at(params.sq_off.head);
    sq_tail = at(params.sq_off.tail);
    sq_mask = *at(params.sq_off.ring_mask);
    cq_head = at(params.cq_off.head);
    cq_tail = at(params.cq_off.tail);
    cq_mask = *at(params.cq_off.ring_mask);
    cqes = reinterpret_cast<io_uring_cqe*>(memory + params.cq_off.cqes);
    for (unsigned i = 0; i < params.sq_entries; ++i) at(params.sq_off.array)[i] = i;
    return true;
  }

  void* map(size_t size, off_t offset) const {
    // SAFETY: a mapping of our own descriptor; a child of a fork must not have it.
    void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
    if (mapped == MAP_FAILED) return nullptr;
    ::madvise(mapped, size, MADV_DONTFORK);
    return mapped;
  }

  void push(int socket, const char* data, size_t size, size_t index) {
    const unsigned tail = *sq_tail;
    io_uring_sqe& sqe = sqes[tail & sq_mask];
    sqe = {};
    sqe.opcode = IORING_OP_SEND;
    sqe.fd = socket;
    // SAFETY: the kernel takes addresses as numbers.
    sqe.addr = reinterpret_cast<uint64_t>(data);
    sqe.len = static_cast<uint32_t>(size);
    sqe.msg_flags = send_flags;
    sqe.user_data = index;
    std::atomic_ref(*sq_tail).store(tail + 1, std::memory_order_release);
  }

  /// Submits up to `count` and waits for as many ends; how many were taken, or the negative errno.
  long enter(unsigned count) const {
    // SAFETY: what the entries point to lives until their ends were taken.
    const long taken = ::syscall(SYS_io_uring_enter, fd, count, count, IORING_ENTER_GETEVENTS, nullptr, 0);
    return taken < 0 ? -errno : taken;
  }

  template <class Use>
  unsigned take_ends(Use use) {
    unsigned head = *cq_head;
    const unsigned tail = std::atomic_ref(*cq_tail).load(std::memory_order_acquire);
    unsigned count = 0;
    for (; head != tail; ++head, ++count) use(cqes[head & cq_mask]);
    std::atomic_ref(*cq_head).store(head, std::memory_order_release);
    return count;
  }
};

SendBatch::SendBatch() = default;
SendBatch::~SendBatch() { drop(); }

bool SendBatch::add(Stream& stream, const Gather& gather) {
  if (!usable_ || gather.bytes() > longest) return false;
  if (entries_.size() >= most_entries || bytes_.size() + gather.bytes() > most_bytes) flush();
  if (entries_.empty()) asio::post(stream.executor(), [this] { flush(); });
  const size_t offset = bytes_.size();
  for (const iovec& part : gather.parts()) bytes_.append(static_cast<const char*>(part.iov_base), part.iov_len);
  entries_.push_back({.stream = StreamRef(&stream), .offset = offset, .size = bytes_.size() - offset});
  return true;
}

void SendBatch::flush() {
  if (entries_.empty()) return;
  sending_.swap(entries_);
  if (sending_.size() == 1)
    send_one(sending_.front());
  else
    send_all();
  for (Entry& entry : sending_)
    entry.stream->on_sent(entry.result, std::string_view(bytes_).substr(entry.offset, entry.size));
  bytes_.clear();
  sending_.clear();  // may close streams, which have nothing here any more
}

void SendBatch::drop() {
  for (Entry& entry : entries_) entry.stream->forget_sends();
  entries_.clear();
  bytes_.clear();
}

void SendBatch::send_one(Entry& entry) {
  do {
    // SAFETY: a non-blocking send of our own copy; no SIGPIPE.
    entry.result = ::send(entry.stream->fd(), bytes_.data() + entry.offset, entry.size, send_flags);
  } while (entry.result < 0 && errno == EINTR);
  if (entry.result < 0) entry.result = -errno;
}

void SendBatch::send_all() {
  if (ring_ == nullptr && usable_) {
    ring_ = Ring::make();
    usable_ = ring_ != nullptr;
  }
  constexpr ssize_t not_sent = -ECANCELED;
  for (Entry& entry : sending_) entry.result = not_sent;
  if (ring_ != nullptr) {
    for (size_t i = 0; i < sending_.size(); ++i)
      ring_->push(sending_[i].stream->fd(), bytes_.data() + sending_[i].offset, sending_[i].size, i);
    auto left = static_cast<unsigned>(sending_.size());
    while (left > 0) {
      const long taken = ring_->enter(left);
      left -= ring_->take_ends([this](const io_uring_cqe& end) { sending_[end.user_data].result = end.res; });
      if (taken < 0 && taken != -EINTR) break;
    }
    if (left > 0) {
      // A kernel that takes no more: what it took has ended, the rest goes out the other way, and so does all that
      // comes.
      ring_.reset();
      usable_ = false;
    }
  }
  for (Entry& entry : sending_)
    if (entry.result == not_sent || entry.result == -EINTR) send_one(entry);
}

}  // namespace gantry::net
