#include "server/exec_session.h"

#include <unistd.h>

#include <boost/asio/write.hpp>
#include <csignal>

#include "json/json.h"

namespace gantry::server {
namespace {

using core::ExecFrame;

constexpr size_t buffer_bytes = size_t{32} << 10;
// More waits in the pipe, and then in the program, or on its way.
constexpr size_t most_pending = size_t{256} << 10;
constexpr auto ping_interval = std::chrono::seconds(20);
constexpr auto goodbye_patience = std::chrono::seconds(5);
constexpr uint16_t largest_window = 10'000;
constexpr char end_of_transmission = 4;  // what a terminal takes for the end of input

Result<sandbox::WindowSize> parse_window(const json::Value& value, std::string_view path) {
  auto member = [&](std::string_view name) -> Result<uint16_t> {
    GANTRY_TRY(uint64_t number,
               json::get_uint(value, path.empty() ? std::string(name) : fmt::format("{}.{}", path, name)));
    if (number < 1 || number > largest_window)
      return fail(Code::invalid, "{}{}{}: from 1 to {}", path, path.empty() ? "" : ".", name, largest_window);
    return static_cast<uint16_t>(number);
  };
  sandbox::WindowSize size;
  GANTRY_TRY(size.rows, member("rows"));
  GANTRY_TRY(size.columns, member("columns"));
  return size;
}

json::Object exit_json(const sandbox::ExitInfo& end) {
  return {{"code", end.code},
          {"signal", end.signal},
          {"reason", end.describe()},
          {"lost", end.reason == sandbox::ExitReason::lost}};
}

}  // namespace

Result<ExecRequest> parse_exec_request(std::string_view text) {
  GANTRY_TRY(json::Value value, json::parse(text));
  ExecRequest request;
  GANTRY_TRY(request.program.command, json::get_strings(value, "command"));
  if (request.program.command.empty() || request.program.command.front().empty())
    return fail(Code::invalid, "command: it names no program");
  GANTRY_TRY(request.program.directory, json::get_string_or(value, "directory", "/app"));
  if (!request.program.directory.starts_with('/')) return fail(Code::invalid, "directory: an absolute path is needed");
  if (json::find(value, "env") != nullptr) {
    GANTRY_TRY(const json::Object* env, json::get_object(value, "env"));
    for (const auto& member : *env) {
      const auto* words = member.value().if_string();
      if (words == nullptr) return fail(Code::invalid, "env.{}: expected a string", std::string_view(member.key()));
      request.program.env.emplace_back(std::string_view(member.key()), std::string_view(*words));
    }
  }
  if (json::find(value, "terminal") != nullptr) {
    GANTRY_TRY(request.program.terminal, parse_window(value, "terminal"));
  }
  GANTRY_TRY(std::string instance, json::get_string_or(value, "instance", ""));
  if (!instance.empty()) {
    auto id = InstanceId::parse(instance);
    if (!id) return fail(Code::invalid, "instance: '{}' is not the id of an instance", instance);
    request.instance = *id;
  }
  if (json::find(value, "replica") != nullptr) {
    GANTRY_TRY(uint64_t replica, json::get_uint(value, "replica"));
    request.replica = static_cast<uint32_t>(std::min<uint64_t>(replica, UINT32_MAX));
  }
  return request;
}

ExecSession::ExecSession(net::Exchange& exchange, core::ExecFrameReader reader, std::unique_ptr<sandbox::Exec> exec,
                         Clock& clock)
    : exchange_(exchange),
      reader_(std::move(reader)),
      exec_(std::move(exec)),
      clock_(clock),
      input_(exchange.executor()),
      output_(exchange.executor()),
      errors_(exchange.executor()),
      has_terminal_(!exec_->streams().errors),
      relays_(has_terminal_ ? 1 : 2) {}

Result<> ExecSession::open() {
  sandbox::ExecStreams& streams = exec_->streams();
  boost::system::error_code error;
  input_.assign(streams.input.release(), error);
  if (!error) output_.assign(streams.output.release(), error);
  if (!error && !has_terminal_) errors_.assign(streams.errors.release(), error);
  if (error) return fail(Code::internal, "the streams of the program cannot be used: {}", error.message());
  return {};
}

Task<void> ExecSession::run() {
  if (auto opened = open(); !opened) {
    exchange_.abort();
    co_return;
  }
  Task<void> errors = has_terminal_
                          ? net::join_both(send(), await_end())
                          : net::join_both(relay(errors_, ExecFrame::errors), net::join_both(send(), await_end()));
  co_await net::join_both(net::join_both(take_frames(), write_input()),
                          net::join_both(relay(output_, ExecFrame::output), std::move(errors)));
}

// ---- From the client -------------------------------------------------------------------------

Task<void> ExecSession::take_frames() {
  for (bool more = true; more;) {
    for (;;) {
      auto message = reader_.next();
      if (!message) {
        give_up();
        co_return;
      }
      if (!*message) break;
      obey(**message);
    }
    while (to_program_.size() > most_pending && !end_ && !gone_)
      co_await changed_.wait(changed_.ticket(), clock_.steady() + ping_interval);
    auto piece = co_await exchange_.read_some();
    if (!piece && !end_) give_up();
    more = piece && !piece->empty();
    if (more) reader_.feed(*piece);
  }
  frames_ended_ = input_ended_ = true;
  changed_.notify();
}

void ExecSession::obey(const core::ExecMessage& message) {
  switch (message.type) {
    case ExecFrame::input:
      if (!input_ended_) to_program_ += message.bytes;
      break;
    case ExecFrame::end_of_input:
      if (!has_terminal_)
        input_ended_ = true;
      else if (!input_ended_)
        to_program_ += end_of_transmission;
      break;
    case ExecFrame::resize:
      if (auto value = json::parse(message.bytes))
        if (auto size = parse_window(*value, "")) static_cast<void>(exec_->resize(*size));
      break;
    case ExecFrame::signal:
      if (message.bytes.size() == 1 && message.bytes[0] > 0 && message.bytes[0] < NSIG) exec_->signal(message.bytes[0]);
      break;
    default:
      return;
  }
  changed_.notify();
}

Task<void> ExecSession::write_input() {
  for (;;) {
    auto seen = changed_.ticket();
    if (!to_program_.empty()) {
      std::string bytes = std::exchange(to_program_, {});
      auto [error, size] = co_await asio::async_write(input_, asio::buffer(bytes), use_tuple);
      if (error) break;
      changed_.notify();
      continue;
    }
    if (input_ended_ || end_ || gone_) break;
    co_await changed_.wait(seen, SteadyTime::max());
  }
  // It may not read any more: what comes is thrown away, so that signals behind it are still seen.
  input_ended_ = true;
  to_program_.clear();
  changed_.notify();
  boost::system::error_code ignored;
  if (!has_terminal_ || end_ || gone_) input_.close(ignored);
}

// ---- To the client ---------------------------------------------------------------------------

Task<void> ExecSession::relay(Pipe& pipe, ExecFrame type) {
  std::vector<char> buffer(buffer_bytes);
  while (!end_ && !gone_) {
    auto [error, size] = co_await pipe.async_read_some(asio::buffer(buffer), use_tuple);
    if (error) break;  // its end, or `await_end` is in a hurry
    to_client_ += core::exec_frame(type, {buffer.data(), size});
    changed_.notify();
    for (;;) {
      auto seen = changed_.ticket();
      if (to_client_.size() <= most_pending || gone_) break;
      co_await changed_.wait(seen, SteadyTime::max());
    }
  }
  if (end_ && !gone_) read_rest(pipe, type);
  --relays_;
  changed_.notify();
}

Task<void> ExecSession::send() {
  while (!gone_) {
    auto seen = changed_.ticket();
    if (!to_client_.empty()) {
      std::string bytes = std::exchange(to_client_, {});
      changed_.notify();
      if (!co_await exchange_.send_body(bytes)) give_up();
      continue;
    }
    if (done_) break;
    co_await changed_.wait(seen, SteadyTime::max());
  }
  if (!gone_) co_await exchange_.finish();
  // A client that knows the end closes its side; one that does not is not waited for.
  const SteadyTime deadline = clock_.steady() + goodbye_patience;
  for (bool in_time = true; in_time && !frames_ended_ && !gone_;) {
    auto seen = changed_.ticket();
    if (!frames_ended_) in_time = co_await changed_.wait(seen, deadline);
  }
  if (!frames_ended_) exchange_.abort();
}

Task<void> ExecSession::await_end() {
  while (!end_) {
    end_ = co_await exec_->wait_until(clock_.steady() + ping_interval);
    if (end_ || gone_) break;
    if (to_client_.empty()) to_client_ = core::exec_frame(ExecFrame::ping);
    changed_.notify();
  }
  boost::system::error_code ignored;
  input_.close(ignored);
  output_.cancel(ignored);
  errors_.cancel(ignored);
  for (;;) {
    auto seen = changed_.ticket();
    if (relays_ == 0) break;
    co_await changed_.wait(seen, SteadyTime::max());
  }
  if (end_) to_client_ += core::exec_frame(ExecFrame::exit, json::serialize(exit_json(*end_)));
  done_ = true;
  changed_.notify();
}

void ExecSession::read_rest(Pipe& pipe, ExecFrame type) {
  std::vector<char> buffer(buffer_bytes);
  constexpr int most_reads = 64;  // what a pipe holds, and more
  for (int i = 0; i < most_reads && !gone_; ++i) {
    const ssize_t got = ::read(pipe.native_handle(), buffer.data(), buffer.size());
    if (got <= 0) break;
    to_client_ += core::exec_frame(type, {buffer.data(), static_cast<size_t>(got)});
  }
}

void ExecSession::give_up() {
  gone_ = true;
  exec_->signal(SIGKILL);
  boost::system::error_code ignored;
  output_.close(ignored);
  errors_.close(ignored);
  input_.close(ignored);
  changed_.notify();
}

}  // namespace gantry::server
