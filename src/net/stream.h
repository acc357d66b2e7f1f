// The byte stream under every connection. Private to net/.
//
// At most one read is in flight, and it outlives the wish to wait for it: a connection that waits for something else
// learns through it that its peer has gone, and one that waits for the next message has already asked for it. Writes
// go straight to the kernel and wait only when it takes no more.
#pragma once

#include <sys/uio.h>

#include <array>
#include <boost/asio/deferred.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <new>
#include <string>
#include <string_view>

#include "net/io_local.h"
#include "net/socket.h"
#include "net/traffic.h"

namespace gantry::net {

using AnyAddress = asio::generic::stream_protocol::endpoint;
using boost::system::error_code;

struct TlsLayer;  // tls.h

/// Up to four pieces for one gather write; shrinks from the front as bytes leave.
class Gather {
 public:
  Gather() = default;
  void add(std::string_view piece);
  void advance(size_t bytes);
  bool empty() const { return first_ == count_; }
  size_t bytes() const;
  std::span<iovec> parts() { return {parts_.data() + first_, count_ - first_}; }
  std::span<const iovec> parts() const { return {parts_.data() + first_, count_ - first_}; }

 private:
  std::array<iovec, 4> parts_;
  size_t first_ = 0;
  size_t count_ = 0;
};

/// One coroutine that is parked until `resume`; no allocation.
class ParkedCoroutine {
 public:
  ParkedCoroutine() = default;
  ParkedCoroutine(const ParkedCoroutine&) = delete;
  ParkedCoroutine& operator=(const ParkedCoroutine&) = delete;
  ~ParkedCoroutine() {
    if (invoke_ != nullptr) invoke_(storage_, Action::drop);
  }
  explicit operator bool() const { return invoke_ != nullptr; }
  /// The coroutine goes on inside this call.
  void resume() {
    if (auto invoke = std::exchange(invoke_, nullptr)) invoke(storage_, Action::resume);
  }
  template <class Handler>
  void park(Handler handler) {
    static_assert(sizeof(Handler) <= sizeof storage_ && alignof(Handler) <= alignof(void*));
    GANTRY_CHECK(invoke_ == nullptr);
    // SAFETY: the storage is empty, large enough and aligned (checked above).
    new (storage_) Handler(std::move(handler));
    invoke_ = [](void* storage, Action action) {
      auto* stored = std::launder(static_cast<Handler*>(storage));
      Handler mine = std::move(*stored);
      stored->~Handler();
      if (action == Action::resume) std::move(mine)();
    };
  }

 private:
  enum class Action { resume, drop };
  alignas(void*) std::byte storage_[32];
  void (*invoke_)(void*, Action) = nullptr;
};

/// Completes when `parked` is resumed: `co_await until_resumed(parked)`.
inline auto until_resumed(ParkedCoroutine& parked) {
  return asio::async_initiate<const asio::deferred_t, void()>(
      [&parked](auto handler) { parked.park(std::move(handler)); }, asio::deferred);
}

/// Hears what happens on a stream while no coroutine waits for it. May drop its reference to the stream.
class StreamListener {
 public:
  /// The read in flight has ended, or the read deadline has passed.
  virtual void on_stream_event() = 0;

 protected:
  ~StreamListener() = default;
};

class Stream final : private Timed, private Watched {
 public:
  /// How the read in flight ended. `bytes` 0 and no error: the peer's clean end.
  struct ReadOutcome {
    size_t bytes = 0;
    error_code error;
  };

  Stream(Executor executor, int fd);
  ~Stream();
  /// Takes over a connected socket, also when it fails.
  static Result<boost::intrusive_ptr<Stream>> adopt(Executor executor, int fd);
  /// Takes over an unconnected one and connects it.
  static Task<Result<boost::intrusive_ptr<Stream>>> connect(int fd, AnyAddress address, SteadyTime deadline);
  Executor executor() const { return executor_; }
  int fd() const { return fd_; }
  IoLocal& local() { return local_; }

  // Reading.
  void start_read(char* into, size_t size);
  bool reading() const { return reading_; }
  /// A read has ended and was not taken yet.
  bool has_outcome() const { return has_outcome_; }
  ReadOutcome take_outcome();
  /// Sets how long the next waits may take; `wait_read` resumes without an outcome when it passed.
  void set_read_deadline(SteadyTime at);
  /// Only while a read is in flight.
  auto wait_read() { return until_resumed(reader_); }
  /// Resumes the coroutine in `wait_read`, if any, without an outcome.
  void interrupt() { reader_.resume(); }
  void set_listener(StreamListener* listener) { listener_ = listener; }
  /// Keeps memory alive that a read in flight may still touch (TLS decrypts after a close).
  void keep(Buffer buffer) { kept_ = std::move(buffer); }

