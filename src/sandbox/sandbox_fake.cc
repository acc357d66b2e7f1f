#include "sandbox/sandbox_fake.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace gantry::sandbox {

struct FakeWorld {
  explicit FakeWorld(Clock& its_clock) : clock(its_clock) {}
  Clock& clock;
  std::mutex mutex;
  std::map<uint16_t, uint16_t> ports;
  std::deque<Error> failures;
  std::deque<ExitInfo> short_lives;
};

namespace {

constexpr pid_t first_pid = 100'000;

Achieved pretend(const Spec& spec) {
  Achieved achieved;
  achieved.driver = "fake";
  achieved.uid = 1000;
  achieved.limits.push_back({"memory", format_bytes(spec.limits.memory), Grade::none, "nothing is executed"});
  return achieved;
}

Result<os::Fd> connect_loopback(uint16_t port) {
  os::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd) return fail_errno("make a socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // SAFETY: sockaddr_in is the address type of AF_INET; connect takes the generic type.
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail(ErrorId::GR0306, "{}", errno_error(errno, "connect").reason());
  int flags = ::fcntl(fd.get(), F_GETFL);
  if (::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) return fail_errno("make a socket non-blocking");
  return fd;
}

}  // namespace

FakeSandbox::FakeSandbox(std::shared_ptr<FakeWorld> world, Spec spec, pid_t pid)
    : world_(std::move(world)),
      spec_(std::move(spec)),
      pid_(pid),
      started_at_(world_->clock.now()),
      achieved_(pretend(spec_)) {}

Task<Result<os::Fd>> FakeSandbox::dial(uint16_t port) {
  {
    std::lock_guard lock(mutex_);
    if (end_) co_return fail(ErrorId::GR0306, "the sandbox has ended");
    if (listening_ == Listening::no) co_return fail(ErrorId::GR0306, "port {}: connect: Connection refused", port);
  }
  uint16_t host_port = 0;
  {
    std::lock_guard lock(world_->mutex);
    auto found = world_->ports.find(port);
    if (found == world_->ports.end()) co_return fail(ErrorId::GR0306, "port {}: nothing is served", port);
    host_port = found->second;
  }
  co_return connect_loopback(host_port);
}

Result<os::Fd> FakeSandbox::listener(uint16_t port) {
  return fail(Code::not_found, "the sandbox has no listener on port {}", port);
}

Task<Result<>> FakeSandbox::signal(int number, SignalTarget) {
  std::lock_guard lock(mutex_);
  if (end_) co_return fail(ErrorId::GR0306, "the sandbox has ended");
  signals_.push_back(number);
  co_return Result<>{};
}

Task<ExitInfo> FakeSandbox::stop(Duration) {
  {
    std::lock_guard lock(mutex_);
    if (!end_) signals_.push_back(SIGTERM);
  }
  end({.reason = ExitReason::exited, .code = 128 + SIGTERM, .signal = SIGTERM});
  co_return *exited();
}

Task<Result<>> FakeSandbox::pause() {
  std::lock_guard lock(mutex_);
  if (end_) co_return fail(ErrorId::GR0306, "the sandbox has ended");
  paused_ = true;
  co_return Result<>{};
}

Task<Result<>> FakeSandbox::resume() {
  std::lock_guard lock(mutex_);
  if (end_) co_return fail(ErrorId::GR0306, "the sandbox has ended");
  paused_ = false;
  co_return Result<>{};
}

Task<Result<Stats>> FakeSandbox::stats() {
  std::lock_guard lock(mutex_);
  if (end_) co_return fail(ErrorId::GR0306, "the sandbox has ended");
  co_return Stats{.memory = mebibytes(10), .cpu_time = world_->clock.now() - started_at_, .pids = 1};
}

Task<ExitInfo> FakeSandbox::wait_exit() {
  for (;;) {
    auto seen = ended_.ticket();
    if (auto end = exited()) co_return *end;
    co_await ended_.wait(seen, world_->clock.steady() + std::chrono::hours(1));
  }
}

std::optional<ExitInfo> FakeSandbox::exited() const {
  std::lock_guard lock(mutex_);
  return end_;
}

