#include "sandbox/spawn/client.h"

#include <unistd.h>

#include <csignal>

namespace gantry::sandbox::spawn {
namespace {

// Where the spawn process finds its end of the socket.
constexpr int control_number = 3;
constexpr auto end_patience = std::chrono::seconds(1);
constexpr auto end_poll = std::chrono::milliseconds(1);

}  // namespace

Client::Client(Executor executor, Clock& clock, ClientOptions options)
    : executor_(executor), clock_(clock), options_(std::move(options)) {}

Client::~Client() { close(); }

Result<> Client::launch() {
  GANTRY_TRY(auto pair, os::make_packet_pair());
  os::SpawnOptions how;
  how.program = options_.program;
  how.arguments = {"gantry", "__spawn"};
  how.fds = {{pair.second.get(), control_number}};
  how.session = os::Session::own;
  GANTRY_TRY(process_, os::spawn_process(how));
  options_.setup.daemon = getpid();
  GANTRY_TRY_VOID(os::send_packet(pair.first, json::serialize(to_json(options_.setup))));
  control_ = std::make_shared<WatchedFd>(executor_, std::move(pair.first));
  return {};
}

Task<Result<Ready>> Client::open() {
  auto seen = state_changed_.ticket();
  tasks_.spawn(executor_, run());
  co_await state_changed_.wait(seen, clock_.steady() + options_.timeout);
  if (is_ready_) co_return ready_;
  if (error_) co_return std::unexpected(*error_);
  co_return fail(Code::timeout, "the spawn process did not answer");
}

Task<void> Client::run() {
  while (!closing_) {
    if (auto launched = launch(); !launched) {
      error_ = std::move(launched).error();
      state_changed_.notify();
    } else {
      co_await receive(control_);
      lose();
      co_await end_process();
    }
    if (!closing_) co_await sleep_for(options_.restart_after);
  }
}

Task<void> Client::receive(std::shared_ptr<WatchedFd> control) {
  os::Packet packet;
  while (co_await control->readable()) {
    for (;;) {
      auto arrival = os::receive_packet(control->fd(), max_message, packet);
      if (!arrival || *arrival == os::Arrival::end) co_return;
      if (*arrival == os::Arrival::nothing) break;
      if (auto message = json::parse(packet.bytes)) take(*message);
    }
  }
}

void Client::take(const json::Value& message) {
  std::string op = json::get_string_or(message, "op", "").value_or("");
  if (op == "answer") {
    auto found = calls_.find(json::get_uint_or(message, "serial", 0).value_or(0));
    if (found == calls_.end()) return;
    found->second->answer = message;
    found->second->answered.open();
  } else if (op == "ended") {
    auto pid = static_cast<pid_t>(json::get_int_or(message, "pid", 0).value_or(0));
    auto status = static_cast<int>(json::get_int_or(message, "status", 0).value_or(0));
    auto waiting = starting_.extract(pid);
    if (waiting)
      waiting.mapped()(status);
    else
      ended_early_[pid] = status;
  } else if (op == "ready") {
    if (const json::Value* error = json::find(message, "error"))
      error_ = error_from_json(*error);
    else if (auto ready = ready_from_json(message)) {
      ready_ = *std::move(ready);
      is_ready_ = true;
      error_.reset();
    }
    state_changed_.notify();
  }
}

void Client::lose() {
  is_ready_ = false;
  control_.reset();
  for (auto& [serial, call] : calls_) call->answered.open();
  starting_.clear();
  ended_early_.clear();
}

// The end of the connection tells it to go; one that hangs is killed.
Task<void> Client::end_process() {
  for (SteadyTime deadline = clock_.steady() + end_patience; clock_.steady() < deadline;) {
    if (os::process_ended(process_.pidfd).value_or(true)) break;
    co_await sleep_for(end_poll);
  }
  static_cast<void>(os::signal_process(process_.pidfd, SIGKILL));
  static_cast<void>(os::wait_process(process_.pidfd));
  process_ = {};
}

void Client::close() {
  closing_ = true;
  if (control_) control_->cancel();
}

Task<Result<json::Value>> Client::call(json::Object message, std::vector<os::Fd> fds) {
  SteadyTime deadline = clock_.steady() + options_.timeout;
  while (!is_ready_ && !closing_) {
    auto seen = state_changed_.ticket();
    if (!co_await state_changed_.wait(seen, deadline)) break;
  }
  if (!is_ready_) co_return fail(Code::unavailable, "the spawn process does not run");
  uint64_t serial = ++serial_;
  message["serial"] = serial;
  auto waiting = std::make_shared<Call>(executor_);
  calls_.emplace(serial, waiting);
  std::vector<int> numbers;
  for (const os::Fd& fd : fds) numbers.push_back(fd.get());
  auto sent = os::send_packet(control_->fd(), json::serialize(std::move(message)), numbers);
  if (sent) co_await waiting->answered.wait(options_.timeout);
  calls_.erase(serial);
  if (!sent) co_return std::unexpected(std::move(sent).error());
  if (!waiting->answer) co_return fail(Code::unavailable, "the spawn process did not answer");
  if (const json::Value* error = json::find(*waiting->answer, "error"))
    co_return std::unexpected(error_from_json(*error));
  co_return *std::move(waiting->answer);
}

Task<Result<Started>> Client::start(Start start, std::vector<os::Fd> fds, std::function<void(int)> on_ended) {
  json::Object message = to_json(start);
  message["op"] = "start";
  GANTRY_CO_TRY(json::Value answer, co_await call(std::move(message), std::move(fds)));
  Started started;
  GANTRY_CO_TRY(int64_t pid, json::get_int(answer, "pid"));
  const json::Value* group = json::find(answer, "group");
  if (group == nullptr) co_return fail(Code::internal, "the spawn process names no group");
  GANTRY_CO_TRY(started.group, cgroup_from_json(*group));
  started.pid = static_cast<pid_t>(pid);
  if (auto early = ended_early_.extract(started.pid))
    on_ended(early.mapped());
  else
    starting_.emplace(started.pid, std::move(on_ended));
  co_return started;
}

void Client::release(pid_t pid) {
  starting_.erase(pid);
  if (!control_) return;
  json::Object message{{"op", "release"}, {"pid", pid}};
  static_cast<void>(os::send_packet(control_->fd(), json::serialize(std::move(message))));
}

Task<Result<>> Client::act(std::string verb, std::string name) {
  json::Object message{{"op", verb}, {"name", name}};
  auto answer = co_await call(std::move(message), {});
  if (!answer) co_return std::unexpected(std::move(answer).error());
  co_return Result<>{};
}

Task<Result<std::vector<std::string>>> Client::list() {
  json::Object message{{"op", "list"}};
  GANTRY_CO_TRY(json::Value answer, co_await call(std::move(message), {}));
  co_return json::get_strings(answer, "names");
}

}  // namespace gantry::sandbox::spawn
