#include "net/connection.h"

#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>

#include "net/problem.h"

namespace gantry::net {

Connection::Connection(StreamRef stream, Shard& shard)
    : shard_(shard),
      limits_(shard.options.limits),
      stream_(std::move(stream)),
      reader_(stream_, {limits_.max_header_bytes, limits_.max_header_count}) {
  stream_->set_listener(this);
  next_ = shard_.first;
  if (next_ != nullptr) next_->previous_ = this;
  shard_.first = this;
}

Connection::~Connection() {
  stream_->set_listener(nullptr);
  stream_->close();
  if (previous_ != nullptr) previous_->next_ = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
  if (shard_.first == this) shard_.first = next_;
}

void Shard::drain() {
  draining = true;
  for (Connection* each = first; each != nullptr;) {
    // Resuming may end and unlink `each`, but no other connection.
    Connection* next = each->next_;
    if (each->reader_.idle()) each->stream_->interrupt();
    each = next;
  }
}

void Shard::abort_all() {
  for (Connection* each = first; each != nullptr;) {
    Connection* next = each->next_;
    each->kill();
    each = next;
  }
}

Task<void> Connection::serve() {
  if (shard_.options.tls != nullptr) {
    SteadyTime deadline = after(stream_->local().now(), limits_.header_timeout);
    auto shaken = co_await stream_->handshake_server(shard_.options.tls, deadline);
    if (!shaken.has_value()) co_return;
  }
  while (co_await read_request()) {
    co_await shard_.parts.handler.handle(exchange_);
    on_gone_ = nullptr;
    bool settled = answer_.finished && answer_.keep_alive && reader_.complete() && stream_->open();
    if (!settled && !co_await settle()) co_return;
    reader_.begin();
  }
}

/// False if the connection ends instead.
Task<bool> Connection::read_request() {
  answer_ = {};
  SteadyTime idle_until = after(stream_->local().now(), limits_.keep_alive_timeout);
  SteadyTime head_until = SteadyTime::max();
  for (;;) {
    reader_.accept_ready();
    auto step = reader_.next();
    if (!step.has_value()) {
      // A peer that left between two requests, or in the middle of a head, gets no answer.
      if (!reader_.ended()) co_await refuse(step.error());
      co_return false;
    }
    if (*step == Step::head) {
      reader_.set_body_limit(limits_.max_body_bytes);
      co_return true;
    }
    bool idle = reader_.idle();
    if (idle && shard_.draining) co_return false;
    SteadyTime deadline = idle_until;
    if (!idle) {
      if (head_until == SteadyTime::max()) head_until = after(stream_->local().now(), limits_.header_timeout);
      deadline = head_until;
    }
    reader_.ask();
    if (stream_->has_outcome()) continue;
    stream_->set_read_deadline(deadline);
    co_await stream_->wait_read();
    stream_->set_read_deadline(SteadyTime::max());
    if (stream_->has_outcome() || stream_->local().now() < deadline) continue;
    if (!idle) co_await refuse(Error(ErrorId::GR0605, "the head of the request did not arrive in time"));
    co_return false;
  }
}

/// Makes the connection ready for the next request; false if it ends instead.
Task<bool> Connection::settle() {
  if (!answer_.started) {
    Error error(Code::internal, "the request was not answered");
    auto sent = co_await respond_error(exchange_, error);
    if (!sent.has_value()) co_return false;
  }
  if (!answer_.finished) {
    stream_->abort();
    co_return false;
  }
  if (!stream_->open()) co_return false;
  if (answer_.keep_alive && co_await drain_body()) co_return true;
  co_await linger();
  co_return false;
}

/// Reads and drops what the handler left unread of the body; false if that is too much or comes too slowly.
Task<bool> Connection::drain_body() {
  reader_.set_body_limit(UINT64_MAX);
  uint64_t dropped = 0;
  while (!reader_.complete()) {
    reader_.accept_ready();
    auto step = reader_.next();
    if (!step.has_value()) co_return false;
    if (*step == Step::piece) dropped += reader_.piece().size();
    if (dropped > limits_.max_drain_bytes) co_return false;
    if (*step != Step::need_bytes) continue;
    reader_.ask();
    if (stream_->has_outcome()) continue;
    stream_->set_read_deadline(after(stream_->local().now(), limits_.linger_timeout));
    co_await stream_->wait_read();
    stream_->set_read_deadline(SteadyTime::max());
    if (!stream_->has_outcome()) co_return false;
  }
  co_return true;
}

/// Answers what never became an exchange.
Task<void> Connection::refuse(Error error) {
  std::string body = problem_json(error);
  out_.clear();
  append_status_line(out_, status_of(error), {});
  append_field(out_, "Content-Type", "application/problem+json");
  append_field(out_, "Date", stream_->local().date(shard_.parts.clock));
  append_framing(out_, Framing::length(body.size()));
  append_field(out_, "Connection", "close");
  out_ += "\r\n";
  Gather gather;
  gather.add(out_);
  gather.add(body);
  auto sent = co_await stream_->write(gather, limits_.linger_timeout);
  if (sent.has_value()) co_await linger();
}

Task<void> Connection::refuse_as_surplus() {
  return refuse(Error(ErrorId::GR0609, fmt::format("more than {} connections are open", limits_.max_connections)));
}

/// Closes so that the peer surely gets the answer: a close with unread bytes would reset the connection (RFC 9112 9.6).
Task<void> Connection::linger() {
  SteadyTime deadline = after(stream_->local().now(), limits_.linger_timeout);
  if (shard_.options.tls != nullptr) {
    co_await stream_->close_cleanly(limits_.linger_timeout);
    co_return;
  }
  stream_->shutdown_send();
  bool is_quiet = reader_.complete();
  if (is_quiet) co_return;  // nothing unread: a plain close is clean
  reader_.discard();
  while (!reader_.ended()) {
    auto step = reader_.next();
    if (!step.has_value()) co_return;
    reader_.ask();
    if (!stream_->has_outcome()) {
      stream_->set_read_deadline(deadline);
      co_await stream_->wait_read();
    }
    if (!stream_->has_outcome() || stream_->local().now() >= deadline) co_return;
    reader_.accept();
  }
}

std::string Connection::peer() const {
  asio::ip::tcp::endpoint ip;
  auto size = static_cast<socklen_t>(ip.capacity());
  // SAFETY: the kernel fills at most `size` bytes.
  if (::getpeername(stream_->fd(), reinterpret_cast<sockaddr*>(ip.data()), &size) != 0) return "";
  if (ip.data()->sa_family != AF_INET && ip.data()->sa_family != AF_INET6) return "unix";
  ip.resize(size);
  return Endpoint{ip.address().to_string(), ip.port()}.to_string();
}

bool Connection::client_gone() {
  reader_.accept_ready();
  return reader_.ended() || !stream_->open();
}

void Connection::watch(std::function<void()> on_gone) {
  GANTRY_CHECK(!on_gone_);
  on_gone_ = std::move(on_gone);
  if (client_gone()) tell_gone();
}

void Connection::tell_gone() {
  if (auto call = std::exchange(on_gone_, nullptr)) call();
}

void Connection::on_stream_event() {
  reader_.accept_ready();
  if (reader_.ended())
    tell_gone();
  else if (reader_.complete())
    reader_.ask();  // pipelined bytes: go on listening while there is room
}

void Connection::abort() {
  stream_->abort();
  answer_.keep_alive = false;
}

void Connection::kill() {
  stream_->abort();
  tell_gone();
}

}  // namespace gantry::net
