// What every connection of one I/O thread shares: readiness, the deadline sweep, spare buffers, the Date field. Private
// to net/.
//
// Readiness: plain sockets are watched by an epoll instance of their own, which Asio watches as one descriptor. Asio
// tries each read before it waits; a proxied request would pay for two failing recvs, and for a queued operation each.
// Here a read costs one recv, and Asio one wake for a batch of events.
#pragma once

#include <boost/asio/execution_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "async/async.h"

namespace gantry::net {

/// Bytes that are read into. `size` is how many have arrived.
struct Buffer {
  std::unique_ptr<char[]> data;
  size_t capacity = 0;
  size_t size = 0;
  explicit operator bool() const { return data != nullptr; }
};

inline constexpr size_t small_buffer_bytes = size_t{4} << 10;   // holds a typical head and a small body
inline constexpr size_t large_buffer_bytes = size_t{64} << 10;  // for bodies: fewer system calls for each byte

class IoLocal;
class SendBatch;

/// Something with a deadline. Linked into the list of its thread for all of its life.
class Timed {
 public:
  explicit Timed(IoLocal& local);
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 protected:
  virtual ~Timed();
  /// Called by the sweep at or soon after the deadline. May destroy this and any other Timed of the thread.
  virtual void on_deadline(SteadyTime now) = 0;
  /// SteadyTime::max() for none.
  void set_wake(SteadyTime at);
  IoLocal& local_;

 private:
  friend class IoLocal;
  SteadyTime wake_ = SteadyTime::max();
  Timed* previous_ = nullptr;
  Timed* next_ = nullptr;
};

/// A descriptor in the thread's epoll instance. Counted, so that a batch of events cannot outlive what it names.
class Watched {
 public:
  /// Edge-triggered: `events` as of epoll_wait.
  virtual void on_ready(uint32_t events) = 0;
  virtual void hold() = 0;
  virtual void let_go() = 0;

 protected:
  ~Watched() = default;
};

/// One for each io_context, found through it: no globals. Everything on its thread.
///
/// The sweep: one timer that walks the list at most every `sweep_interval` and otherwise sleeps until the nearest
/// deadline it saw. Moving a deadline later, which every request does, is one store; an earlier one re-arms the timer.
class IoLocal final : public asio::execution_context::service {
 public:
  static inline asio::execution_context::id id;
  static constexpr Duration sweep_interval = std::chrono::milliseconds(50);

  explicit IoLocal(asio::execution_context& context);
  ~IoLocal() override;
  static IoLocal& of(const Executor& executor);

  SteadyTime now() { return clock_.steady(); }
  /// Watches a descriptor for everything, edge-triggered, until `unwatch`.
  Result<void> watch(int fd, Watched& watched);
  void unwatch(int fd);
  SendBatch& sends() { return *sends_; }
  /// A buffer of at least that capacity, size 0.
  Buffer take_buffer(size_t capacity);
  void give_buffer(Buffer buffer);
  /// `Sun, 06 Nov 1994 08:49:37 GMT`, formatted once a second.
  std::string_view date(Clock& clock);

 private:
  friend class Timed;
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

  using Descriptor = asio::posix::basic_stream_descriptor<Executor>;

  void shutdown() override;
  void await_events();
  void dispatch_events();
  void link(Timed& timed);
  void unlink(Timed& timed);
  void wake_by(SteadyTime at);
  void arm(SteadyTime at);
  void sweep();

  SystemClock clock_;
  std::unique_ptr<Descriptor> epoll_;
  std::unique_ptr<SendBatch> sends_;
  size_t watched_ = 0;
  bool awaiting_ = false;
  std::unique_ptr<Timer> timer_;
  Timed* first_ = nullptr;
  Timed* cursor_ = nullptr;  // the next one that the running sweep visits
  SteadyTime next_sweep_ = SteadyTime::max();
  bool sweeping_ = false;
  std::vector<Buffer> small_;
  std::vector<Buffer> large_;
  int64_t date_second_ = -1;
  std::string date_;
};

}  // namespace gantry::net
