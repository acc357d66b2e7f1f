#include "cli/exec_call.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>

#include "cli/api_client.h"
#include "core/core.h"
#include "os/os.h"

namespace gantry::cli {
namespace {

using core::ExecFrame;
using Timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;
using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
using SignalSet = asio::basic_signal_set<Executor>;

constexpr size_t buffer_bytes = size_t{32} << 10;
constexpr size_t most_pending = size_t{256} << 10;
constexpr auto ping_interval = std::chrono::seconds(15);
constexpr size_t most_problem_bytes = size_t{1} << 20;
constexpr size_t most_kept_bytes = size_t{16} << 20;  // of each stream

/// The terminal passes every key on as it is, as long as this lives.
class RawTerminal {
 public:
  RawTerminal() {
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    is_raw_ = ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
  }
  ~RawTerminal() {
    if (is_raw_) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;

 private:
  termios before_{};
  bool is_raw_ = false;
};

std::optional<json::Object> window_json() {
  winsize size{};
  // SAFETY: TIOCGWINSZ writes one winsize.
  if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return std::nullopt;
  return json::Object{{"rows", size.ws_row}, {"columns", size.ws_col}};
}

Result<> write_out(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) {  // somebody else has made what we share non-blocking
      pollfd entry{fd, POLLOUT, 0};
      ::poll(&entry, 1, -1);
      continue;
    }
    if (wrote < 0) return fail_errno("write the output of the program");
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
  return {};
}

class Relay {
 public:
  Relay(const Executor& executor, net::HttpClient& http, ExecCall call)
      : http_(http), call_(std::move(call)), input_(executor), signals_(executor), pings_(executor) {}

  Task<void> run(net::OutgoingRequest request) {
    result_ = co_await begin(std::move(request));
    if (result_) {
      std::optional<RawTerminal> raw;
      if (call_.has_terminal) raw.emplace();
      co_await net::join_both(net::join_both(receive(), send()),
                              net::join_both(take_input(), net::join_both(take_signals(), ping())));
    }
    connection_ = net::ClientConnection();  // as long as it lives, the io_context has something to wait for
  }
  Result<ExecEnd> take_result() { return std::move(result_); }

 private:
  Task<Result<ExecEnd>> begin(net::OutgoingRequest request) {
    if (call_.has_terminal) {
      auto window = window_json();
      call_.start["terminal"] = window ? *window : json::Object{{"rows", 24}, {"columns", 80}};
    }
    GANTRY_CO_TRY(connection_, co_await http_.open(std::move(request), net::Framing::chunked()));
    std::string first = core::exec_frame(ExecFrame::start, json::serialize(call_.start));
    if (!call_.sends_input) first += core::exec_frame(ExecFrame::end_of_input);
    GANTRY_CO_TRY_VOID(co_await connection_.send_body(first));
    GANTRY_CO_TRY_VOID(co_await connection_.flush());
    GANTRY_CO_TRY(net::ResponseHead head, co_await connection_.read_head());
    if (head.status < 400) co_return ExecEnd{};
    net::IncomingResponse problem{.status = head.status};
    for (;;) {
      GANTRY_CO_TRY(std::string_view piece, co_await connection_.read_some());
      if (piece.empty() || problem.body.size() + piece.size() > most_problem_bytes) break;
      problem.body += piece;
    }
    co_return std::unexpected(error_of(problem));
  }

  // Until the exit is known or nothing comes any more; whatever else goes on ends then.
  Task<void> receive() {
    core::ExecFrameReader reader;
    result_ = fail(Code::unavailable, "the connection broke before the program had ended; it was ended, too");
    for (bool more = true; more;) {
      auto piece = co_await connection_.read_some();
      more = piece && !piece->empty();
      if (more) reader.feed(*piece);
      for (bool whole = more; whole;) {
        auto message = reader.next();
        whole = message && *message;
        if (!message) result_ = std::unexpected(message.error());
        if (whole && !take(**message)) more = whole = false;
      }
    }
    finish();
  }

  /// False once there is nothing to wait for.
  bool take(const core::ExecMessage& message) {
    switch (message.type) {
      case ExecFrame::output:
      case ExecFrame::errors: {
        auto written = deliver(message);
        if (written) return true;
        result_ = std::unexpected(std::move(written).error());
        return false;
      }
      case ExecFrame::exit: {
        auto value = json::parse(message.bytes);
        if (!value) return true;
        result_ =
            ExecEnd{static_cast<int>(json::get_int_or(*value, "code", 1).value_or(1)),
                    json::get_string_or(*value, "reason", "").value_or(""),
                    json::get_bool_or(*value, "lost", false).value_or(false), std::move(output_), std::move(errors_)};
        return false;
      }
      default:
        return true;
    }
  }

