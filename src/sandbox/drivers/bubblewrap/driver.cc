#include "sandbox/drivers/bubblewrap/driver.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <future>

#include "sandbox/drivers/bubblewrap/shim_config.h"
#include "sandbox/drivers/bubblewrap/workspace.h"

namespace gantry::sandbox {

std::unique_ptr<Driver> make_bubblewrap_driver(DriverParts parts, DriverOptions options) {
  return std::make_unique<bubblewrap::BubblewrapDriver>(parts, std::move(options));
}

namespace bubblewrap {
namespace {

namespace fs = std::filesystem;

constexpr int backlog = 512;
constexpr auto open_patience = std::chrono::seconds(15);
// The shim keeps connections of its own, so the program gets half of what there is at most.
constexpr uint64_t files_divisor = 2;

// One for each data directory, so that two daemons on a machine do not meet.
std::string group_name(const fs::path& run_dir) {
  struct stat status{};
  if (::stat(run_dir.c_str(), &status) != 0) return "gantry";
  return fmt::format("gantry-{:x}-{:x}", status.st_dev, status.st_ino);
}

}  // namespace

BubblewrapDriver::BubblewrapDriver(DriverParts parts, DriverOptions options)
    : parts_(parts), options_(std::move(options)), rootless_(::geteuid() != 0), next_uid_(options_.first_uid) {}

BubblewrapDriver::~BubblewrapDriver() { close(); }

Result<> BubblewrapDriver::check_machine() const {
  if (::access(options_.bwrap_program.c_str(), X_OK) != 0)
    return std::unexpected(Error(ErrorId::GR0304, fmt::format("{} is missing", options_.bwrap_program.string()))
                               .with_hint("install the package bubblewrap (0.8 or newer)"));
  auto network = os::own_network();
  if (!network && network.error().code() == Code::unsupported)
    return std::unexpected(Error(ErrorId::GR0305, "the kernel is older than 5.14"));
  return {};
}

Result<> BubblewrapDriver::open() {
  GANTRY_TRY_VOID(check_machine());
  guard_.emplace(loop_.get_executor());
  thread_ = std::thread([this] { loop_.run(); });
  closed_ = false;
  std::promise<Result<>> opened;
  asio::co_spawn(loop_, open_on_thread(), [&opened](std::exception_ptr, Result<> result) { opened.set_value(result); });
  Result<> result = opened.get_future().get();
  if (!result) close();
  return result;
}

Result<> BubblewrapDriver::open_here() {
  GANTRY_TRY_VOID(write_root_files(options_.run_dir));
  GANTRY_TRY(filters_, build_filters());
  host_ = find_host_view(options_.host_paths);
  // Each sandbox costs some twenty descriptors here, and shells start programs with 1024 of them.
  GANTRY_TRY(uint64_t files, os::raise_descriptor_limit());
  most_files_ = files / files_divisor;
  // For the shims to come back to; who connects is checked by pid and uid.
  GANTRY_TRY(os::Fd listener, os::listen_packets(options_.run_dir / shim::control_name, 0666, backlog));
  listener_ = std::make_shared<WatchedFd>(loop_.get_executor(), std::move(listener));
  GANTRY_TRY(run_fd_, os::open_file(options_.run_dir, O_PATH | O_DIRECTORY));
  shared_dirs_ = options_.shared_dirs;
  shared_dirs_.push_back(options_.run_dir);
  return {};
}

Task<Result<>> BubblewrapDriver::open_on_thread() {
  GANTRY_CO_TRY_VOID(open_here());
  GANTRY_CO_TRY(uint64_t network, os::own_network());
  std::vector<fs::path> shown = shared_dirs_;
  shown.emplace_back(spawn::covered_directory);
  spawn::ClientOptions client{.program = options_.spawn_program,
                              .setup = {group_name(options_.run_dir), std::move(shown), options_.bwrap_program, 0},
                              .timeout = open_patience};
  spawn_ = std::make_unique<spawn::Client>(loop_.get_executor(), parts_.clock, std::move(client));
  usage_ = std::make_unique<UsageWatch>(parts_.clock, UsageWatchOptions{.interval = options_.usage_interval});
  shared_ = std::make_unique<Shared>(Shared{loop_.get_executor(), parts_.clock, options_, *spawn_, *usage_, tasks_,
                                            network, [this](Instance& instance) { forget(instance); }});
  auto ready = co_await spawn_->open();
  if (!ready) co_return std::unexpected(std::move(ready).error().wrap("start the spawn process"));
  tasks_.spawn(loop_.get_executor(), accept_shims(listener_));
  co_return Result<>{};
}

void BubblewrapDriver::close() {
  if (!thread_.joinable()) return;
  closed_ = true;
  asio::post(loop_, [this] { close_on_thread(); });
  guard_.reset();
  thread_.join();
  tasks_.join();
  instances_.clear();
  if (usage_) usage_->stop();
}

void BubblewrapDriver::close_on_thread() {
  if (listener_) listener_->cancel();
  for (const auto& connection : greeting_) connection->cancel();
  for (auto& [id, instance] : starting_)
    if (instance) instance->detach();
  for (auto& [id, instance] : instances_) instance->detach();
  if (spawn_) spawn_->close();
}

void BubblewrapDriver::forget(Instance& instance) {
  release_uid(instance.record().achieved.uid);
  instances_.erase(instance.id());
}

// Starting --------------------------------------------------------------------------------------------

Task<Result<std::shared_ptr<Sandbox>>> BubblewrapDriver::start(Spec spec) {
  if (closed_) co_return fail(Code::unavailable, "the sandbox driver is closed");
  GANTRY_CO_TRY(InstancePointer instance, co_await shared_->on_thread(do_start(std::move(spec))));
  co_return instance;
}

Result<> BubblewrapDriver::check_spec(const Spec& spec) const {
  constexpr Bytes least_memory = mebibytes(4);
  if (!spec.id) return fail(Code::invalid, "the instance has no id");
  if (!is_name(spec.name)) return fail(Code::invalid, "'{}' is not a name", spec.name);
  if (spec.command.empty()) return fail(Code::invalid, "the command is empty");
  if (spec.listeners.size() > shim::max_listeners)
    return fail(Code::invalid, "more than {} listeners", shim::max_listeners);
  if (spec.limits.memory.count > 0 && spec.limits.memory < least_memory)
    return fail(Code::invalid, "a memory limit below {}", format_bytes(least_memory));
  for (const fs::path* path : {&spec.instance_dir, &spec.workspace_dir})
    if (!path->is_absolute()) return fail(Code::invalid, "'{}' is not an absolute path", path->string());
  auto has_zero = [](std::string_view text) { return text.contains('\0'); };
  bool zeroes = std::ranges::any_of(spec.command, has_zero) || std::ranges::any_of(spec.env, [&](const auto& pair) {
                  return has_zero(pair.first) || has_zero(pair.second) || pair.first.contains('=');
                });
  if (zeroes) return fail(Code::invalid, "the command or the environment has a zero byte or '=' in a name");
  for (const Volume& volume : spec.volumes)
    if (!volume.host.is_absolute() || !volume.place.starts_with('/') || has_zero(volume.place))
      return fail(Code::invalid, "the volume '{}' is not absolute on both sides", volume.place);
  if (instances_.contains(spec.id) || starting_.contains(spec.id))
    return fail(Code::conflict, "the instance runs already");
  if (instances_.size() + starting_.size() >= options_.max_sandboxes)
    return fail(Code::exhausted, "{} sandboxes run already", options_.max_sandboxes);
  return {};
}

bool BubblewrapDriver::claim_uid(uid_t uid, const fs::path& workspace) {
  auto [found, is_new] = uids_.try_emplace(uid, UidHolders{workspace, 0});
  if (!is_new && found->second.workspace != workspace) return false;
  ++found->second.count;
  return true;
}

void BubblewrapDriver::release_uid(uid_t uid) {
  auto found = uids_.find(uid);
  if (found != uids_.end() && --found->second.count == 0) uids_.erase(found);
}

// The owner of the workspace unless a stranger runs with it, so that nothing has to change hands and a sandbox that
// shares the workspace keeps its access; else the next one that nobody has.
Result<uid_t> BubblewrapDriver::choose_uid(const Spec& spec) {
  if (rootless_) return ::geteuid();
  struct stat status{};
  if (::stat(spec.workspace_dir.c_str(), &status) == 0 && status.st_uid >= options_.first_uid &&
      status.st_uid <= options_.last_uid && claim_uid(status.st_uid, spec.workspace_dir))
    return status.st_uid;
  for (uint32_t tried = options_.first_uid; tried <= options_.last_uid; ++tried) {
    uid_t uid = next_uid_;
    next_uid_ = uid == options_.last_uid ? options_.first_uid : uid + 1;
    if (!uids_.contains(uid) && claim_uid(uid, spec.workspace_dir)) return uid;
  }
  return fail(Code::exhausted, "every uid from {} to {} is in use", options_.first_uid, options_.last_uid);
}

fs::path BubblewrapDriver::visible(const fs::path& path) const {
  const std::vector<fs::path>& places = spawn_->ready().visible;
  for (size_t i = 0; i < shared_dirs_.size() && i < places.size(); ++i) {
    fs::path below = path.lexically_relative(shared_dirs_[i]);
    if (below.empty() || *below.begin() == "..") continue;
    return below == "." ? places[i] : places[i] / below;
  }
  const fs::path below = path.lexically_relative(spawn::covered_directory);
  const bool is_covered = !below.empty() && *below.begin() != ".." && places.size() > shared_dirs_.size();
  if (is_covered) return (places[shared_dirs_.size()] / below).lexically_normal();
  return path;
}

// As root, the sandbox's uid must be able to walk to the path from the shared directory above it.
Result<> BubblewrapDriver::let_pass(const fs::path& path) const {
  if (rootless_) return {};
  for (const fs::path& top : shared_dirs_) {
    fs::path below = path.lexically_relative(top);
    if (below.empty() || *below.begin() == "..") continue;
    return open_way(top, path);
  }
  return fail(Code::invalid, "'{}' is below no shared directory of the sandbox driver", path.string());
}

Achieved BubblewrapDriver::describe(const Spec& spec, uid_t uid) const {
  const os::CgroupAbilities& groups = spawn_->ready().abilities;
  Achieved achieved;
  achieved.driver = name();
  achieved.rootless = rootless_;
  achieved.uid = uid;
  // bubblewrap fails rather than leave one out; `probe` looks from inside.
  achieved.namespaces = {"user", "pid", "mount", "ipc", "uts", "cgroup", "net"};
  achieved.seccomp = Grade::enforced;
  achieved.pause = groups.freeze.empty() ? Grade::best_effort : Grade::enforced;
  auto add = [&](std::string limit_name, std::string limit, Grade grade, std::string how) {
    if (limit.empty()) limit = "none", grade = Grade::none, how = "no bound asked for";
    achieved.limits.push_back({std::move(limit_name), std::move(limit), grade, std::move(how)});
  };
  auto group_or = [&](const std::string& file, Grade grade, const char* otherwise) {
    return file.empty() ? std::pair(grade, std::string(otherwise)) : std::pair(Grade::enforced, "cgroup " + file);
  };
  const Limits& limits = spec.limits;
  auto size = [](Bytes bytes) { return bytes.count == 0 ? std::string() : format_bytes(bytes); };
  auto [memory_grade, memory_how] = group_or(groups.memory, Grade::best_effort, "RLIMIT_DATA of each process");
  add("memory", size(limits.memory), memory_grade, memory_how);
  auto [cpu_grade, cpu_how] = group_or(groups.cpu, Grade::none, "no cgroup cpu controller");
  add("cpu", limits.cpu.count == 0 ? "" : format_cpu(limits.cpu), cpu_grade, cpu_how);
  auto [pids_grade, pids_how] = group_or(groups.pids, Grade::best_effort, "RLIMIT_NPROC in its user namespace");
  add("pids", limits.pids == 0 ? "" : std::to_string(limits.pids), pids_grade, pids_how);
  add("tmp", size(limits.tmp), Grade::enforced, "size of tmpfs");
  add("workspace", size(limits.workspace), Grade::best_effort, "measured, and RLIMIT_FSIZE");
  uint64_t files = std::min<uint64_t>(limits.open_files, most_files_);
  add("files", std::to_string(files), Grade::enforced, "RLIMIT_NOFILE of each process");
  return achieved;
}

// Everything on disk and every descriptor that the spawn process needs.
Result<std::vector<os::Fd>> BubblewrapDriver::prepare_start(Attempt& attempt, os::Fd shim_end) {
  const Spec& spec = attempt.spec;
  uid_t uid = attempt.record.achieved.uid;
  GANTRY_TRY_VOID(os::make_directories(spec.instance_dir, 0711));
  GANTRY_TRY(os::Fd logs, own_directory(spec.instance_dir / "logs", uid));
  if (::unlinkat(logs.get(), shim::exit_name, 0) != 0 && errno != ENOENT) return fail_errno("remove an old exit file");
  GANTRY_TRY(os::Fd workspace, own_directory(spec.workspace_dir, uid));
  fs::path hosts = spec.instance_dir / "hosts";
  GANTRY_TRY(os::Fd hosts_out, os::open_file(hosts, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644));
  GANTRY_TRY_VOID(os::write_all(hosts_out, hosts_file(spec.name)));
  if (::fchmod(hosts_out.get(), 0644) != 0) return fail_errno("set the mode of " + hosts.string());
  for (const fs::path* path : {&spec.instance_dir, &spec.workspace_dir, &spec.app_dir})
    if (!path->empty() && path != &spec.workspace_dir) GANTRY_TRY_VOID(let_pass(*path));
  GANTRY_TRY_VOID(let_pass(spec.workspace_dir.parent_path()));

  GANTRY_TRY_VOID(check_access(spec.volumes, uid));
  const fs::path app = spec.app_dir.empty() ? options_.run_dir / empty_directory : spec.app_dir;
  SandboxPlaces places{.run_dir = visible(options_.run_dir),
                       .app = {},
                       .workspace = visible(spec.workspace_dir),
                       .hosts = visible(hosts),
                       .volumes = spec.volumes};
  for (Volume& volume : places.volumes) volume.host = visible(volume.host);
  GANTRY_TRY(places.app, lay_out_app(app, spec.volumes));
  for (AppPart& part : places.app)
    if (part.kind == AppPart::Kind::files) part.source = visible(part.source);
  os::Fd arguments(memfd_create("arguments", MFD_CLOEXEC));
  attempt.errors = os::Fd(memfd_create("errors", MFD_CLOEXEC));
  if (!arguments || !attempt.errors) return fail_errno("make a memory file");
  GANTRY_TRY_VOID(os::write_all(arguments, bwrap_arguments(host_, places, spec)));
  if (::lseek(arguments.get(), 0, SEEK_SET) != 0) return fail_errno("rewind a memory file");

  std::vector<os::Fd> fds;
  fds.push_back(std::move(shim_end));
  for (const os::Fd* source : {&run_fd_, &logs, &arguments, &attempt.errors}) {
    fds.emplace_back(fcntl(source->get(), F_DUPFD_CLOEXEC, 0));
    if (!fds.back()) return fail_errno("duplicate a descriptor");
  }
  return fds;
}

Task<Result<BubblewrapDriver::InstancePointer>> BubblewrapDriver::do_start(Spec spec) {
  GANTRY_CO_TRY_VOID(check_spec(spec));
  GANTRY_CO_TRY(uid_t uid, choose_uid(spec));
  auto attempt = std::make_shared<Attempt>();
  attempt->record.id = spec.id;
  attempt->record.limits = spec.limits;
  attempt->record.listeners = spec.listeners;
  attempt->record.workspace = spec.workspace_dir;
  attempt->record.started_at = parts_.clock.now();
  attempt->record.achieved = describe(spec, uid);
  attempt->spec = std::move(spec);
  InstanceId id = attempt->spec.id;
  starting_.emplace(id, nullptr);
  auto started = co_await try_start(attempt);
  starting_.erase(id);
  if (started) {
    spawn_->release(attempt->bwrap);
    co_return attempt->instance;
  }
  Error error = explain_failure(*attempt, std::move(started).error());
  co_await undo_start(attempt);
  co_return std::unexpected(std::move(error));
}

Task<Result<>> BubblewrapDriver::try_start(std::shared_ptr<Attempt> attempt) {
  GANTRY_CO_TRY(auto pair, os::make_packet_pair());
  GANTRY_CO_TRY_VOID(os::want_credentials(pair.first));
  GANTRY_CO_TRY(auto fds, prepare_start(*attempt, std::move(pair.second)));
  auto instance = std::make_shared<Instance>(*shared_, attempt->record, attempt->spec.instance_dir);
  spawn::Start wanted{attempt->record.id.to_string(), attempt->record.achieved.uid, attempt->spec.limits};
  // bubblewrap's end closes the shim's end of the socket, which ends the wait for the hello.
  auto on_ended = [attempt](int status) { attempt->bwrap_status = status; };
  GANTRY_CO_TRY(spawn::Started started, co_await spawn_->start(std::move(wanted), std::move(fds), on_ended));
  attempt->bwrap = started.pid;
  attempt->record.group = instance->record().group = started.group;
  attempt->instance = starting_[attempt->record.id] = instance;
  if (closed_) co_return fail(Code::unavailable, "the sandbox driver is closed");
  instance->attach(std::move(pair.first));
  GANTRY_CO_TRY_VOID(co_await instance->greeted(options_.start_timeout));
  GANTRY_CO_TRY_VOID(instance->open_process());
  GANTRY_CO_TRY_VOID(write_record(attempt->spec.instance_dir, instance->record()));
  const os::CgroupAbilities& groups = started.group.abilities;
  ProcessLimits limits{groups.memory.empty(), groups.pids.empty(), most_files_};
  std::string config = shim_config(attempt->spec, filters_, limits);
  GANTRY_CO_TRY_VOID(co_await instance->configure(config, options_.start_timeout));
  instances_.emplace(attempt->record.id, instance);
  instance->watch();
  instance->watch_usage();
  co_return Result<>{};
}

Task<void> BubblewrapDriver::undo_start(std::shared_ptr<Attempt> attempt) {
  if (attempt->instance) attempt->instance->detach();
  if (attempt->bwrap != 0) {
    spawn_->release(attempt->bwrap);
    co_await remove_group(attempt->record.id.to_string());
  }
  release_uid(attempt->record.achieved.uid);
  attempt->instance.reset();
}

// bubblewrap says on stderr what the kernel refused; its words are better than ours.
Error BubblewrapDriver::explain_failure(const Attempt& attempt, Error error) const {
  constexpr Bytes text_limit = kibibytes(64);
  std::string said;
  if (attempt.errors && ::lseek(attempt.errors.get(), 0, SEEK_SET) == 0)
    said = os::read_fd(attempt.errors, text_limit).value_or("");
  said = std::string(trim(said.substr(0, said.find('\n'))));
  if (error.id() == ErrorId::GR0302)
    return std::move(error).wrap(fmt::format("run '{}'", attempt.spec.command.front()));
  if (said.empty()) return std::move(error).wrap("start a sandbox");
  Error better(ErrorId::GR0301, said);
  bool refused = said.contains("namespace") || said.contains("uid map") || said.contains("Operation not permitted");
  if (!refused) return better;
  return Error(ErrorId::GR0305, said)
      .with_hint(
          "user namespaces are switched off: see kernel.unprivileged_userns_clone, "
          "user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns");
}

}  // namespace bubblewrap
}  // namespace gantry::sandbox
