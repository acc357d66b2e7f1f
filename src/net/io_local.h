// What every connection of one I/O thread shares: the deadline sweep, spare buffers, the Date field. Private to net/.
#pragma once

#include <boost/asio/execution_context.hpp>
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

/// One for each io_context, found through it: no globals. Everything on its thread.
///
/// The sweep: one timer that walks the list at most every `sweep_interval` and otherwise sleeps until the nearest
/// deadline it saw. Moving a deadline later, which every request does, is one store; an earlier one re-arms the timer.
class IoLocal final : public asio::execution_context::service {
 public:
  static inline asio::execution_context::id id;
  static constexpr Duration sweep_interval = std::chrono::milliseconds(50);

  explicit IoLocal(asio::execution_context& context);
  static IoLocal& of(const Executor& executor);

  SteadyTime now() { return clock_.steady(); }
  /// A buffer of at least that capacity, size 0.
  Buffer take_buffer(size_t capacity);
  void give_buffer(Buffer buffer);
  /// `Sun, 06 Nov 1994 08:49:37 GMT`, formatted once a second.
  std::string_view date(Clock& clock);

 private:
  friend class Timed;
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

  void shutdown() override;
  void link(Timed& timed);
  void unlink(Timed& timed);
  void wake_by(SteadyTime at);
  void arm(SteadyTime at);
  void sweep();

  SystemClock clock_;
  std::unique_ptr<Timer> timer_;
  Timed* first_ = nullptr;
  Timed* cursor_ = nullptr;                     // the next one that the running sweep visits
  SteadyTime next_sweep_ = SteadyTime::max();
  bool sweeping_ = false;
  std::vector<Buffer> small_;
  std::vector<Buffer> large_;
  int64_t date_second_ = -1;
  std::string date_;
};

}  // namespace gantry::net
