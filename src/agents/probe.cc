#include "agents/probe.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <charconv>

namespace gantry::agents {
namespace {

using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using Timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

// The status line and a few fields; the rest of the answer is of no interest.
constexpr size_t answer_limit = 8192;

ProbeResult unhealthy(std::string detail) { return {ProbeResult::Outcome::unhealthy, std::move(detail)}; }
ProbeResult healthy(std::string detail) { return {ProbeResult::Outcome::healthy, std::move(detail)}; }

/// In words for people: the last part of `dial port 8000: connect: Connection refused`.
std::string dial_detail(const Error& error, uint16_t port) {
  const std::string& reason = error.reason();
  const size_t colon = reason.rfind(": ");
  return fmt::format("{} on port {}", to_lower(colon == reason.npos ? reason : reason.substr(colon + 2)), port);
}

/// A connection that a timer closes when the probe takes too long.
struct Attempt {
  explicit Attempt(Executor executor) : socket(executor), timer(executor) {}
  Socket socket;
  Timer timer;
  bool timed_out = false;
};

Task<ProbeResult> ask(std::shared_ptr<Attempt> attempt, core::Health health) {
  const std::string request = fmt::format(
      "GET {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: gantry-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n",
      health.endpoint);
  auto [write_error, written] = co_await asio::async_write(attempt->socket, asio::buffer(request), use_tuple);
  if (write_error) co_return unhealthy("the connection was closed");
  std::string answer;
  auto [read_error, size] =
      co_await asio::async_read_until(attempt->socket, asio::dynamic_buffer(answer, answer_limit), '\n', use_tuple);
  if (read_error) co_return unhealthy("the connection was closed without an answer");
  const std::optional<int> status = parse_status_line(std::string_view(answer).substr(0, size));
  if (!status.has_value()) co_return unhealthy("the answer is not HTTP");
  const bool good = *status >= 200 && *status < 400;
  co_return ProbeResult{good ? ProbeResult::Outcome::healthy : ProbeResult::Outcome::unhealthy,
                        fmt::format("{} from {}", *status, health.endpoint)};
}

}  // namespace

std::optional<int> parse_status_line(std::string_view line) {
  if (line.size() < 12 || !line.starts_with("HTTP/1.") || line[8] != ' ') return std::nullopt;
  int status = 0;
  const auto [end, error] = std::from_chars(line.data() + 9, line.data() + 12, status);
  if (error != std::errc() || end != line.data() + 12 || status < 100) return std::nullopt;
  if (line.size() > 12 && line[12] != ' ' && line[12] != '\r' && line[12] != '\n') return std::nullopt;
  return status;
}

Task<ProbeResult> probe(std::shared_ptr<sandbox::Sandbox> sandbox, core::Health health, uint16_t port) {
  const Executor executor = co_await asio::this_coro::executor;
  auto dialed = co_await sandbox->dial(port);
  if (!dialed.has_value()) co_return unhealthy(dial_detail(dialed.error(), port));
  if (health.kind == core::Health::Kind::tcp) co_return healthy(fmt::format("connected to port {}", port));

  auto attempt = std::make_shared<Attempt>(executor);
  boost::system::error_code error;
  attempt->socket.assign(asio::ip::tcp::v4(), dialed->get(), error);
  if (error) co_return unhealthy("the socket cannot be used: " + error.message());
  static_cast<void>(dialed->release());  // the socket owns it now
  attempt->timer.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(health.timeout));
  attempt->timer.async_wait([attempt](boost::system::error_code cancelled) {
    if (cancelled) return;
    attempt->timed_out = true;
    boost::system::error_code ignored;
    attempt->socket.close(ignored);
  });
  ProbeResult result = co_await ask(attempt, health);
  attempt->timer.cancel();
  if (attempt->timed_out) co_return unhealthy("no answer within " + format_duration(health.timeout));
  co_return result;
}

}  // namespace gantry::agents
