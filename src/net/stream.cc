#include "net/stream.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>

#include "net/send_batch.h"
#include "net/tls.h"

namespace gantry::net {
namespace {

constexpr size_t joined_record_bytes = 16'000;  // just below the largest TLS record
constexpr int max_inline_reads = 16;
constexpr Duration left_patience = std::chrono::seconds(30);  // for the rest of a message that went out in a batch

error_code system_error(int number) { return {number, boost::system::system_category()}; }

}  // namespace

void Gather::add(std::string_view piece) {
  if (piece.empty()) return;
  GANTRY_CHECK(count_ < parts_.size());
  // SAFETY: iovec has no const form; sendmsg only reads.
  parts_[count_++] = {const_cast<char*>(piece.data()), piece.size()};
}

void Gather::advance(size_t bytes) {
  while (bytes > 0) {
    iovec& part = parts_[first_];
    if (bytes < part.iov_len) {
      part.iov_base = static_cast<char*>(part.iov_base) + bytes;
      part.iov_len -= bytes;
      return;
    }
    bytes -= part.iov_len;
    ++first_;
  }
}

size_t Gather::bytes() const {
  size_t sum = 0;
  for (size_t i = first_; i < count_; ++i) sum += parts_[i].iov_len;
  return sum;
}

/// The completion of a TLS read: holds the stream, so that it outlives the operation.
struct Stream::ReadHandler {
  StreamRef stream;
  void operator()(const error_code& error, size_t bytes) { stream->on_tls_read(error, bytes); }
};

Stream::Stream(Executor executor, int fd) : Timed(IoLocal::of(executor)), fd_(fd), executor_(executor) {}

Stream::~Stream() {
  reading_ = false;  // nobody is left to be told
  close();
}

Result<void> Stream::watch() {
  GANTRY_TRY_VOID(local_.watch(fd_, *this));
  watching_ = true;
  return {};
}

void Stream::unwatch() {
  if (std::exchange(watching_, false)) local_.unwatch(fd_);
}

Result<StreamRef> Stream::adopt(Executor executor, int fd) {
  StreamRef stream(new Stream(executor, fd));
  // SAFETY: flags of a descriptor that we own now.
  if (::fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return fail_errno("adopt a socket");
  GANTRY_TRY_VOID(stream->watch());
  return stream;
}

Task<Result<StreamRef>> Stream::connect(int fd, AnyAddress address, SteadyTime deadline) {
  StreamRef stream(new Stream(co_await asio::this_coro::executor, fd));
  // SAFETY: a complete address of that size, on a non-blocking descriptor that we own now.
  bool failed = ::fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
                ::connect(fd, address.data(), static_cast<socklen_t>(address.size())) != 0;
  if (failed && errno != EINPROGRESS) co_return fail_errno("connect");
  // Watched only now: epoll calls a socket that does not even try to connect hung up.
  GANTRY_CO_TRY_VOID(stream->watch());
  if (!failed) co_return stream;
  if (error_code error = co_await stream->wait_writable(deadline))
    co_return std::unexpected(stream->failure(error, "connect"));
  int number = 0;
  socklen_t size = sizeof number;
  // SAFETY: the option is an int.
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0) co_return fail_errno("connect");
  if (number != 0) co_return std::unexpected(errno_error(number, "connect"));
  co_return stream;
}

void Stream::use_tls(std::unique_ptr<TlsLayer> tls) {
  unwatch();
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  // SAFETY: the kernel fills at most `size` bytes.
  ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
  error_code ignored;
  tls->socket.assign(asio::generic::stream_protocol(address.ss_family, 0), fd_, ignored);
  tls_ = std::move(tls);
}

void Stream::start_read(char* into, size_t size) {
  GANTRY_CHECK(!reading_ && !has_outcome_);
  reading_ = true;
  if (tls_ != nullptr) {
    tls_->ssl.async_read_some(asio::mutable_buffer(into, size), ReadHandler{this});
    return;
  }
  target_ = {into, size};
  if (!open() || (readable_ && inline_reads_ == 0)) {
    wake_later();
  } else if (readable_) {
    --inline_reads_;
    try_read();
  }
}

/// True if the read in flight has ended.
bool Stream::try_read() {
  ssize_t got;
  do {
    // SAFETY: the target is memory of the reader that started the read, and is kept until it ends.
    got = ::recv(fd_, target_.data(), target_.size(), MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    readable_ = false;
    return false;
  }
  // A short read has emptied the kernel's buffer: the next bytes come with a new edge.
  if (traffic != nullptr && got > 0) traffic->received.fetch_add(static_cast<uint64_t>(got), std::memory_order_relaxed);
  readable_ = ending_ || static_cast<size_t>(std::max<ssize_t>(got, 0)) == target_.size();
  outcome_ = got < 0 ? ReadOutcome{0, system_error(errno)} : ReadOutcome{static_cast<size_t>(got), {}};
  reading_ = false;
  has_outcome_ = true;
  return true;
}

void Stream::deliver() {
  if (reader_)
    reader_.resume();
  else if (listener_ != nullptr)
    listener_->on_stream_event();
}

/// The caller holds a reference.
void Stream::on_ready(uint32_t events) {
  inline_reads_ = max_inline_reads;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) readable_ = true;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) ending_ = true;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
    if (!left_.empty() && open()) std::ignore = send_left();
    writer_.resume();
  }
  if (!reading_ || tls_ != nullptr) return;
  if (!open()) {
    reading_ = false;
    has_outcome_ = true;
    outcome_ = {0, asio::error::operation_aborted};
    deliver();
  } else if (readable_ && try_read()) {
    deliver();
  }
}

