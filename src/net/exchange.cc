// The exchange of a connection: reading the body, writing the answer.
#include "net/connection.h"
#include "net/problem.h"

namespace gantry::net {

Result<std::string_view> Connection::read_ready() {
  reader_.accept_ready();
  auto step = reader_.next();
  if (!step.has_value()) return broken(step.error());
  return reader_.piece();
}

Task<Result<std::string_view>> Connection::read_some() {
  auto piece = read_ready();
  if (!piece.has_value() || !piece->empty() || reader_.complete()) return ready(std::move(piece));
  return read_slowly();
}

Task<Result<std::string_view>> Connection::read_slowly() {
  for (;;) {
    auto piece = read_ready();
    if (!piece.has_value() || !piece->empty() || reader_.complete()) co_return piece;
    if (request().expects_continue && !answer_.continued && !answer_.started) {
      answer_.continued = true;
      GANTRY_CO_TRY_VOID(co_await send_continue());
    }
    reader_.ask();
    if (stream_->has_outcome()) continue;
    SteadyTime deadline = after(stream_->local().now(), limits_.body_idle_timeout);
    stream_->set_read_deadline(deadline);
    co_await stream_->wait_read();
    stream_->set_read_deadline(SteadyTime::max());
    if (!stream_->has_outcome() && stream_->local().now() >= deadline) {
      answer_.keep_alive = false;
      co_return fail(ErrorId::GR0605, "no byte of the body came for {}", format_duration(limits_.body_idle_timeout));
    }
  }
}

Task<Result<void>> Connection::send_continue() {
  Gather gather;
  gather.add("HTTP/1.1 100 Continue\r\n\r\n");
  return write(gather);
}

/// What a failed read or write means to a handler: the client has gone, unless the client broke a rule.
std::unexpected<Error> Connection::broken(const Error& cause) {
  answer_.keep_alive = false;
  if (cause.code() != Code::unavailable) return std::unexpected(cause);
  return fail(Code::cancelled, "the client has gone: {}", cause.reason());
}

/// Runs at once; only what the kernel does not take at once needs a coroutine.
Task<Result<void>> Connection::write(Gather gather) {
  // Behind a whole answer only the next one follows: it may go out together with those of other connections.
  const bool whole = answer_.finished && answer_.keep_alive;
  auto done = whole ? stream_->write_soon(gather) : stream_->write_now(gather);
  if (!done.has_value()) {
    auto failed = broken(done.error());
    stream_->abort();
    return ready(Result<void>(failed));
  }
  if (!*done) return write_slowly(gather);
  out_.clear();
  return ready(Result<void>());
}

Task<Result<void>> Connection::write_slowly(Gather gather) {
  auto written = co_await stream_->write(gather, limits_.write_idle_timeout);
  out_.clear();
  if (written.has_value()) co_return written;
  stream_->abort();
  co_return broken(written.error());
}

bool Connection::keeps_alive(Framing framing) const {
  if (!request().keep_alive || shard_.draining || framing.kind == Framing::Kind::until_close) return false;
  if (reader_.complete()) return true;
  // The rest of the body is read and dropped later if it is short. A client that still waits for 100 may never send it.
  if (request().expects_continue && !answer_.continued) return false;
  return reader_.body_remaining().value_or(0) <= limits_.max_drain_bytes;
}

/// The framing that this peer understands and this status allows.
Framing Connection::framing_for_peer(int status, Framing wanted) const {
  using Kind = Framing::Kind;
  if (status / 100 == 1 || status == 204) return Framing::none();
  bool is_head = request().method == "HEAD";
  if (is_head || status == 304) return wanted.kind == Kind::until_close ? Framing::none() : wanted;
  if (wanted.kind == Kind::none) return Framing::length(0);
  bool streams = wanted.kind == Kind::chunked || wanted.kind == Kind::until_close;
  if (streams) return request().version == Version::http_1_1 ? Framing::chunked() : Framing::until_close();
  return wanted;
}

Result<void> Connection::start(int status, std::string_view reason, const OutgoingFields& fields, Framing framing) {
  GANTRY_CHECK(!answer_.started);
  GANTRY_CHECK(status >= 100 && status <= 999);
  GANTRY_TRY_VOID(check_fields(fields.own));
  answer_.started = true;
  answer_.framing = framing_for_peer(status, framing);
  answer_.bodyless = status_forbids_body(status) || request().method == "HEAD";
  answer_.keep_alive = keeps_alive(answer_.framing);
  out_.clear();
  append_status_line(out_, status, reason);
  append_fields(out_, fields);
  if (!fields.own.find("date") && !fields.passed.find("date"))
    append_field(out_, "Date", stream_->local().date(shard_.parts.clock));
  append_framing(out_, answer_.framing);
  if (fields.upgrade == Upgrade::none) {
    if (!answer_.keep_alive)
      append_field(out_, "Connection", "close");
    else if (request().version == Version::http_1_0)
      append_field(out_, "Connection", "keep-alive");
  }
  out_ += "\r\n";
  return {};
}

Result<void> Connection::count(size_t bytes) {
  answer_.sent_bytes += bytes;
  if (answer_.framing.kind != Framing::Kind::length || answer_.sent_bytes <= answer_.framing.bytes) return {};
  abort();
  return fail(Code::internal, "the answer is longer than the {} bytes it announced", answer_.framing.bytes);
}

Task<Result<void>> Connection::send(std::string_view piece) {
  GANTRY_CHECK(answer_.started && !answer_.finished);
  if (answer_.bodyless) piece = {};
  if (auto counted = count(piece.size()); !counted.has_value()) return ready(std::move(counted));
  bool chunk = answer_.framing.kind == Framing::Kind::chunked && !piece.empty();
  if (chunk) append_chunk_header(out_, piece.size());
  Gather gather;
  gather.add(out_);
  gather.add(piece);
  if (chunk) gather.add("\r\n");
  return write(gather);
}

/// Prepares `tail_`; an error if the answer cannot end here.
Result<void> Connection::prepare_end(std::string_view last, Headers trailers) {
  GANTRY_TRY_VOID(count(last.size()));
  tail_.clear();
  if (answer_.bodyless) return {};
  if (answer_.framing.kind == Framing::Kind::length && answer_.sent_bytes != answer_.framing.bytes) {
    abort();
    return fail(Code::internal, "the answer ended after {} of {} bytes", answer_.sent_bytes, answer_.framing.bytes);
  }
  if (answer_.framing.kind != Framing::Kind::chunked) return {};
  GANTRY_TRY_VOID(check_fields(trailers));
  if (!last.empty()) {
    append_chunk_header(out_, last.size());
    tail_ = "\r\n";
  }
  append_last_chunk(tail_, trailers);
  return {};
}

Task<Result<void>> Connection::finish(std::string_view last, Headers trailers) {
  GANTRY_CHECK(answer_.started && !answer_.finished);
  if (answer_.bodyless) last = {};
  if (auto prepared = prepare_end(last, trailers); !prepared.has_value()) return ready(std::move(prepared));
  answer_.finished = true;
  Gather gather;
  gather.add(out_);
  gather.add(last);
  gather.add(tail_);
  return write(gather);
}

ClientWatch::~ClientWatch() {
  if (connection_ != nullptr) connection_->unwatch();
}

const RequestHead& Exchange::request() const { return connection_.request(); }
std::string Exchange::peer() const { return connection_.peer(); }
Executor Exchange::executor() const { return connection_.executor(); }
void Exchange::set_body_limit(uint64_t bytes) { connection_.set_body_limit(bytes); }
Result<std::string_view> Exchange::read_ready() { return connection_.read_ready(); }
Task<Result<std::string_view>> Exchange::read_some() { return connection_.read_some(); }
bool Exchange::body_complete() const { return connection_.body_complete(); }
Headers Exchange::request_trailers() const { return connection_.trailers(); }

Task<Result<std::string>> Exchange::read_all(size_t limit) {
  std::string body;
  connection_.set_body_limit(limit);
  for (;;) {
    GANTRY_CO_TRY(std::string_view piece, co_await connection_.read_some());
    if (piece.empty()) co_return body;
    body.append(piece);
  }
}

Task<Result<void>> Exchange::respond(int status, Headers headers, std::string_view body) {
  auto prepared = start(status, headers, Framing::length(body.size()));
  if (!prepared.has_value()) return ready(std::move(prepared));
  return connection_.finish(body, {});
}

Result<void> Exchange::start(int status, Headers headers, Framing framing) {
  return connection_.start(status, {}, {.own = headers, .direction = Direction::response}, framing);
}

Result<void> Exchange::start_forward(const ResponseHead& head, Headers extra) {
  OutgoingFields fields{.passed = head.headers, .own = extra, .direction = Direction::response};
  if (head.status == 101) fields.upgrade = Upgrade::pass;
  return connection_.start(head.status, head.reason, fields, head.framing);
}

Task<Result<void>> Exchange::send_body(std::string_view piece) { return connection_.send(piece); }
Task<Result<void>> Exchange::flush() { return connection_.send({}); }
Task<Result<void>> Exchange::finish(std::string_view last, Headers trailers) {
  return connection_.finish(last, trailers);
}
bool Exchange::started() const { return connection_.started(); }
bool Exchange::finished() const { return connection_.finished(); }
void Exchange::abort() { connection_.abort(); }
Task<Result<void>> Exchange::tunnel(ClientConnection& upstream, Duration idle) {
  return connection_.tunnel(upstream, idle);
}
bool Exchange::client_gone() const { return connection_.client_gone(); }
ClientWatch Exchange::watch_client(std::function<void()> on_gone) {
  connection_.watch(std::move(on_gone));
  return ClientWatch(&connection_);
}
bool Exchange::draining() const { return connection_.draining(); }

}  // namespace gantry::net
