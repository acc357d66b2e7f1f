// The part of the driver that deals with what was there before: sandboxes of earlier daemons, leftovers,
// and the probe that tells what this machine can do.
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "sandbox/drivers/bubblewrap/driver.h"

namespace gantry::sandbox::bubblewrap {
namespace {

namespace fs = std::filesystem;

constexpr auto hello_patience = std::chrono::seconds(5);
// Connections that have not said who they are; anybody on the machine may be able to connect.
constexpr size_t most_greeting = 1024;
constexpr auto removal_patience = std::chrono::seconds(5);
constexpr auto accept_pause = std::chrono::milliseconds(20);

constexpr const char* probed_namespaces[] = {"user", "pid", "mnt", "ipc", "uts", "cgroup", "net"};

// `name value` lines that the shim prints as a program of its own sandbox.
std::string probed(const LogChunk& output, std::string_view name) {
  for (const LogLine& line : output.lines)
    if (line.text.starts_with(name) && line.text.size() > name.size() && line.text[name.size()] == ' ')
      return line.text.substr(name.size() + 1);
  return {};
}

std::string own_namespace(const char* name) {
  std::error_code ignored;
  return fs::read_symlink(fs::path("/proc/self/ns") / name, ignored).string();
}

}  // namespace

// Coming back -----------------------------------------------------------------------------------------

Task<void> BubblewrapDriver::accept_shims(std::shared_ptr<WatchedFd> listener) {
  while (co_await listener->readable()) {
    auto connection = os::accept_packets(listener->fd());
    if (!connection) {
      co_await sleep_for(accept_pause);  // out of descriptors: the kernel would say so again at once
      continue;
    }
    if (!*connection) continue;
    if (greeting_.size() >= most_greeting) continue;  // closed; a shim tries again
    tasks_.spawn(loop_.get_executor(), welcome(*std::move(*connection)));
  }
}

Task<void> BubblewrapDriver::welcome(os::Fd connection) {
  auto peer = os::peer_credentials(connection);
  auto socket = std::make_shared<WatchedFd>(loop_.get_executor(), std::move(connection));
  greeting_.insert(socket);
  asio::steady_timer timer(loop_);
  timer.expires_after(hello_patience);
  timer.async_wait([weak = std::weak_ptr(socket)](boost::system::error_code error) {
    if (auto waiting = weak.lock(); waiting && !error) waiting->cancel();
  });
  bool readable = co_await socket->readable();
  timer.cancel();
  greeting_.erase(socket);
  os::Packet packet;
  if (!readable || !peer || os::receive_packet(socket->fd(), sizeof(shim::Message), packet) != os::Arrival::packet)
    co_return;
  shim::Message message;
  if (packet.bytes.size() != sizeof message) co_return;
  std::memcpy(&message, packet.bytes.data(), sizeof message);
  if (message.type != shim::MessageType::hello || message.version < shim::oldest_protocol_version ||
      message.version > shim::protocol_version)
    co_return;
  IdBytes bytes;
  std::memcpy(bytes.data(), message.hello.instance, bytes.size());
  auto found = instances_.find(InstanceId(bytes));
  if (found == instances_.end()) {
    if (!everybody_is_known_) co_return;  // nobody asked for it yet: it tries again
    shim::Message farewell = shim::blank_message();
    farewell.version = message.version;
    farewell.type = shim::MessageType::kill;
    // SAFETY: Message is trivially copyable.
    static_cast<void>(os::send_packet(socket->fd(), {reinterpret_cast<const char*>(&farewell), sizeof farewell}));
    co_return;
  }
  InstancePointer instance = found->second;
  const os::ProcessIdentity& recorded = instance->record().shim;
  bool same = peer->pid == recorded.pid && peer->uid == recorded.uid && !instance->attached();
  if (same) instance->reattach(socket->release(), packet, message.version);
}

std::optional<Recovered::Dead> BubblewrapDriver::adopt(const Known& known, std::vector<InstancePointer>& waiting) {
  auto record = read_record(known.instance_dir);
  SandboxRecord last;
  last.id = known.id;
  bool same_record = record && record->id == known.id;
  auto instance = std::make_shared<Instance>(*shared_, same_record ? *record : last, known.instance_dir);
  if (same_record && instance->open_process()) {
    instance->watch();
    claim_uid(record->achieved.uid, record->workspace);
    instances_.emplace(known.id, instance);
    waiting.push_back(instance);
    return std::nullopt;
  }
  instance->bury();
  return Recovered::Dead{known.id, *instance->exited()};
}

Task<Recovered> BubblewrapDriver::recover(std::vector<Known> known, Duration patience) {
  if (closed_) co_return Recovered{};
  co_return co_await shared_->on_thread(do_recover(std::move(known), patience));
}

Task<Recovered> BubblewrapDriver::do_recover(std::vector<Known> known, Duration patience) {
  Recovered recovered;
  std::vector<InstancePointer> waiting;
  for (const Known& one : known) {
    if (auto dead = adopt(one, waiting)) {
      recovered.dead.push_back(*std::move(dead));
      co_await remove_group(one.id.to_string());
    }
  }
  for (const InstancePointer& instance : waiting) co_await instance->thaw_to_reattach();
  SteadyTime deadline = parts_.clock.steady() + patience;
  for (const InstancePointer& instance : waiting) {
    if (!instance->exited()) static_cast<void>(co_await instance->greeted(deadline - parts_.clock.steady()));
    if (instance->attached()) {
      co_await instance->freeze_again();
      instance->watch_usage();
      recovered.attached.push_back(instance);
      continue;
    }
    if (closed_) break;  // let go, not given up
    instance->kill_now();
    ExitInfo exit = co_await instance->wait_exit();
    recovered.dead.push_back({instance->id(), exit});
  }
  co_return recovered;
}

// Leftovers -------------------------------------------------------------------------------------------

Task<> BubblewrapDriver::remove_leftovers(std::vector<InstanceId> known) {
  if (closed_) co_return;
  co_await shared_->on_thread(do_remove_leftovers(std::move(known)));
}

Task<> BubblewrapDriver::do_remove_leftovers(std::vector<InstanceId> known) {
  everybody_is_known_ = true;
  auto names = co_await spawn_->list();
  if (!names) co_return;
  for (const std::string& name : *names) {
    auto id = InstanceId::parse(name);
    if (!id) continue;  // not a sandbox's
    bool ours = instances_.contains(*id) || starting_.contains(*id) || std::ranges::find(known, *id) != known.end();
    if (!ours) co_await remove_group(name);
  }
}

Task<void> BubblewrapDriver::remove_group(std::string group) {
  SteadyTime deadline = parts_.clock.steady() + removal_patience;
  for (auto pause = std::chrono::milliseconds(1); parts_.clock.steady() < deadline; pause *= 2) {
    static_cast<void>(co_await spawn_->act("thaw", group));
    static_cast<void>(co_await spawn_->act("kill", group));
    auto removed = co_await spawn_->act("remove", group);
    if (removed || removed.error().code() != Code::conflict) co_return;
    co_await sleep_for(pause);
  }
}

// The probe -------------------------------------------------------------------------------------------

Task<Result<Probe>> BubblewrapDriver::probe() {
  if (closed_) co_return fail(Code::unavailable, "the sandbox driver is closed");
  co_return co_await shared_->on_thread(do_probe());
}

Task<Result<Probe>> BubblewrapDriver::do_probe() {
  Spec spec;
  spec.id = InstanceId::make(parts_.clock, parts_.random);
  spec.name = "probe";
  spec.command = {spawn::shim_place, "__probe"};
  spec.instance_dir = options_.run_dir / "probe" / spec.id.to_string();
  spec.workspace_dir = spec.instance_dir / "workspace";
  SteadyTime begin = parts_.clock.steady();
  auto started = co_await do_start(spec);
  Probe probe;
  probe.start_time = parts_.clock.steady() - begin;
  LogChunk output;
  ExitInfo exit;
  if (started) {
    probe.achieved = (*started)->achieved();
    exit = co_await (*started)->wait_exit();
    output = read_logs(spec.instance_dir, {}).value_or(LogChunk{});
  }
  static_cast<void>(os::remove_tree(options_.run_dir / "probe"));
  if (!started) co_return std::unexpected(std::move(started).error());
  if (!exit.success()) co_return fail(ErrorId::GR0301, "the probe ended with {}", exit.describe());

  // What was seen from inside counts, not what was asked for.
  probe.achieved.namespaces.clear();
  for (const char* space : probed_namespaces) {
    std::string inside = probed(output, space);
    std::string_view shown = std::string_view(space) == "mnt" ? "mount" : space;
    if (!inside.empty() && inside != own_namespace(space)) probe.achieved.namespaces.emplace_back(shown);
  }
  constexpr std::string_view filtered = "2";  // Seccomp: of proc(5)
  probe.achieved.seccomp = probed(output, "seccomp") == filtered ? Grade::enforced : Grade::none;
  const std::string& reason = spawn_->ready().group_reason;
  if (!reason.empty()) probe.notes.push_back("control groups: " + reason);
  co_return probe;
}

}  // namespace gantry::sandbox::bubblewrap