/// Goes on from the loop of the thread: never inside the call that closed the stream or started the read.
void Stream::wake_later() {
  asio::post(executor_, [stream = StreamRef(this)] { stream->on_ready(stream->open() ? 0 : EPOLLOUT); });
}

void Stream::on_tls_read(const error_code& error, size_t bytes) {
  reading_ = false;
  has_outcome_ = true;
  // A TLS peer that cuts the line without a goodbye is not at a clean end: that keeps its error.
  outcome_ = {bytes, error == asio::error::eof ? error_code() : error};
  deliver();
}

Stream::ReadOutcome Stream::take_outcome() {
  GANTRY_CHECK(has_outcome_);
  has_outcome_ = false;
  return outcome_;
}

void Stream::set_read_deadline(SteadyTime at) {
  read_by_ = at;
  update_wake();
}

void Stream::set_deadline(SteadyTime at) {
  all_by_ = at;
  update_wake();
}

void Stream::update_wake() { set_wake(std::min({read_by_, write_by_, all_by_})); }

void Stream::on_deadline(SteadyTime now) {
  StreamRef keep(this);
  if (now >= all_by_ || now >= write_by_) {
    timed_out_ = true;
    close();
    return;
  }
  read_by_ = SteadyTime::max();
  update_wake();
  deliver();
}

Result<bool> Stream::write_now(Gather& gather) {
  if (tls_ != nullptr) return false;
  if (gather.empty()) return true;
  if (in_batch_) local_.sends().flush();
  if (send_error_ != 0) return std::unexpected(failure(system_error(send_error_), "write"));
  if (!left_.empty()) {
    GANTRY_TRY(bool done, send_left());
    if (!done) return false;
  }
  return send_gathered(gather);
}

Result<bool> Stream::write_soon(Gather& gather) {
  const bool quiet = !in_batch_ && left_.empty() && send_error_ == 0;
  if (tls_ != nullptr || gather.empty() || !open() || !quiet) return write_now(gather);
  in_batch_ = local_.sends().add(*this, gather);
  return in_batch_ ? Result<bool>(true) : send_gathered(gather);
}

void Stream::on_sent(ssize_t result, std::string_view bytes) {
  in_batch_ = false;
  if (result >= 0) {
    if (traffic != nullptr) traffic->sent.fetch_add(static_cast<uint64_t>(result), std::memory_order_relaxed);
    bytes.remove_prefix(static_cast<size_t>(result));
  } else if (result != -EAGAIN) {
    send_error_ = static_cast<int>(-result);
    return;
  }
  if (bytes.empty()) return;
  left_ = bytes;
  write_by_ = after(local_.now(), left_patience);
  update_wake();
}

