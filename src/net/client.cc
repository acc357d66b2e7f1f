#include "net/client_state.h"

namespace gantry::net {
namespace {

constexpr int max_informational_heads = 32;

}  // namespace

ClientState::ClientState(StreamRef stream, ClientLimits limits)
    : stream_(std::move(stream)),
      limits_(limits),
      reader_(stream_, {limits.max_header_bytes, limits.max_header_count}) {}

ClientState::~ClientState() {
  stream_->set_listener(nullptr);
  stream_->close();
}

Result<void> ClientState::start(std::string_view method, std::string_view target, const OutgoingFields& fields,
                                Framing framing) {
  GANTRY_TRY_VOID(check_request_line(method, target));
  GANTRY_TRY_VOID(check_fields(fields.own));
  if (framing.kind == Framing::Kind::until_close)
    return fail(Code::invalid, "a request cannot end with its connection");
  if (started_) {
    GANTRY_CHECK(complete());
    reader_.begin();
    reused_ = true;
  }
  if (method == "HEAD") reader_.expect_no_body();
  started_ = true;
  request_finished_ = final_head_ = peer_broke_ = false;
  framing_ = framing;
  sent_bytes_ = 0;
  out_.clear();
  append_request_line(out_, method, target);
  append_fields(out_, fields);
  append_framing(out_, framing);
  out_ += "\r\n";
  return {};
}

/// Remembers whose fault it was.
std::unexpected<Error> ClientState::note(const Error& error) {
  if (error.code() == Code::unavailable && error.id() == ErrorId::none) peer_broke_ = true;
  return std::unexpected(error);
}

/// Runs at once; only what the kernel does not take at once needs a coroutine.
Task<Result<void>> ClientState::write(Gather gather, Ends ends) {
  const bool whole = ends == Ends::yes || (framing_.kind == Framing::Kind::length && sent_bytes_ == framing_.bytes);
  auto done = whole ? stream_->write_soon(gather) : stream_->write_now(gather);
  if (!done.has_value()) return ready(Result<void>(note(done.error())));
  if (!*done) return write_slowly(gather, ends);
  out_.clear();
  request_finished_ = ends == Ends::yes;
  return ready(Result<void>());
}

Task<Result<void>> ClientState::write_slowly(Gather gather, Ends ends) {
  auto written = co_await stream_->write(gather, limits_.write_idle_timeout);
  out_.clear();
  if (!written.has_value()) co_return note(written.error());
  request_finished_ = ends == Ends::yes;
  co_return written;
}

Result<void> ClientState::count(size_t bytes) {
  sent_bytes_ += bytes;
  if (framing_.kind == Framing::Kind::none && sent_bytes_ > 0)
    return fail(Code::internal, "a body for a request that announced none");
  if (framing_.kind != Framing::Kind::length || sent_bytes_ <= framing_.bytes) return {};
  stream_->close();
  return fail(Code::internal, "the request is longer than the {} bytes it announced", framing_.bytes);
}

Task<Result<void>> ClientState::send(std::string_view piece) {
  if (auto counted = count(piece.size()); !counted.has_value()) return ready(std::move(counted));
  bool chunk = framing_.kind == Framing::Kind::chunked && !piece.empty();
  if (chunk) append_chunk_header(out_, piece.size());
  Gather gather;
  gather.add(out_);
  gather.add(piece);
  if (chunk) gather.add("\r\n");
  return write(gather, Ends::no);
}

/// Prepares `tail_`; an error if the request cannot end here.
Result<void> ClientState::prepare_end(std::string_view last, Headers trailers) {
  GANTRY_TRY_VOID(count(last.size()));
  tail_.clear();
  if (framing_.kind == Framing::Kind::length && sent_bytes_ != framing_.bytes) {
    stream_->close();
    return fail(Code::internal, "the request ended after {} of {} bytes", sent_bytes_, framing_.bytes);
  }
  if (framing_.kind != Framing::Kind::chunked) return {};
  GANTRY_TRY_VOID(check_fields(trailers));
  if (!last.empty()) {
    append_chunk_header(out_, last.size());
    tail_ = "\r\n";
  }
  append_last_chunk(tail_, trailers);
  return {};
}

Task<Result<void>> ClientState::finish(std::string_view last, Headers trailers) {
  if (auto prepared = prepare_end(last, trailers); !prepared.has_value()) return ready(std::move(prepared));
  Gather gather;
  gather.add(out_);
  gather.add(last);
  gather.add(tail_);
  return write(gather, Ends::yes);
}

/// Before a wait for bytes; false if there is nothing to wait for.
bool ClientState::begin_wait() {
  reader_.ask();
  if (stream_->has_outcome()) return false;
  stream_->set_read_deadline(after(stream_->local().now(), limits_.read_idle_timeout));
  return true;
}

/// After it; an error if the deadline passed.
Result<void> ClientState::end_wait() {
  stream_->set_read_deadline(SteadyTime::max());
  if (stream_->has_outcome()) return {};
  stream_->close();
  return fail(Code::timeout, "no byte of the answer came for {}", format_duration(limits_.read_idle_timeout));
}

Task<Result<ResponseHead>> ClientState::read_head() {
  for (int skipped = 0; skipped < max_informational_heads;) {
    reader_.accept_ready();
    auto step = reader_.next();
    if (!step.has_value()) co_return note(step.error());
    if (*step == Step::need_bytes) {
      if (!begin_wait()) continue;
      co_await stream_->wait_read();
      GANTRY_CO_TRY_VOID(end_wait());
    } else if (reader_.head().status / 100 == 1 && reader_.head().status != 101) {
      ++skipped;
      reader_.begin();
    } else {
      final_head_ = true;
      co_return reader_.head();
    }
  }
  stream_->close();
  co_return fail(ErrorId::GR0606, "more than {} informational answers", max_informational_heads);
}

Result<std::string_view> ClientState::read_ready() {
  reader_.accept_ready();
  auto step = reader_.next();
  if (!step.has_value()) return note(step.error());
  return reader_.piece();
}

Task<Result<std::string_view>> ClientState::read_some() {
  auto piece = read_ready();
  if (!piece.has_value() || !piece->empty() || reader_.complete()) return ready(std::move(piece));
  return read_slowly();
}

Task<Result<std::string_view>> ClientState::read_slowly() {
  for (;;) {
    auto piece = read_ready();
    if (!piece.has_value() || !piece->empty() || reader_.complete()) co_return piece;
    if (!begin_wait()) continue;
    co_await stream_->wait_read();
    GANTRY_CO_TRY_VOID(end_wait());
  }
}

bool ClientState::reusable() {
  reader_.accept_ready();
  return complete() && request_finished_ && reader_.head().keep_alive && reader_.head().status != 101 &&
         !reader_.has_surplus() && !reader_.ended() && stream_->open();
}

void ClientState::rest(IdleKeeper& keeper, Duration idle) {
  keeper_ = &keeper;
  stream_->set_deadline(SteadyTime::max());
  stream_->set_listener(this);
  stream_->set_read_deadline(after(stream_->local().now(), idle));
}

void ClientState::wake() {
  keeper_ = nullptr;
  stream_->set_listener(nullptr);
  stream_->set_read_deadline(SteadyTime::max());
}

void ClientState::on_stream_event() {
  // Whatever it is (the peer closed, sent what nobody asked for, or was idle for too long): of no use any more.
  if (keeper_ != nullptr) keeper_->drop(*this);
}

ClientConnection::ClientConnection() = default;
ClientConnection::ClientConnection(Socket socket, ClientLimits limits)
    : state_(std::make_unique<ClientState>(StreamRef(&socket.stream()), limits)) {
  socket.release();
}
ClientConnection::ClientConnection(ClientConnection&&) noexcept = default;
ClientConnection& ClientConnection::operator=(ClientConnection&&) noexcept = default;
ClientConnection::~ClientConnection() = default;

Result<void> ClientConnection::start(std::string_view method, std::string_view target, Headers headers,
                                     Framing framing) {
  return state_->start(method, target, {.own = headers}, framing);
}

Result<void> ClientConnection::start_forward(const RequestHead& head, std::string_view target, Headers extra) {
  OutgoingFields fields{.passed = head.headers, .own = extra};
  if (head.wants_upgrade) fields.upgrade = Upgrade::pass;
  return state_->start(head.method, target, fields, head.framing);
}

Task<Result<void>> ClientConnection::send_body(std::string_view piece) { return state_->send(piece); }
Task<Result<void>> ClientConnection::flush() { return state_->send({}); }
Task<Result<void>> ClientConnection::finish(std::string_view last, Headers trailers) {
  return state_->finish(last, trailers);
}
Task<Result<ResponseHead>> ClientConnection::read_head() { return state_->read_head(); }
Task<Result<std::string_view>> ClientConnection::read_some() { return state_->read_some(); }
Result<std::string_view> ClientConnection::read_ready() { return state_->read_ready(); }
bool ClientConnection::complete() const { return state_->complete(); }
Headers ClientConnection::trailers() const { return state_->reader().trailers(); }
bool ClientConnection::reusable() const { return state_->reusable(); }
bool ClientConnection::stale() const { return state_->stale(); }
bool ClientConnection::response_began() const { return state_->response_began(); }
void ClientConnection::set_deadline(SteadyTime at) { state_->stream().set_deadline(at); }
void ClientConnection::count_into(std::shared_ptr<Traffic> traffic) { state_->stream().traffic = std::move(traffic); }
void ClientConnection::close() { state_->stream().close(); }

}  // namespace gantry::net
