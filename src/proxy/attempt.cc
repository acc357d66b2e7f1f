#include "proxy/attempt.h"

#include <algorithm>

namespace gantry::proxy {

std::vector<net::Header> passable(net::Headers headers, net::Direction direction, Call::Authorization authorization) {
  std::vector<net::Header> kept;
  kept.reserve(headers.size() + 1);
  bool connection_names = headers.find("connection").has_value();
  for (const net::Header& header : headers) {
    if (net::is_hop_by_hop(header.name) || equals_ignoring_case(header.name, "content-length")) continue;
    if (connection_names && headers.has_token("connection", header.name)) continue;
    if (direction == net::Direction::request &&
        (net::is_gantry_header(header.name) || equals_ignoring_case(header.name, "expect")))
      continue;
    if (authorization == Call::Authorization::of_gantry && equals_ignoring_case(header.name, "authorization")) continue;
    kept.push_back(header);
  }
  return kept;
}

AttemptRules rules_of(const core::AgentSpec& spec, const core::Retry& policy, Time deadline) {
  return {.silence = spec.timeout,
          .whole = policy.timeout,
          .deadline = deadline,
          .retry_on = policy.on,
          .inline_limit = spec.persistence.response_limit};
}

Attempt::Attempt(AttemptParts parts, agents::Target& target, AttemptRules rules, net::Exchange* client)
    : parts_(parts),
      target_(target),
      key_(target.instance().to_string()),
      rules_(std::move(rules)),
      ends_at_(SteadyTime::max()),
      client_(client),
      spool_(parts.parts.requests, parts.parts.blocking, parts.scope,
             {.keep = parts.options.answer_record_limit, .inline_limit = rules_.inline_limit}) {
  parts_.attempts->add(*this);
  interrupted_ = parts_.attempts->interrupted();
}

void Attempts::interrupt_all() {
  interrupted_ = true;
  for (Attempt* attempt : all_) attempt->interrupt();
}

void Attempts::cancel(const RequestId& id) {
  for (Attempt* attempt : all_)
    if (attempt->id() == id) attempt->cancel();
}

void Attempt::cancel() {
  cancelled_ = true;
  interrupt();
}

void Attempt::interrupt() {
  if (answered_) return;
  interrupted_ = true;
  if (connection_) connection_.close();
}

Task<bool> Attempt::run(Outgoing outgoing) {
  id_ = outgoing.id;
  id_text_ = outgoing.id.to_string();
  record_.number = outgoing.number;
  const SteadyTime now = parts_.parts.clock.steady();
  if (rules_.whole != Duration{}) ends_at_ = now + rules_.whole;
  if (rules_.deadline != Time{}) ends_at_ = std::min(ends_at_, now + (rules_.deadline - parts_.parts.clock.now()));
  connection_ = parts_.pool.take(key_);
  fresh_ = !connection_;
  bool answered = co_await exchange_once(outgoing);
  // The instance had closed an idle connection in the moment that we used it: nothing of this request was answered.
  if (!answered && !fresh_ && connection_ && connection_.stale() && target_.alive()) {
    connection_ = net::ClientConnection();
    fresh_ = true;
    answered = co_await exchange_once(outgoing);
  }
  co_return answered;
}

Task<Result<net::ClientConnection>> open_connection(agents::Target& target, Duration timeout) {
  GANTRY_CO_TRY(os::Fd fd, co_await target.dial());
  Executor executor = co_await asio::this_coro::executor;
  GANTRY_CO_TRY(net::Socket socket, net::Socket::adopt(executor, fd.release()));
  net::ClientConnection connection(std::move(socket), {.read_idle_timeout = timeout});
  connection.count_into(target.traffic());
  co_return connection;
}

Task<bool> Attempt::exchange_once(Outgoing outgoing) {
  outcome_ = requests::Outcome::running;
  if (interrupted_) {
    fail_with(Error(Code::cancelled, "the server stops"));
    co_return false;
  }
  if (!connection_) {
    auto opened = co_await open_connection(target_, rules_.silence);
    if (!opened) {
      outcome_ = requests::Outcome::refused;
      fail_with(opened.error());
      co_return false;
    }
    connection_ = std::move(*opened);
  }
  connection_.set_deadline(patience());
  std::string number = std::to_string(outgoing.number);
  std::vector<net::Header> headers(outgoing.headers.begin(), outgoing.headers.end());
  headers.push_back({"Gantry-Request-Id", id_text_});
  headers.push_back({"Gantry-Attempt", number});
  net::Framing framing{outgoing.framing, outgoing.framing == net::Framing::Kind::length ? outgoing.body.size : 0};
  auto started = connection_.start(outgoing.method, outgoing.target, headers, framing);
  if (!started) {
    fail_with(started.error());
    co_return false;
  }
  if (outgoing.body.blob) {
    // The program may answer while it still reads: both ways at once, or the two would wait for each other.
    co_await net::join_both(send_blob(outgoing), receive());
  } else {
    // A failure shows in the answer: a program may answer early and close.
    static_cast<void>(co_await connection_.finish(outgoing.body.inline_bytes, outgoing.trailers));
    co_await receive();
  }
  co_return answered_;
}

Task<void> Attempt::send_blob(Outgoing outgoing) {
  BodySource source(parts_.parts.requests, parts_.parts.blocking, outgoing.body);
  for (;;) {
    auto piece = co_await source.next();
    if (!piece) {
      parts_.parts.logger.error("a stored body cannot be read", telemetry::field("request", outgoing.id),
                                telemetry::field("error", piece.error()));
      connection_.close();
      co_return;
    }
    if (piece->empty()) break;
    if (!co_await connection_.send_body(*piece)) co_return;
  }
  static_cast<void>(co_await connection_.finish({}, outgoing.trailers));
}

Task<void> Attempt::receive() {
  answered_ = false;
  auto head = co_await connection_.read_head();
  if (!head) {
    fail_with(head.error());
    co_return;
  }
  head_ = *head;
  if (head_.status == 101) {
    fail_with(Error(Code::unsupported, "the agent switched protocols on a journaled request"));
    connection_.close();
    co_return;
  }
  if (rules_.retry_on.has_status(static_cast<uint16_t>(head_.status))) {
    co_await refuse_answer();
    co_return;
  }
  auto body = co_await receive_body();
  // What has not been sent of the request by now is not wanted.
  if (!body || !connection_.reusable()) connection_.close();
  if (!body) {
    fail_with(body.error());
    co_return;
  }
  record_.status = static_cast<uint16_t>(head_.status);
  record_.reason = head_.reason;
  record_.headers = passable(head_.headers, net::Direction::response);
  record_.trailers.assign(connection_.trailers().begin(), connection_.trailers().end());
  outcome_ = requests::Outcome::completed;
  answered_ = true;
}

bool Attempt::streams() const {
  return head_.framing.kind == net::Framing::Kind::chunked || head_.framing.kind == net::Framing::Kind::until_close ||
         head_.framing.bytes > rules_.inline_limit.count;
}

Task<Result<void>> Attempt::receive_body() {
  bool first = true;
  for (;;) {
    connection_.set_deadline(patience());
    GANTRY_CO_TRY(std::string_view piece, connection_.read_ready());
    if (piece.empty() && !connection_.complete()) {
      // The program takes its time: what it has said so far goes out now.
      if (streams() && co_await begin_client() && !co_await client_->flush()) client_ = nullptr;
      GANTRY_CO_TRY(piece, co_await connection_.read_some());
    }
    if (auto kept = co_await spool_.append(piece); !kept) {
      // Our disk, not the program: no attempt is used up.
      outcome_ = requests::Outcome::interrupted;
      co_return kept;
    }
    if (connection_.complete()) {
      held_ = piece;
      held_is_all_ = first;
      break;
    }
    first = false;
    if (streams()) co_await relay(piece);
  }
  GANTRY_CO_TRY(record_.body, co_await spool_.finish());
  co_return Result<void>{};
}

// An answer that the policy repeats: nobody is given it, the log of attempts has its beginning.
Task<void> Attempt::refuse_answer() {
  constexpr size_t read_at_most = size_t{64} << 10;
  constexpr size_t longest_excerpt = 200;
  detail_ = fmt::format("answered {} {}", head_.status, net::reason_phrase(head_.status));
  if (auto value = head_.headers.find("retry-after"))
    retry_after_ = net::parse_retry_after(*value, parts_.parts.clock.now());
  std::string excerpt;
  size_t size = 0;
  while (!connection_.complete() && size < read_at_most) {
    auto piece = co_await connection_.read_some();
    if (!piece) break;
    size += piece->size();
    excerpt.append(piece->substr(0, longest_excerpt - std::min(longest_excerpt, excerpt.size())));
  }
  if (!connection_.complete() || !connection_.reusable()) connection_.close();
  for (char& c : excerpt)
    if (c < ' ' || c > '~') c = ' ';
  if (std::string_view text = trim(excerpt); !text.empty()) detail_.append(": ").append(text);
  outcome_ = interrupted_ ? requests::Outcome::interrupted : requests::Outcome::answered;
}

SteadyTime Attempt::patience() const { return std::min(ends_at_, parts_.parts.clock.steady() + rules_.silence); }

agents::Went Attempt::went() const {
  switch (outcome_) {
    case requests::Outcome::completed:
      return agents::Went::well;
    case requests::Outcome::died:
      return agents::Went::died;
    case requests::Outcome::refused:
    case requests::Outcome::timeout:
    case requests::Outcome::answered:
      return agents::Went::badly;
    default:
      return agents::Went::unseen;
  }
}

Task<bool> Attempt::begin_client() {
  if (!client_) co_return false;
  if (client_began_) co_return true;
  if (!client_->start_forward(head_, {{"Gantry-Request-Id", id_text_}})) {
    client_ = nullptr;
    co_return false;
  }
  client_began_ = true;
  co_return true;
}

Task<void> Attempt::relay(std::string_view piece) {
  if (!co_await begin_client()) co_return;
  // A caller that has left changes nothing: the answer is recorded to its end.
  if (!co_await client_->send_body(piece)) client_ = nullptr;
}

Task<void> Attempt::release() {
  if (!co_await begin_client()) co_return;
  // Without streaming nothing was sent yet: the whole body is in memory.
  std::string_view rest = streams() || held_is_all_ ? held_ : std::string_view(spool_.inline_bytes());
  static_cast<void>(co_await client_->finish(rest, connection_.trailers()));
}

void Attempt::finish() {
  if (connection_ && connection_.reusable()) parts_.pool.give(key_, std::move(connection_));
}

void Attempt::fail_with(const Error& error) {
  if (interrupted_) {
    outcome_ = requests::Outcome::interrupted;
    detail_ = "the server stopped";
    return;
  }
  if (error.code() == Code::timeout)
    outcome_ = requests::Outcome::timeout;
  else if (outcome_ == requests::Outcome::running)
    outcome_ = requests::Outcome::died;
  detail_ = outcome_ == requests::Outcome::timeout ? describe_timeout() : error.reason();
}

std::string Attempt::describe_timeout() const {
  if (parts_.parts.clock.steady() < ends_at_) return "no answer in " + format_duration(rules_.silence);
  if (rules_.deadline != Time{} && parts_.parts.clock.now() >= rules_.deadline) return "no answer before the deadline";
  return "no whole answer in " + format_duration(rules_.whole);
}

}  // namespace gantry::proxy
