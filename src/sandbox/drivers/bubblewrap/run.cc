#include "sandbox/drivers/bubblewrap/run.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "sandbox/drivers/bubblewrap/instance.h"
#include "sandbox/drivers/bubblewrap/shim_config.h"

namespace gantry::sandbox::bubblewrap {
namespace {

constexpr auto answer_patience = std::chrono::seconds(10);
constexpr size_t kept_for_probes = 4;

Result<std::pair<os::Fd, os::Fd>> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return fail_errno("make a pipe");
  return std::pair(os::Fd(fds[0]), os::Fd(fds[1]));
}

Result<os::Fd> non_blocking(os::Fd fd) {
  int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("make a descriptor non-blocking");
  return fd;
}

Result<os::Fd> duplicate(const os::Fd& fd) {
  os::Fd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return fail_errno("duplicate a descriptor");
  return copy;
}

// The shim made it, but what arrives from inside is looked at: a master, and nothing that could block or surprise.
Result<os::Fd> checked_master(os::Fd master) {
  unsigned number = 0;
  if (!master || ::ioctl(master.get(), TIOCGPTN, &number) != 0) return fail(Code::denied, "the shim sent no terminal");
  return non_blocking(std::move(master));
}

ExitInfo exit_of(int wait_status) {
  ExitInfo info;
  info.reason = ExitReason::exited;
  info.signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
  info.code = info.signal != 0 ? 128 + info.signal : WEXITSTATUS(wait_status);
  return info;
}

}  // namespace

void Run::finish(const ExitInfo& end) {
  {
    std::lock_guard lock(mutex_);
    if (end_) return;
    end_ = end;
  }
  if (answered) answered->open();
  finished_.notify();
}

std::optional<ExitInfo> Run::ended() const {
  std::lock_guard lock(mutex_);
  return end_;
}

void Run::signal(int number) {
  // Under the lock: before `finish` there is a thread that this is posted to.
  std::lock_guard lock(mutex_);
  if (end_) return;
  asio::post(executor_, [instance = instance_, id = id_, number] {
    if (auto self = instance.lock()) self->signal_run(id, number);
  });
}

Task<std::optional<ExitInfo>> Run::wait_until(SteadyTime deadline) {
  for (bool in_time = true;;) {
    auto seen = finished_.ticket();
    if (auto end = ended(); end || !in_time) co_return end;
    in_time = co_await finished_.wait(seen, deadline);
  }
}

RunExec::~RunExec() { run_->signal(SIGKILL); }

Result<> RunExec::resize(WindowSize size) {
  if (!terminal_) return fail(Code::invalid, "the program has no terminal");
  winsize wanted{size.rows, size.columns, 0, 0};
  if (::ioctl(terminal_.get(), TIOCSWINSZ, &wanted) != 0) return fail_errno("set the size of a terminal");
  return {};
}

// The instance's part ---------------------------------------------------------------------------------

Task<Result<std::unique_ptr<Exec>>> Instance::exec(ExecSpec spec) {
  co_return co_await shared_.on_thread(do_exec(std::move(spec)));
}

Result<> Instance::check_exec(const ExecSpec& spec) const {
  if (exited()) return fail(ErrorId::GR0306, "the sandbox has ended");
  if (spec.command.empty()) return fail(Code::invalid, "the command is empty");
  auto has_zero = [](std::string_view text) { return text.contains('\0'); };
  bool zeroes = std::ranges::any_of(spec.command, has_zero) || has_zero(spec.directory) ||
                std::ranges::any_of(spec.env, [&](const auto& pair) {
                  return has_zero(pair.first) || has_zero(pair.second) || pair.first.contains('=');
                });
  if (zeroes) return fail(Code::invalid, "the command or the environment has a zero byte or '=' in a name");
  if (paused_) return fail(Code::conflict, "the instance is paused");
  if (shim_version_ < shim::runs_version)
    return fail(Code::unsupported, "the instance was started by an older version of Gantry");
  const auto of_purpose =
      std::ranges::count_if(runs_, [&](const auto& entry) { return entry.second->purpose == spec.purpose; });
  const size_t most = spec.purpose == ExecSpec::Purpose::probe ? kept_for_probes : shim::max_runs - kept_for_probes;
  if (static_cast<size_t>(of_purpose) >= most)
    return fail(Code::exhausted, "{} programs run beside it already", of_purpose);
  return {};
}

