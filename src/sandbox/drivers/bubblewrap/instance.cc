#include "sandbox/drivers/bubblewrap/instance.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "sandbox/drivers/bubblewrap/dial.h"
#include "sandbox/drivers/bubblewrap/shim_config.h"

namespace gantry::sandbox::bubblewrap {
namespace {

constexpr auto group_patience = std::chrono::seconds(5);

Error gone() { return Error(ErrorId::GR0306, "the sandbox has ended"); }

}  // namespace

Instance::Instance(Shared& shared, SandboxRecord record, std::filesystem::path instance_dir)
    : shared_(shared),
      record_(std::move(record)),
      instance_dir_(std::move(instance_dir)),
      pool_(shared.options.pool_low_water),
      hello_(shared.executor),
      started_(shared.executor) {}

Instance::~Instance() = default;

// Connections -----------------------------------------------------------------------------------------

Task<Result<os::Fd>> Instance::dial(uint16_t port) {
  auto self = shared_from_this();
  SocketPool::Taken taken = pool_.take();
  if (taken.closed) co_return std::unexpected(gone());
  if (taken.refill) asio::post(shared_.executor, [self] { self->ask_for_sockets(self->shared_.options.pool_batch); });
  if (!taken.socket) {
    GANTRY_CO_TRY(taken.socket, co_await wait_for_socket());
  }
  co_return co_await connect_inside(*std::move(taken.socket), port, shared_.options.dial_timeout);
}

// Only after a burst that emptied the pool: the shim answers within 100 µs or so.
Task<Result<os::Fd>> Instance::wait_for_socket() {
  auto self = shared_from_this();
  SteadyTime deadline = shared_.clock.steady() + shared_.options.dial_timeout;
  for (;;) {
    auto seen = pool_.changed().ticket();
    SocketPool::Taken taken = pool_.take();
    if (taken.closed) co_return std::unexpected(gone());
    if (taken.refill) asio::post(shared_.executor, [self] { self->ask_for_sockets(self->shared_.options.pool_batch); });
    if (taken.socket) co_return *std::move(taken.socket);
    if (!co_await pool_.changed().wait(seen, deadline)) break;
  }
  co_return fail(ErrorId::GR0306, "the sandbox gives no sockets");
}

Result<os::Fd> Instance::listener(uint16_t port) {
  std::lock_guard lock(mutex_);
  auto found = listeners_.find(port);
  if (found == listeners_.end()) return fail(Code::not_found, "the sandbox has no listener on port {}", port);
  os::Fd copy(fcntl(found->second.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return fail_errno("duplicate a listener");
  return copy;
}

void Instance::ask_for_sockets(uint32_t count) {
  shim::Message message = shim::blank_message();
  message.count = std::min(count, shim::max_sockets);
  if (!send(shim::MessageType::want_sockets, message)) pool_.forget_request();
}

void Instance::take_sockets(std::vector<os::Fd> fds) {
  if (!check_sockets(fds, false)) fds.clear();
  pool_.put(std::move(fds));
}

Result<> Instance::check_sockets(std::span<const os::Fd> fds, bool listening) const {
  for (const os::Fd& fd : fds) {
    GANTRY_TRY(os::SocketFacts facts, os::describe_socket(fd));
    GANTRY_TRY_VOID(check_socket(facts, {record_.network, shared_.host_network, listening}));
  }
  return {};
}

// The conversation with the shim ----------------------------------------------------------------------

void Instance::attach(os::Fd control) {
  control_ = std::make_shared<WatchedFd>(shared_.executor, std::move(control));
  shared_.tasks.spawn(shared_.executor, serve(control_));
}

void Instance::detach() {
  if (control_) control_->cancel();
  control_.reset();
  if (process_) process_->cancel();
  process_.reset();  // whoever keeps the sandbox may keep it longer than there is a loop to watch it
  pool_.close();
  lose_runs();
  {
    std::lock_guard lock(mutex_);
    detached_ = true;
  }
  hello_.open();
  started_.open();
  ended_.notify();
}

Task<void> Instance::serve(std::shared_ptr<WatchedFd> control) {
  auto self = shared_from_this();
  os::Packet packet;
  bool open = true;
  while (open && co_await control->readable()) {
    for (;;) {
      auto arrival = os::receive_packet(control->fd(), sizeof(shim::Message), packet);
      if (arrival && *arrival == os::Arrival::nothing) break;
      if (!arrival && arrival.error().code() == Code::invalid) {
        // This process has no room for more descriptors; what was sent is gone.
        pool_.put({});
        continue;
      }
      open = arrival && *arrival == os::Arrival::packet && packet.bytes.size() == sizeof(shim::Message);
      if (!open) break;
      shim::Message message;
      std::memcpy(&message, packet.bytes.data(), sizeof message);
      take(message, std::move(packet));
    }
  }
  // The shim is gone, or it will connect again: the process tells which. Its runs it has killed.
  if (control_ == control) {
    control_.reset();
    lose_runs();
  }
  hello_.open();
  started_.open();
}

void Instance::take(const shim::Message& message, os::Packet packet) {
  switch (message.type) {
    case shim::MessageType::hello:
      if (auto checked = check_hello(packet); !checked) hello_error_ = std::move(checked).error();
      hello_.open();
      break;
    case shim::MessageType::started:
      start_report_ = message.started;
      if (packet.fds.size() == record_.listeners.size() && check_sockets(packet.fds, true)) {
        std::lock_guard lock(mutex_);
        for (size_t i = 0; i < packet.fds.size(); ++i) listeners_[record_.listeners[i]] = std::move(packet.fds[i]);
      }
      started_.open();
      break;
    case shim::MessageType::sockets:
      take_sockets(std::move(packet.fds));
      break;
    case shim::MessageType::usage:
      usage_ = message.usage;
      if (usage_gate_) usage_gate_->open();
      break;
    case shim::MessageType::exited:
      exited_ = message.exited;
      break;
    case shim::MessageType::ran:
    case shim::MessageType::run_ended:
      take_run(message, packet);
      break;
    default:
      break;
  }
}

// The first hello: its sender, as the kernel names it, is the shim; its socket's network is the sandbox's.
Result<> Instance::check_hello(const os::Packet& packet) {
  if (!packet.sender) return fail(Code::denied, "the kernel does not say who answered");
  if (packet.sender->uid != record_.achieved.uid) return fail(Code::denied, "somebody else answered");
  GANTRY_TRY(record_.shim, os::identify_process(packet.sender->pid));
  if (packet.fds.size() != 1) return fail(Code::denied, "the shim sent no socket");
  GANTRY_TRY(os::SocketFacts facts, os::describe_socket(packet.fds[0]));
  record_.network = facts.network;
  return check_sockets(packet.fds, false);
}

Task<Result<>> Instance::greeted(Duration patience) {
  bool heard = co_await hello_.wait(patience);
  if (hello_error_) co_return std::unexpected(*hello_error_);
  if (!heard) co_return fail(Code::timeout, "no sign of life within {}", format_duration(patience));
  if (record_.shim.pid == 0) co_return fail(Code::unavailable, "it ended before it was ready");
  co_return Result<>{};
}

Task<Result<>> Instance::configure(const std::string& config, Duration patience) {
  GANTRY_CO_TRY(os::Fd file, sealed_file(config));
  shim::Message message = shim::blank_message();
  message.bytes = config.size();
  const int fds[] = {file.get()};
  GANTRY_CO_TRY_VOID(send(shim::MessageType::configure, message, fds));
  bool heard = co_await started_.wait(patience);
  if (!heard) co_return fail(Code::timeout, "the program did not start within {}", format_duration(patience));
  if (!start_report_) co_return fail(Code::unavailable, "it ended while it started the program");
  GANTRY_CO_TRY_VOID(check_stage(start_report_->stage, start_report_->error));
  size_t listeners = 0;
  {
    std::lock_guard lock(mutex_);
    listeners = listeners_.size();
  }
  if (listeners != record_.listeners.size()) co_return fail(Code::denied, "the shim's listeners are not its own");
  if (pool_.take().refill) ask_for_sockets(shared_.options.pool_first);
  co_return Result<>{};
}

bool Instance::reattach(os::Fd control, const os::Packet& hello, uint32_t version) {
  if (hello.fds.size() != record_.listeners.size() + 1) return false;
  auto probe = std::span(hello.fds).first(1);
  auto listeners = std::span(hello.fds).subspan(1);
  if (!check_sockets(probe, false) || !check_sockets(listeners, true)) return false;
  {
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < listeners.size(); ++i) {
      os::Fd copy(fcntl(listeners[i].get(), F_DUPFD_CLOEXEC, 0));
      listeners_[record_.listeners[i]] = std::move(copy);
    }
  }
  attach(std::move(control));
  shim_version_ = version;
  static_cast<void>(send(shim::MessageType::welcome, shim::blank_message()));
  if (pool_.take().refill) ask_for_sockets(shared_.options.pool_first);
  hello_.open();
  return true;
}

Result<> Instance::send(shim::MessageType type, shim::Message message, std::span<const int> fds) {
  if (!control_) return fail(Code::unavailable, "the sandbox has no control connection");
  message.version = shim_version_;
  message.type = type;
  // SAFETY: Message is trivially copyable and without padding that matters: it was zeroed.
  std::string_view bytes(reinterpret_cast<const char*>(&message), sizeof message);
  return os::send_packet(control_->fd(), bytes, fds);
}

// The end ---------------------------------------------------------------------------------------------

Result<> Instance::open_process() {
  GANTRY_TRY(os::Fd pidfd, os::open_pidfd(record_.shim.pid));
  // Between the hello, or the record, and the pidfd the number may have changed hands.
  GANTRY_TRY(os::ProcessIdentity now, os::identify_process(record_.shim.pid));
  if (now != record_.shim) return fail(Code::unavailable, "the shim has ended");
  process_ = std::make_shared<WatchedFd>(shared_.executor, std::move(pidfd));
  return {};
}

void Instance::watch() { shared_.tasks.spawn(shared_.executor, watch_end(process_)); }

Task<void> Instance::watch_end(std::shared_ptr<WatchedFd> process) {
  auto self = shared_from_this();
  if (!co_await process->readable()) co_return;  // detached
  co_await end();
}

void Instance::watch_usage() {
  if (record_.limits.workspace.count == 0) return;
  auto root = os::open_directory(record_.workspace);
  if (!root) return;
  std::weak_ptr<Instance> weak = weak_from_this();
  auto exceeded = [weak, executor = shared_.executor] {
    asio::post(executor, [weak] {
      auto self = weak.lock();
      if (!self || self->exited()) return;
      self->stopped_for_workspace_ = true;
      self->kill_now();
    });
  };
  auto processes = [group = record_.group, pid = record_.shim.pid] {
    constexpr size_t most = 4096;
    std::vector<pid_t> members = group.members();
    return members.empty() ? os::process_tree(pid, most) : members;
  };
  shared_.usage.add(record_.id, *std::move(root), record_.limits.workspace, processes, std::move(exceeded));
}

void Instance::kill_now() {
  // Frozen processes die only when they thaw; the group is killed as a whole so that none can fork away.
  if (process_) static_cast<void>(os::signal_process(process_->fd(), SIGKILL));
  shared_.tasks.spawn(shared_.executor, kill_group());
}

Task<void> Instance::kill_group() {
  auto self = shared_from_this();
  if (paused_) static_cast<void>(co_await shared_.spawn.act("thaw", group_name()));
  static_cast<void>(co_await shared_.spawn.act("kill", group_name()));
}

// The driver does not have it in its books, so it is not told.
void Instance::bury() {
  Evidence evidence{read_exit_file(instance_dir_), record_.group.oom_kills(), false, record_.limits};
  ExitInfo info = explain_exit(evidence);
  // It may have gone with the machine: that somebody killed it is only known where its end is seen.
  if (info.reason == ExitReason::lost) info.signal = 0;
  if (!info.at) info.at = shared_.clock.now();
  pool_.close();
  std::lock_guard lock(mutex_);
  end_ = info;
}

// Pid 1 is dead, so the kernel has killed everything else before: the group is empty.
Task<void> Instance::end() {
  pool_.close();
  shared_.usage.remove(record_.id);
  // What the shim said last may still be in the socket.
  if (control_) {
    os::Packet packet;
    while (os::receive_packet(control_->fd(), sizeof(shim::Message), packet) == os::Arrival::packet) {
      shim::Message message;
      if (packet.bytes.size() != sizeof message) continue;
      std::memcpy(&message, packet.bytes.data(), sizeof message);
      if (message.type == shim::MessageType::exited) exited_ = message.exited;
      if (message.type == shim::MessageType::ran || message.type == shim::MessageType::run_ended)
        take_run(message, packet);
    }
    control_->cancel();
    control_.reset();
  }
  lose_runs();
  Evidence evidence{exited_ ? exited_ : read_exit_file(instance_dir_), record_.group.oom_kills(),
                    stopped_for_workspace_, record_.limits};
  SteadyTime deadline = shared_.clock.steady() + group_patience;
  for (auto pause = std::chrono::milliseconds(1); shared_.clock.steady() < deadline; pause *= 2) {
    auto removed = co_await shared_.spawn.act("remove", group_name());
    if (removed || removed.error().code() != Code::conflict) break;
    co_await sleep_for(pause);
  }
  publish(explain_exit(evidence));
}

void Instance::publish(ExitInfo info) {
  if (!info.at) info.at = shared_.clock.now();
  std::vector<std::function<void(const ExitInfo&)>> callbacks;
  {
    std::lock_guard lock(mutex_);
    end_ = info;
    listeners_.clear();
    callbacks.swap(callbacks_);
  }
  process_.reset();
  hello_.open();  // it says nothing any more
  shared_.on_end(*this);
  ended_.notify();
  for (auto& callback : callbacks) callback(info);
}

std::optional<ExitInfo> Instance::exited() const {
  std::lock_guard lock(mutex_);
  return end_;
}

void Instance::on_exit(std::function<void(const ExitInfo&)> callback) {
  std::optional<ExitInfo> known;
  {
    std::lock_guard lock(mutex_);
    known = end_;
    if (!known) {
      callbacks_.push_back(std::move(callback));
      return;
    }
  }
  callback(*known);
}

std::optional<ExitInfo> Instance::outcome() const {
  std::lock_guard lock(mutex_);
  return detached_ && !end_ ? ExitInfo{} : end_;
}

Task<ExitInfo> Instance::wait_exit() {
  auto self = shared_from_this();
  for (;;) {
    auto seen = ended_.ticket();
    if (auto end = outcome()) co_return *end;
    co_await ended_.wait(seen, shared_.clock.steady() + std::chrono::hours(1));
  }
}

}  // namespace gantry::sandbox::bubblewrap