  // Writing.
  /// Gives the kernel what it takes; true if that was all. TLS: always false.
  Result<bool> write_now(Gather& gather);
  /// The same for a whole message behind which the connection is kept: it may wait for others of this thread to go out
  /// with (send_batch.h). What the kernel then does not take leaves when it can; an error shows in the next write.
  Result<bool> write_soon(Gather& gather);
  /// Writes the rest; fails with `timeout` if no byte leaves for `idle`. What is gathered must live until it ends.
  Task<Result<void>> write(Gather gather, Duration idle);

  /// When everything fails with `timeout`.
  void set_deadline(SteadyTime at);
  void shutdown_send();
  /// TLS says goodbye first, within `patience`.
  Task<void> close_cleanly(Duration patience);
  void close();
  void abort();
  bool open() const { return fd_ >= 0; }

  Task<Result<void>> handshake_server(std::shared_ptr<TlsServer> tls, SteadyTime deadline);
  Task<Result<void>> handshake_client(std::shared_ptr<TlsClient> tls, std::string host, SteadyTime deadline);

  /// The error that an Asio error means here: timeout, cancelled or unavailable.
  Error failure(const error_code& error, std::string_view doing) const;

  /// The kernel took so many of these bytes, or answered a negative errno.
  void on_sent(ssize_t result, std::string_view bytes);
  void forget_sends() { in_batch_ = false; }

  std::shared_ptr<Traffic> traffic;      // set: counted
  Duration read_idle = Duration::max();  // Socket's settings
  Duration write_idle = Duration::max();

 private:
  friend void intrusive_ptr_add_ref(Stream* stream) { ++stream->references_; }
  friend void intrusive_ptr_release(Stream* stream) {
    if (--stream->references_ == 0) delete stream;
  }
  struct ReadHandler;

  void hold() override { intrusive_ptr_add_ref(this); }
  void let_go() override { intrusive_ptr_release(this); }
  void on_ready(uint32_t events) override;
  void on_deadline(SteadyTime now) override;
  Result<void> watch();
  void unwatch();
  bool try_read();
  void deliver();
  void on_tls_read(const error_code& error, size_t bytes);
  void wake_later();
  void update_wake();
  Task<Result<void>> write_tls(Gather gather, Duration idle);
  Task<error_code> wait_writable(SteadyTime deadline);
  void use_tls(std::unique_ptr<TlsLayer> tls);
  Result<bool> send_left();
  void reset_on_close();
  Result<bool> send_gathered(Gather& gather);

  uint32_t references_ = 0;  // one thread: no atomics
  int fd_ = -1;
  int inline_reads_ = 0;  // how many reads may still complete before other streams get their turn
  bool watching_ = false;
  bool readable_ = false;  // the kernel may have bytes
  bool ending_ = false;    // the peer has ended or broken it: a short read is not the last
  bool reading_ = false;
  bool has_outcome_ = false;
  bool timed_out_ = false;
  bool in_batch_ = false;  // something waits in the thread's SendBatch
  int send_error_ = 0;     // of what went out in a batch
  std::string left_;       // what of it the kernel did not take yet
  ReadOutcome outcome_;
  std::span<char> target_;
  ParkedCoroutine reader_;
  ParkedCoroutine writer_;
  StreamListener* listener_ = nullptr;
  SteadyTime read_by_ = SteadyTime::max();
  SteadyTime write_by_ = SteadyTime::max();
  SteadyTime all_by_ = SteadyTime::max();
  Executor executor_;
  std::unique_ptr<TlsLayer> tls_;
  Buffer kept_;
};

using StreamRef = boost::intrusive_ptr<Stream>;

/// A task that has its value already. Calls that usually end at once run as plain functions and return this: its frame
/// is small enough to be recycled, which those of the full coroutines are not.
template <class T>
Task<T> ready(T value) {
  co_return value;
}

/// `now + idle` that does not overflow for Duration::max().
inline SteadyTime after(SteadyTime now, Duration idle) {
  return idle >= SteadyTime::max() - now ? SteadyTime::max() : now + idle;
}

}  // namespace gantry::net