/// True if nothing is left.
Result<bool> Stream::send_left() {
  Gather gather;
  gather.add(left_);
  auto done = send_gathered(gather);
  if (!done) send_error_ = EPIPE;
  const size_t sent = left_.size() - gather.bytes();
  left_ = done && *done ? std::string() : left_.substr(sent);
  write_by_ = left_.empty() ? SteadyTime::max() : sent > 0 ? after(local_.now(), left_patience) : write_by_;
  update_wake();
  return done;
}

Result<bool> Stream::send_gathered(Gather& gather) {
  while (!gather.empty()) {
    auto parts = gather.parts();
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    // SAFETY: a non-blocking send of memory that the caller keeps alive; no SIGPIPE.
    ssize_t sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      if (traffic != nullptr) traffic->sent.fetch_add(static_cast<uint64_t>(sent), std::memory_order_relaxed);
      gather.advance(static_cast<size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return false;
    } else if (errno != EINTR) {
      return std::unexpected(failure(system_error(errno), "write"));
    }
  }
  return true;
}

Task<error_code> Stream::wait_writable(SteadyTime deadline) {
  write_by_ = deadline;
  update_wake();
  co_await until_resumed(writer_);
  write_by_ = SteadyTime::max();
  update_wake();
  co_return open() ? error_code() : error_code(asio::error::operation_aborted);
}

Task<Result<void>> Stream::write(Gather gather, Duration idle) {
  StreamRef keep(this);
  if (tls_ != nullptr) co_return co_await write_tls(gather, idle);
  for (;;) {
    GANTRY_CO_TRY(bool done, write_now(gather));
    if (done) co_return Result<void>();
    if (error_code error = co_await wait_writable(after(local_.now(), idle)))
      co_return std::unexpected(failure(error, "write"));
  }
}

Task<Result<void>> Stream::write_tls(Gather gather, Duration idle) {
  while (!gather.empty()) {
    asio::const_buffer piece(gather.parts()[0].iov_base, gather.parts()[0].iov_len);
    if (gather.parts().size() > 1 && gather.bytes() <= joined_record_bytes) {
      tls_->joined.clear();
      for (const iovec& part : gather.parts())
        tls_->joined.append(static_cast<const char*>(part.iov_base), part.iov_len);
      piece = asio::buffer(tls_->joined);
    }
    write_by_ = after(local_.now(), idle);
    update_wake();
    auto [error, sent] = co_await tls_->ssl.async_write_some(piece, use_tuple);
    write_by_ = SteadyTime::max();
    update_wake();
    if (error) co_return std::unexpected(failure(error, "write"));
    gather.advance(sent);
  }
  co_return Result<void>();
}

void Stream::shutdown_send() {
  if (in_batch_) local_.sends().flush();
  if (!left_.empty()) return;  // there is no clean end behind a part: `close` resets
  // SAFETY: our own descriptor; a failure means that the peer was faster.
  ::shutdown(fd_, SHUT_WR);
}

Task<void> Stream::close_cleanly(Duration patience) {
  StreamRef keep(this);
  if (tls_ != nullptr && open()) {
    set_deadline(after(local_.now(), patience));
    co_await tls_->ssl.async_shutdown(use_tuple);
  }
  close();
}

void Stream::close() {
  if (!open()) return;
  if (in_batch_) local_.sends().flush();
  if (!left_.empty()) reset_on_close();
  read_by_ = write_by_ = all_by_ = SteadyTime::max();
  if (tls_ != nullptr) {
    error_code ignored;
    tls_->socket.close(ignored);  // what is in flight ends with operation_aborted
  } else {
    unwatch();
    ::close(fd_);
    if (reading_ || writer_) wake_later();
  }
  fd_ = -1;
}

void Stream::abort() {
  if (!open()) return;
  reset_on_close();
  close();
}

/// The peer must not take what it got for a whole message.
void Stream::reset_on_close() {
  left_.clear();
  // SAFETY: linger 0 makes close send RST.
  linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

Error Stream::failure(const error_code& error, std::string_view doing) const {
  if (timed_out_) return Error(Code::timeout, fmt::format("{}: no progress in time", doing));
  if (!open()) return Error(Code::cancelled, fmt::format("{}: the connection was closed by this side", doing));
  return Error(Code::unavailable, fmt::format("{}: {}", doing, error.message()));
}

}  // namespace gantry::net
