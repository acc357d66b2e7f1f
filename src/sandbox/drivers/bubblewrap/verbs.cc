// What the rest of the program asks of a running sandbox: signals, stop, pause, statistics.
#include <csignal>

#include "sandbox/drivers/bubblewrap/instance.h"

namespace gantry::sandbox::bubblewrap {
namespace {

// After the grace of a stop, how long the shim has to finish by itself.
constexpr auto stop_slack = std::chrono::seconds(2);
constexpr auto kill_again = std::chrono::seconds(1);
constexpr auto freeze_patience = std::chrono::seconds(2);
constexpr auto poll_interval = std::chrono::milliseconds(1);
constexpr auto usage_patience = std::chrono::seconds(1);

Error gone() { return Error(ErrorId::GR0306, "the sandbox has ended"); }

}  // namespace

Task<Result<>> Instance::signal(int number, SignalTarget target) {
  co_return co_await shared_.on_thread(do_signal(number, target));
}

Task<Result<>> Instance::do_signal(int number, SignalTarget target) {
  auto self = shared_from_this();
  if (exited()) co_return std::unexpected(gone());
  shim::Message message = shim::blank_message();
  message.signal = {number, target == SignalTarget::main ? shim::Target::main : shim::Target::everything};
  co_return send(shim::MessageType::signal, message);
}

Task<ExitInfo> Instance::stop(Duration grace) { co_return co_await shared_.on_thread(do_stop(grace)); }

Task<ExitInfo> Instance::do_stop(Duration grace) {
  auto self = shared_from_this();
  if (paused_) static_cast<void>(co_await do_resume());
  auto seen = ended_.ticket();
  if (auto end = outcome()) co_return *end;
  using std::chrono::milliseconds;
  shim::Message message = shim::blank_message();
  message.grace_ms = static_cast<uint32_t>(std::chrono::ceil<milliseconds>(grace) / milliseconds(1));
  // The shim keeps the time: the grace holds also when the daemon dies meanwhile.
  auto asked = send(shim::MessageType::stop, message);
  SteadyTime deadline = shared_.clock.steady() + (asked ? grace + stop_slack : Duration{});
  for (;;) {
    bool woken = co_await ended_.wait(seen, deadline);
    seen = ended_.ticket();
    if (auto end = outcome()) co_return *end;
    if (woken) continue;
    kill_now();
    deadline = shared_.clock.steady() + kill_again;
  }
}

Task<Result<>> Instance::pause() { co_return co_await shared_.on_thread(do_pause()); }

Task<Result<>> Instance::do_pause() {
  auto self = shared_from_this();
  if (exited()) co_return std::unexpected(gone());
  if (paused_) co_return Result<>{};
  if (record_.achieved.pause != Grade::enforced) {
    GANTRY_CO_TRY_VOID(co_await do_signal(SIGSTOP, SignalTarget::everything));
    // The shim answers in order: with the answer, the signal was sent.
    co_await ask_usage();
    paused_ = true;
    co_return Result<>{};
  }
  paused_ = true;
  auto frozen = co_await shared_.spawn.act("freeze", group_name());
  SteadyTime deadline = shared_.clock.steady() + freeze_patience;
  while (frozen && !record_.group.frozen().value_or(false)) {
    if (shared_.clock.steady() > deadline)
      frozen = fail(Code::timeout, "freeze: not done within {}", format_duration(freeze_patience));
    else
      co_await sleep_for(poll_interval);
  }
  if (!frozen) static_cast<void>(co_await do_resume());
  co_return frozen;
}

Task<void> Instance::thaw_to_reattach() {
  auto self = shared_from_this();
  paused_ = record_.achieved.pause == Grade::enforced && record_.group.frozen().value_or(false);
  if (paused_) static_cast<void>(co_await shared_.spawn.act("thaw", group_name()));
}

Task<void> Instance::freeze_again() {
  auto self = shared_from_this();
  if (paused_) static_cast<void>(co_await shared_.spawn.act("freeze", group_name()));
}

Task<Result<>> Instance::resume() { co_return co_await shared_.on_thread(do_resume()); }

Task<Result<>> Instance::do_resume() {
  auto self = shared_from_this();
  if (exited()) co_return std::unexpected(gone());
  if (!paused_) co_return Result<>{};
  Result<> done;
  if (record_.achieved.pause != Grade::enforced)
    done = co_await do_signal(SIGCONT, SignalTarget::everything);
  else
    done = co_await shared_.spawn.act("thaw", group_name());
  if (done) paused_ = false;
  co_return done;
}

// One question at a time; whoever asks meanwhile gets the last answer.
Task<void> Instance::ask_usage() {
  if (usage_gate_ || !send(shim::MessageType::want_usage, shim::blank_message())) co_return;
  auto gate = usage_gate_ = std::make_shared<Gate>(shared_.executor);
  co_await gate->wait(usage_patience);
  usage_gate_.reset();
}

Task<Result<Stats>> Instance::stats() { co_return co_await shared_.on_thread(do_stats()); }

Task<Result<Stats>> Instance::do_stats() {
  auto self = shared_from_this();
  if (exited()) co_return std::unexpected(gone());
  const os::Cgroup& group = record_.group;
  Stats stats;
  stats.memory = group.memory_used();
  stats.cpu_time = group.cpu_used();
  stats.pids = group.pids_used();
  stats.oom_kills = group.oom_kills();
  stats.workspace = shared_.usage.last(record_.id);
  bool complete = !group.abilities.memory.empty() && !group.abilities.pids.empty();
  if (complete || paused_) co_return stats;
  co_await ask_usage();
  if (group.abilities.memory.empty()) stats.memory = {usage_.rss_bytes};
  if (group.abilities.pids.empty()) stats.pids = usage_.pids;
  if (stats.cpu_time == Duration{}) stats.cpu_time = std::chrono::microseconds(usage_.cpu_us);
  co_return stats;
}

}  // namespace gantry::sandbox::bubblewrap
