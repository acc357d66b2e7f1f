#include "agents/probe.h"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <csignal>

#include "json/json.h"
#include "net/net.h"

namespace gantry::agents {
namespace {

using Pipe = asio::posix::basic_stream_descriptor<Executor>;

// What is read of an answer and of what a program says; the rest is of no interest.
constexpr size_t body_limit = size_t{64} << 10;
constexpr size_t output_limit = 4096;
constexpr size_t detail_limit = 200;
constexpr core::StatusRange good_by_default[] = {{200, 399}};

ProbeResult unhealthy(std::string detail) { return {ProbeResult::Outcome::unhealthy, std::move(detail)}; }
ProbeResult healthy(std::string detail) { return {ProbeResult::Outcome::healthy, std::move(detail)}; }

/// In words for people: the last part of `dial port 8000: connect: Connection refused`.
std::string dial_detail(const Error& error, uint16_t port) {
  const std::string& reason = error.reason();
  const size_t colon = reason.rfind(": ");
  return fmt::format("{} on port {}", to_lower(colon == reason.npos ? reason : reason.substr(colon + 2)), port);
}

// ---- HTTP ------------------------------------------------------------------------------------

bool is_good(const core::Probe& probe, int status) {
  std::span<const core::StatusRange> good = good_by_default;
  if (!probe.status.empty()) good = probe.status;
  return std::ranges::any_of(
      good, [&](const core::StatusRange& range) { return status >= range.least && status <= range.most; });
}

std::string broken_detail(const Error& error, const core::Probe& probe) {
  if (error.code() == Code::timeout) return "no answer within " + format_duration(probe.timeout);
  if (error.id() == ErrorId::GR0606) return "the answer is not HTTP";
  return "the connection was closed without an answer";
}

Task<Result<std::string>> read_body(net::ClientConnection& connection) {
  std::string body;
  for (;;) {
    GANTRY_CO_TRY(std::string_view piece, co_await connection.read_some());
    if (piece.empty()) co_return body;
    if (body.size() + piece.size() > body_limit)
      co_return fail(Code::invalid, "the answer is longer than {}", format_bytes(Bytes{body_limit}));
    body += piece;
  }
}

Task<ProbeResult> ask_http(os::Fd socket, core::Probe probe, SteadyTime deadline) {
  const Executor executor = co_await asio::this_coro::executor;
  auto adopted = net::Socket::adopt(executor, socket.release());
  if (!adopted) co_return unhealthy("the socket cannot be used: " + adopted.error().reason());
  net::ClientConnection connection(*std::move(adopted), {.read_idle_timeout = probe.timeout});
  connection.set_deadline(deadline);
  const net::Header fields[] = {
      {"Host", "localhost"}, {"User-Agent", "gantry-probe"}, {"Accept", "*/*"}, {"Connection", "close"}};
  Result<void> sent =
      connection.start("GET", probe.endpoint, net::Headers(std::span<const net::Header>(fields)), net::Framing::none());
  if (sent) sent = co_await connection.finish();
  if (!sent) co_return unhealthy(broken_detail(sent.error(), probe));
  auto head = co_await connection.read_head();
  if (!head) co_return unhealthy(broken_detail(head.error(), probe));
  std::string seen = fmt::format("{} from {}", head->status, probe.endpoint);
  if (!is_good(probe, head->status)) co_return unhealthy(std::move(seen));
  if (probe.json.empty()) co_return healthy(std::move(seen));
  auto body = co_await read_body(connection);
  if (!body) {
    const bool is_long = body.error().code() == Code::invalid;
    co_return unhealthy(is_long ? body.error().reason() : broken_detail(body.error(), probe));
  }
  std::string wrong = compare_json(*body, probe.json);
  if (wrong.empty()) co_return healthy(std::move(seen));
  co_return unhealthy(fmt::format("{}, but {}", seen, wrong));
}

// ---- A program -------------------------------------------------------------------------------

/// A program that is asked, and what it says.
struct Asked {
  Asked(const Executor& executor, std::unique_ptr<sandbox::Exec> its_exec)
      : exec(std::move(its_exec)), output(executor), errors(executor) {}
  std::unique_ptr<sandbox::Exec> exec;
  Pipe output, errors;
  std::string said;
  std::optional<sandbox::ExitInfo> end;
};

void keep(std::string& said, std::string_view piece) {
  said += piece;
  // The last line is told, so the beginning may go.
  if (said.size() > output_limit) said.erase(0, said.size() - output_limit);
}

// Reads all, so that the program does not wait for a reader.
Task<void> listen(std::shared_ptr<Asked> asked, Pipe& pipe) {
  std::array<char, 4096> buffer;
  for (;;) {
    auto [error, size] = co_await pipe.async_read_some(asio::buffer(buffer), use_tuple);
    if (error) co_return;
    keep(asked->said, {buffer.data(), size});
  }
}

// Who else has the pipes, such as a program that it left behind, is not waited for.
Task<void> await_end(std::shared_ptr<Asked> asked, SteadyTime deadline) {
  asked->end = co_await asked->exec->wait_until(deadline);
  for (Pipe* pipe : {&asked->output, &asked->errors}) {
    std::array<char, 4096> buffer;
    const ssize_t got = ::read(pipe->native_handle(), buffer.data(), buffer.size());
    if (got > 0) keep(asked->said, {buffer.data(), static_cast<size_t>(got)});
    boost::system::error_code ignored;
    pipe->close(ignored);
  }
}

// The last line with something in it, fit to be shown.
std::string last_line(std::string_view said) {
  while (!said.empty() && (said.back() == '\n' || said.back() == '\r' || said.back() == ' ')) said.remove_suffix(1);
  if (const size_t start = said.rfind('\n'); start != said.npos) said.remove_prefix(start + 1);
  std::string line(said.substr(0, detail_limit));
  std::ranges::replace_if(line, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, ' ');
  return line;
}

Task<ProbeResult> ask_program(std::shared_ptr<sandbox::Sandbox> sandbox, core::Probe probe, SteadyTime deadline) {
  auto started = co_await sandbox->exec({.command = probe.command, .purpose = sandbox::ExecSpec::Purpose::probe});
  if (!started) co_return unhealthy(started.error().reason());
  const Executor executor = co_await asio::this_coro::executor;
  auto asked = std::make_shared<Asked>(executor, *std::move(started));
  sandbox::ExecStreams& streams = asked->exec->streams();
  streams.input.reset();
  boost::system::error_code error;
  asked->output.assign(streams.output.release(), error);
  if (!error) asked->errors.assign(streams.errors.release(), error);
  if (error) co_return unhealthy("the output cannot be read: " + error.message());
  co_await net::join_both(net::join_both(listen(asked, asked->output), listen(asked, asked->errors)),
                          await_end(asked, deadline));
  if (!asked->end) co_return unhealthy("no end within " + format_duration(probe.timeout));
  std::string detail = asked->end->describe();
  if (std::string line = last_line(asked->said); !line.empty()) detail += ": " + line;
  co_return asked->end->success() ? healthy(std::move(detail)) : unhealthy(std::move(detail));
}

}  // namespace

std::string compare_json(std::string_view text, const std::map<std::string, std::string>& expected) {
  auto parsed = json::parse(text);
  if (!parsed) return "the body is not JSON";
  for (const auto& [path, wanted] : expected) {
    const json::Value* found = json::find(*parsed, path);
    if (found == nullptr) return fmt::format("{} is missing", path);
    const auto* words = found->if_string();
    const std::string actual = words ? std::string(words->data(), words->size()) : json::serialize(*found);
    if (actual != wanted)
      return fmt::format("{} is {}, not {}", path, json::quote(actual.substr(0, detail_limit)), json::quote(wanted));
  }
  return {};
}

Task<ProbeResult> probe(std::shared_ptr<sandbox::Sandbox> sandbox, core::Probe probe, uint16_t port, Clock& clock) {
  const SteadyTime deadline = clock.steady() + probe.timeout;
  if (probe.kind == core::Probe::Kind::exec)
    co_return co_await ask_program(std::move(sandbox), std::move(probe), deadline);
  const uint16_t asked = probe.port != 0 ? probe.port : port;
  auto dialed = co_await sandbox->dial(asked);
  if (!dialed) co_return unhealthy(dial_detail(dialed.error(), asked));
  if (probe.kind == core::Probe::Kind::tcp) co_return healthy(fmt::format("connected to port {}", asked));
  co_return co_await ask_http(*std::move(dialed), std::move(probe), deadline);
}

}  // namespace gantry::agents