  Result<> deliver(const core::ExecMessage& message) {
    const bool is_output = message.type == ExecFrame::output;
    if (!call_.keeps_output) return write_out(is_output ? STDOUT_FILENO : STDERR_FILENO, message.bytes);
    std::string& kept = is_output ? output_ : errors_;
    if (kept.size() + message.bytes.size() > most_kept_bytes)
      return fail(Code::exhausted, "the program says more than {}", format_bytes(Bytes{most_kept_bytes}));
    kept += message.bytes;
    return {};
  }

  void finish() {
    done_ = true;
    boost::system::error_code ignored;
    input_.cancel(ignored);
    signals_.cancel(ignored);
    pings_.cancel();
    changed_.notify();
  }

  void add(std::string frame) {
    pending_ += frame;
    changed_.notify();
  }

  Task<void> send() {
    for (;;) {
      auto seen = changed_.ticket();
      if (!pending_.empty()) {
        std::string bytes = std::exchange(pending_, {});
        changed_.notify();
        Result<void> sent = co_await connection_.send_body(bytes);
        if (sent) sent = co_await connection_.flush();
        if (!sent) co_return;  // reading tells what happened
        continue;
      }
      if (done_) break;
      co_await changed_.wait(seen, SteadyTime::max());
    }
    static_cast<void>(co_await connection_.finish());
  }

  // Asio makes what it watches non-blocking, and the open file of stdin is the shell's, too: it watches an epoll
  // instance that watches stdin. False if there is nothing to wait for, as with files and /dev/null.
  bool watch_input() {
    os::Fd watch(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{.events = EPOLLIN, .data = {}};
    if (!watch || ::epoll_ctl(watch.get(), EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0) return false;
    boost::system::error_code error;
    input_.assign(watch.release(), error);
    return !error;
  }

  Task<void> take_input() {
    if (!call_.sends_input) co_return;
    const bool is_watched = watch_input();
    std::vector<char> buffer(buffer_bytes);
    while (!done_) {
      boost::system::error_code error;
      if (is_watched)
        std::tie(error) = co_await input_.async_wait(Descriptor::wait_read, use_tuple);
      else
        co_await asio::post(co_await asio::this_coro::executor, use_task);
      if (done_) co_return;
      const ssize_t got = error ? 0 : ::read(STDIN_FILENO, buffer.data(), buffer.size());
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (got <= 0) break;
      add(core::exec_frame(ExecFrame::input, {buffer.data(), static_cast<size_t>(got)}));
      for (;;) {
        auto seen = changed_.ticket();
        if (pending_.size() <= most_pending || done_) break;
        co_await changed_.wait(seen, SteadyTime::max());
      }
    }
    add(core::exec_frame(ExecFrame::end_of_input));
  }

  Task<void> take_signals() {
    for (int number : {SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
      boost::system::error_code ignored;
      signals_.add(number, ignored);
    }
    while (!done_) {
      auto [error, number] = co_await signals_.async_wait(use_tuple);
      if (error) co_return;
      const bool is_signal = number != SIGWINCH;
      // Input that nobody reads may keep the first one back: the second one ends the call, and with it the program.
      if (is_signal && signalled_ && !pending_.empty()) {
        result_ = ExecEnd{128 + number, fmt::format("signal {}", number), false, {}, {}};
        connection_.close();
        co_return;
      }
      if (is_signal) {
        signalled_ = true;
        add(core::exec_frame(ExecFrame::signal, std::string(1, static_cast<char>(number))));
      }
      if (auto window = window_json(); !is_signal && window && call_.has_terminal)
        add(core::exec_frame(ExecFrame::resize, json::serialize(*window)));
    }
  }

  Task<void> ping() {
    while (!done_) {
      pings_.expires_after(ping_interval);
      co_await pings_.async_wait(use_tuple);
      if (!done_) add(core::exec_frame(ExecFrame::ping));
    }
  }

  net::HttpClient& http_;
  ExecCall call_;
  net::ClientConnection connection_;
  Descriptor input_;
  SignalSet signals_;
  Timer pings_;
  std::string pending_, output_, errors_;
  bool done_ = false;
  bool signalled_ = false;
  Notifier changed_;
  Result<ExecEnd> result_;
};

}  // namespace

Result<ExecEnd> call_exec(net::HttpClient& http, net::OutgoingRequest request, ExecCall call) {
  asio::io_context context(1);
  TaskGroup tasks;
  std::optional<Relay> relay(std::in_place, context.get_executor(), http, std::move(call));
  tasks.spawn(context.get_executor(), relay->run(std::move(request)));
  context.run();
  tasks.join();
  return relay->take_result();
}

}  // namespace gantry::cli