void FakeSandbox::on_exit(std::function<void(const ExitInfo&)> callback) {
  std::optional<ExitInfo> known;
  {
    std::lock_guard lock(mutex_);
    known = end_;
    if (!known) callbacks_.push_back(std::move(callback));
  }
  if (known) callback(*known);
}

bool FakeSandbox::paused() const {
  std::lock_guard lock(mutex_);
  return paused_;
}

std::vector<int> FakeSandbox::signals() const {
  std::lock_guard lock(mutex_);
  return signals_;
}

void FakeSandbox::end(ExitInfo info) {
  std::vector<std::function<void(const ExitInfo&)>> callbacks;
  if (!info.at) info.at = world_->clock.now();
  {
    std::lock_guard lock(mutex_);
    if (end_) return;
    end_ = info;
    callbacks.swap(callbacks_);
  }
  ended_.notify();
  for (auto& callback : callbacks) callback(info);
}

void FakeSandbox::set_listening(Listening listening) {
  std::lock_guard lock(mutex_);
  listening_ = listening;
}

FakeDriver::FakeDriver(Clock& clock)
    : world_(std::make_shared<FakeWorld>(clock)), sandboxes_(std::make_shared<Sandboxes>()) {}

Task<Result<Probe>> FakeDriver::probe() { co_return Probe{.achieved = pretend(Spec{}), .version = "fake"}; }

Task<Result<std::shared_ptr<Sandbox>>> FakeDriver::start(Spec spec) {
  std::shared_ptr<FakeSandbox> sandbox;
  std::optional<ExitInfo> short_life;
  {
    std::lock_guard lock(world_->mutex);
    if (!world_->failures.empty()) {
      Error error = std::move(world_->failures.front());
      world_->failures.pop_front();
      co_return std::unexpected(std::move(error));
    }
    for (const auto& other : *sandboxes_)
      if (other->id() == spec.id && !other->exited()) co_return fail(Code::conflict, "the instance runs already");
    if (!world_->short_lives.empty()) {
      short_life = world_->short_lives.front();
      world_->short_lives.pop_front();
    }
    auto pid = static_cast<pid_t>(first_pid + static_cast<pid_t>(sandboxes_->size()));
    sandbox = std::make_shared<FakeSandbox>(world_, std::move(spec), pid);
    sandboxes_->push_back(sandbox);
  }
  if (short_life) sandbox->end(*short_life);
  co_return sandbox;
}

Task<Recovered> FakeDriver::recover(std::vector<Known> known, Duration) {
  Recovered recovered;
  std::lock_guard lock(world_->mutex);
  for (const Known& one : known) {
    auto last = std::ranges::find(sandboxes_->rbegin(), sandboxes_->rend(), one.id, &FakeSandbox::id);
    if (last == sandboxes_->rend())
      recovered.dead.push_back({one.id, {}});
    else if (auto end = (*last)->exited())
      recovered.dead.push_back({one.id, *end});
    else
      recovered.attached.push_back(*last);
  }
  co_return recovered;
}

Task<> FakeDriver::remove_leftovers(std::vector<InstanceId> known) {
  for (const auto& sandbox : running())
    if (std::ranges::find(known, sandbox->id()) == known.end())
      sandbox->end({.reason = ExitReason::exited, .code = 128 + SIGKILL, .signal = SIGKILL});
  co_return;
}

void FakeDriver::serve(uint16_t port, uint16_t host_port) {
  std::lock_guard lock(world_->mutex);
  world_->ports[port] = host_port;
}

void FakeDriver::fail_next_start(Error error) {
  std::lock_guard lock(world_->mutex);
  world_->failures.push_back(std::move(error));
}

void FakeDriver::end_next_start(ExitInfo info) {
  std::lock_guard lock(world_->mutex);
  world_->short_lives.push_back(std::move(info));
}

std::vector<std::shared_ptr<FakeSandbox>> FakeDriver::running() const {
  std::lock_guard lock(world_->mutex);
  std::vector<std::shared_ptr<FakeSandbox>> alive;
  for (const auto& sandbox : *sandboxes_)
    if (!sandbox->exited()) alive.push_back(sandbox);
  return alive;
}

size_t FakeDriver::starts() const {
  std::lock_guard lock(world_->mutex);
  return sandboxes_->size();
}

}  // namespace gantry::sandbox
