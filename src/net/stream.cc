#include "net/stream.h"

#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>

#include "net/tls.h"

namespace gantry::net {
namespace {

constexpr size_t joined_record_bytes = 16'000;  // just below the largest TLS record

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

/// The completion of the read in flight: holds the stream, so that it outlives the operation.
struct Stream::ReadHandler {
  StreamRef stream;
  void operator()(const error_code& error, size_t bytes) { stream->on_read(error, bytes); }
};

Stream::Stream(Executor executor, NativeSocket socket) : Timed(IoLocal::of(executor)), socket_(std::move(socket)) {}
Stream::~Stream() = default;

Result<StreamRef> Stream::adopt(Executor executor, int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  // SAFETY: the kernel fills at most `size` bytes; an unconnected socket still tells its family.
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    auto failed = fail_errno("adopt a socket");
    ::close(fd);
    return failed;
  }
  NativeSocket socket(executor);
  error_code error;
  socket.assign(asio::generic::stream_protocol(address.ss_family, 0), fd, error);
  if (error) {
    ::close(fd);
    return fail(Code::unavailable, "adopt a socket: {}", error.message());
  }
  socket.native_non_blocking(true, error);
  if (error) return fail(Code::unavailable, "adopt a socket: {}", error.message());
  return StreamRef(new Stream(executor, std::move(socket)));
}

void Stream::start_read(char* into, size_t size) {
  GANTRY_CHECK(!reading_ && !has_outcome_);
  reading_ = true;
  asio::mutable_buffer buffer(into, size);
  if (tls_ != nullptr)
    tls_->ssl.async_read_some(buffer, ReadHandler{this});
  else
    socket_.async_read_some(buffer, ReadHandler{this});
}

void Stream::on_read(const error_code& error, size_t bytes) {
  reading_ = false;
  has_outcome_ = true;
  outcome_ = {bytes, error == asio::error::eof ? error_code() : error};
  // A TLS peer that cuts the line without a goodbye is not at a clean end: keeps its error.
  if (reader_)
    reader_.resume();
  else if (listener_ != nullptr)
    listener_->on_stream_event();
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
    read_by_ = write_by_ = all_by_ = SteadyTime::max();
    error_code ignored;
    socket_.close(ignored);  // what is in flight ends with operation_aborted
    return;
  }
  read_by_ = SteadyTime::max();
  update_wake();
  if (reader_)
    reader_.resume();
  else if (listener_ != nullptr)
    listener_->on_stream_event();
}

Result<bool> Stream::write_now(Gather& gather) {
  if (tls_ != nullptr) return false;
  while (!gather.empty()) {
    auto parts = gather.parts();
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    // SAFETY: a non-blocking send of memory that the caller keeps alive; no SIGPIPE.
    ssize_t sent = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      gather.advance(static_cast<size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return false;
    } else if (errno != EINTR) {
      return std::unexpected(failure(error_code(errno, boost::system::system_category()), "write"));
    }
  }
  return true;
}

Task<error_code> Stream::wait_writable(Duration idle) {
  write_by_ = after(local_.now(), idle);
  update_wake();
  auto [error] = co_await socket_.async_wait(NativeSocket::wait_write, use_tuple);
  write_by_ = SteadyTime::max();
  update_wake();
  co_return error;
}

Task<Result<void>> Stream::write(Gather gather, Duration idle) {
  StreamRef keep(this);
  if (tls_ != nullptr) co_return co_await write_tls(gather, idle);
  for (;;) {
    GANTRY_CO_TRY(bool done, write_now(gather));
    if (done) co_return Result<void>();
    if (error_code error = co_await wait_writable(idle)) co_return std::unexpected(failure(error, "write"));
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
  error_code ignored;
  socket_.shutdown(NativeSocket::shutdown_send, ignored);
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
  error_code ignored;
  socket_.close(ignored);
  read_by_ = write_by_ = all_by_ = SteadyTime::max();
}

void Stream::abort() {
  error_code ignored;
  // Linger 0 makes close send RST: the peer must not take what it got for a whole message.
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  close();
}

Error Stream::failure(const error_code& error, std::string_view doing) const {
  if (timed_out_) return Error(Code::timeout, fmt::format("{}: no progress in time", doing));
  if (!open()) return Error(Code::cancelled, fmt::format("{}: the connection was closed by this side", doing));
  return Error(Code::unavailable, fmt::format("{}: {}", doing, error.message()));
}

}  // namespace gantry::net