Result<> Instance::send_run(const ExecSpec& spec, uint32_t id, Run& run) {
  GANTRY_TRY(os::Fd file, sealed_file(run_config(spec)));
  shim::Message message = shim::blank_message();
  WindowSize size = spec.terminal.value_or(WindowSize{});
  message.run = {static_cast<uint64_t>(::lseek(file.get(), 0, SEEK_END)), id, size.rows, size.columns,
                 spec.terminal ? 1U : 0U};
  if (spec.terminal) {
    const int fds[] = {file.get()};
    return send(shim::MessageType::run, message, fds);
  }
  GANTRY_TRY(auto input, make_pipe());
  GANTRY_TRY(auto output, make_pipe());
  GANTRY_TRY(auto errors, make_pipe());
  const int fds[] = {file.get(), input.first.get(), output.second.get(), errors.second.get()};
  GANTRY_TRY(run.streams.input, non_blocking(std::move(input.second)));
  GANTRY_TRY(run.streams.output, non_blocking(std::move(output.first)));
  GANTRY_TRY(run.streams.errors, non_blocking(std::move(errors.first)));
  return send(shim::MessageType::run, message, fds);
}

Task<Result<std::unique_ptr<Exec>>> Instance::do_exec(ExecSpec spec) {
  auto self = shared_from_this();
  GANTRY_CO_TRY_VOID(check_exec(spec));
  uint32_t id = ++last_run_;
  auto run = std::make_shared<Run>(shared_.executor, weak_from_this(), id, spec.purpose);
  GANTRY_CO_TRY_VOID(send_run(spec, id, *run));
  runs_.emplace(id, run);
  auto exec = std::make_unique<RunExec>(run);  // kills it from here on when something fails
  co_await run->answered->wait(answer_patience);
  run->answered.reset();
  if (!run->answer) {
    if (exited() || run->ended()) co_return fail(ErrorId::GR0306, "the sandbox has ended");
    co_return fail(Code::timeout, "the sandbox did not answer within {}", format_duration(answer_patience));
  }
  if (auto started = check_stage(run->answer->stage, run->answer->error); !started)
    co_return std::unexpected(std::move(started).error().wrap(fmt::format("run '{}'", spec.command.front())));
  if (spec.terminal) {
    GANTRY_CO_TRY(os::Fd master, checked_master(std::move(run->master)));
    GANTRY_CO_TRY(exec->streams().input, duplicate(master));
    GANTRY_CO_TRY(os::Fd terminal, duplicate(master));
    exec->keep_terminal(std::move(terminal));
    exec->streams().output = std::move(master);
  }
  co_return std::unique_ptr<Exec>(std::move(exec));
}

void Instance::signal_run(uint32_t id, int number) {
  if (!runs_.contains(id)) return;
  shim::Message message = shim::blank_message();
  message.run_signal = {id, number};
  static_cast<void>(send(shim::MessageType::run_signal, message));
}

void Instance::take_run(const shim::Message& message, os::Packet& packet) {
  const bool is_answer = message.type == shim::MessageType::ran;
  auto found = runs_.find(is_answer ? message.ran.id : message.run_ended.id);
  if (found == runs_.end()) return;
  std::shared_ptr<Run> run = found->second;
  if (is_answer) {
    run->answer = message.ran;
    if (!packet.fds.empty()) run->master = std::move(packet.fds.front());
    if (run->answered) run->answered->open();
    if (message.ran.stage == shim::Stage::none) return;
  }
  runs_.erase(found);
  run->finish(is_answer ? ExitInfo{} : exit_of(message.run_ended.wait_status));
}

void Instance::lose_runs() {
  for (const auto& [id, run] : std::exchange(runs_, {})) run->finish(ExitInfo{});
}

}  // namespace gantry::sandbox::bubblewrap
