#include "sandbox/drivers/bubblewrap/record.h"

#include <sys/wait.h>

#include <charconv>
#include <csignal>

namespace gantry::sandbox::bubblewrap {
namespace {

constexpr const char* record_name = "sandbox.json";
constexpr Bytes record_limit = kibibytes(64);
constexpr Bytes exit_limit = kibibytes(1);
constexpr uint64_t record_version = 1;

json::Object to_json(const Limits& limits) {
  return {{"memory", limits.memory.count},
          {"cpu", limits.cpu.count},
          {"pids", limits.pids},
          {"tmp", limits.tmp.count},
          {"workspace", limits.workspace.count},
          {"open_files", limits.open_files}};
}

Result<Limits> limits_from_json(const json::Value& value) {
  Limits limits;
  GANTRY_TRY(limits.memory.count, json::get_uint(value, "limits.memory"));
  GANTRY_TRY(uint64_t cpu, json::get_uint(value, "limits.cpu"));
  GANTRY_TRY(uint64_t pids, json::get_uint(value, "limits.pids"));
  GANTRY_TRY(limits.tmp.count, json::get_uint(value, "limits.tmp"));
  GANTRY_TRY(limits.workspace.count, json::get_uint(value, "limits.workspace"));
  GANTRY_TRY(uint64_t files, json::get_uint(value, "limits.open_files"));
  limits.cpu.count = static_cast<uint32_t>(cpu);
  limits.pids = static_cast<uint32_t>(pids);
  limits.open_files = static_cast<uint32_t>(files);
  return limits;
}

Grade grade_from_string(std::string_view text) {
  if (text == to_string(Grade::enforced)) return Grade::enforced;
  return text == to_string(Grade::best_effort) ? Grade::best_effort : Grade::none;
}

json::Object to_json(const Achieved& achieved) {
  json::Array limits;
  for (const AchievedLimit& limit : achieved.limits)
    limits.push_back(json::Object{
        {"name", limit.name}, {"limit", limit.limit}, {"grade", to_string(limit.grade)}, {"how", limit.how}});
  json::Array namespaces;
  for (const std::string& name : achieved.namespaces) namespaces.emplace_back(name);
  return {{"driver", achieved.driver},           {"rootless", achieved.rootless},
          {"namespaces", std::move(namespaces)}, {"seccomp", to_string(achieved.seccomp)},
          {"pause", to_string(achieved.pause)},  {"limits", std::move(limits)}};
}

Result<Achieved> achieved_from_json(const json::Value& value, uid_t uid) {
  Achieved achieved;
  achieved.uid = uid;
  GANTRY_TRY(achieved.driver, json::get_string(value, "achieved.driver"));
  GANTRY_TRY(achieved.rootless, json::get_bool(value, "achieved.rootless"));
  GANTRY_TRY(achieved.namespaces, json::get_strings(value, "achieved.namespaces"));
  GANTRY_TRY(std::string seccomp, json::get_string(value, "achieved.seccomp"));
  GANTRY_TRY(std::string pause, json::get_string(value, "achieved.pause"));
  achieved.seccomp = grade_from_string(seccomp);
  achieved.pause = grade_from_string(pause);
  GANTRY_TRY(const json::Array* limits, json::get_array(value, "achieved.limits"));
  for (const json::Value& item : *limits) {
    AchievedLimit& limit = achieved.limits.emplace_back();
    GANTRY_TRY(limit.name, json::get_string(item, "name"));
    GANTRY_TRY(limit.limit, json::get_string(item, "limit"));
    GANTRY_TRY(std::string grade, json::get_string(item, "grade"));
    limit.grade = grade_from_string(grade);
    GANTRY_TRY(limit.how, json::get_string(item, "how"));
  }
  return achieved;
}

// The logs directory belongs to the uid of the sandbox: nothing in it is trusted.
Result<std::string> read_untrusted(const std::filesystem::path& directory, std::string_view name, Bytes limit) {
  GANTRY_TRY(os::Fd root, os::open_directory(directory));
  GANTRY_TRY(os::Fd file, os::open_beneath(root, name, O_RDONLY, os::Beneath::regular_file));
  return os::read_fd(file, limit);
}

}  // namespace

Result<> write_record(const std::filesystem::path& instance_dir, const SandboxRecord& record) {
  json::Array listeners;
  for (uint16_t port : record.listeners) listeners.emplace_back(port);
  json::Object document{{"version", record_version},
                        {"id", record.id.to_string()},
                        {"pid", record.shim.pid},
                        {"start_ticks", record.shim.start_ticks},
                        {"uid", record.shim.uid},
                        {"network", record.network},
                        {"group", spawn::to_json(record.group)},
                        {"started_at_ms", unix_ms(record.started_at)},
                        {"limits", to_json(record.limits)},
                        {"listeners", std::move(listeners)},
                        {"workspace", record.workspace.native()},
                        {"achieved", to_json(record.achieved)}};
  // Not synced: a machine that loses power loses the sandbox, too.
  std::filesystem::path fresh = instance_dir / "sandbox.json.new";
  {
    GANTRY_TRY(os::Fd file, os::open_file(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    GANTRY_TRY_VOID(os::write_all(file, json::serialize(std::move(document))));
  }
  if (::rename(fresh.c_str(), (instance_dir / record_name).c_str()) != 0) return fail_errno("write the record");
  return {};
}

Result<SandboxRecord> read_record(const std::filesystem::path& instance_dir) {
  GANTRY_TRY(std::string text, os::read_file(instance_dir / record_name, record_limit));
  GANTRY_TRY(json::Value document, json::parse(text));
  GANTRY_TRY(uint64_t version, json::get_uint(document, "version"));
  if (version != record_version) return fail(Code::unsupported, "the record has version {}", version);
  SandboxRecord record;
  GANTRY_TRY(std::string id, json::get_string(document, "id"));
  GANTRY_TRY(record.id, InstanceId::parse(id));
  GANTRY_TRY(int64_t pid, json::get_int(document, "pid"));
  GANTRY_TRY(record.shim.start_ticks, json::get_uint(document, "start_ticks"));
  GANTRY_TRY(uint64_t uid, json::get_uint(document, "uid"));
  record.shim.pid = static_cast<pid_t>(pid);
  record.shim.uid = static_cast<uid_t>(uid);
  GANTRY_TRY(record.network, json::get_uint(document, "network"));
  const json::Value* group = json::find(document, "group");
  if (group == nullptr) return fail(Code::data_loss, "the record names no control group");
  GANTRY_TRY(record.group, spawn::cgroup_from_json(*group));
  GANTRY_TRY(int64_t started, json::get_int(document, "started_at_ms"));
  record.started_at = time_from_unix_ms(started);
  GANTRY_TRY(record.limits, limits_from_json(document));
  GANTRY_TRY(const json::Array* listeners, json::get_array(document, "listeners"));
  for (const json::Value& port : *listeners)
    if (port.is_int64()) record.listeners.push_back(static_cast<uint16_t>(port.as_int64()));
  GANTRY_TRY(record.workspace, json::get_string(document, "workspace"));
  GANTRY_TRY(record.achieved, achieved_from_json(document, record.shim.uid));
  return record;
}

std::optional<shim::Exited> parse_exit_file(std::string_view text) {
  uint64_t numbers[5];
  for (uint64_t& number : numbers) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (text.empty() || (text.front() != ' ' && text.front() != '\n')) return std::nullopt;
    text.remove_prefix(1);
  }
  if (numbers[0] > static_cast<uint64_t>(shim::EndReason::killed) || numbers[1] > INT32_MAX || numbers[2] > INT64_MAX)
    return std::nullopt;
  return shim::Exited{static_cast<shim::EndReason>(numbers[0]), static_cast<int32_t>(numbers[1]),
                      static_cast<int64_t>(numbers[2]), numbers[3], numbers[4]};
}

std::optional<shim::Exited> read_exit_file(const std::filesystem::path& instance_dir) {
  auto text = read_untrusted(instance_dir / "logs", shim::exit_name, exit_limit);
  return text ? parse_exit_file(*text) : std::nullopt;
}

ExitInfo explain_exit(const Evidence& evidence) {
  ExitInfo info;
  bool killed = !evidence.exited;
  if (evidence.exited) {
    const shim::Exited& exited = *evidence.exited;
    // SAFETY: the macros of wait(2) on a status that the kernel made.
    info.signal = WIFSIGNALED(exited.wait_status) ? WTERMSIG(exited.wait_status) : 0;
    info.code = info.signal != 0 ? 128 + info.signal : WEXITSTATUS(exited.wait_status);
    info.reason = exited.reason == shim::EndReason::abandoned ? ExitReason::abandoned : ExitReason::exited;
    info.at = time_from_unix_ms(exited.unix_ms);
    info.cpu_time = std::chrono::microseconds(exited.cpu_us);
    info.max_rss = kibibytes(exited.max_rss_kib);
    killed = info.signal == SIGKILL;
  } else {
    info.code = 128 + SIGKILL;
    info.signal = SIGKILL;
  }
  if (evidence.stopped_for_workspace) {
    info.reason = ExitReason::workspace;
    info.limit = format_bytes(evidence.limits.workspace);
  } else if (killed && evidence.oom_kills > 0) {
    info.reason = ExitReason::out_of_memory;
    info.limit = format_bytes(evidence.limits.memory);
  }
  return info;
}

}  // namespace gantry::sandbox::bubblewrap
