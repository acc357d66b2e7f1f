#include "sandbox/drivers/bubblewrap/shim_config.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>

namespace gantry::sandbox::bubblewrap {
namespace {

using shim::RecordKind;

constexpr std::pair<std::string_view, std::string_view> default_environment[] = {
    {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
    {"HOME", "/workspace"},
    {"USER", "agent"},
    {"LANG", "C.UTF-8"},
    {"TMPDIR", "/tmp"},
};

class Records {
 public:
  void add(RecordKind kind, std::string_view body) {
    shim::Record record{kind, static_cast<uint32_t>(body.size())};
    // SAFETY: Record is trivially copyable; the shim copies it out the same way.
    bytes_.append(reinterpret_cast<const char*>(&record), sizeof record);
    bytes_ += body;
    bytes_.resize((bytes_.size() + 7) & ~size_t{7});
  }
  // With the terminating zero, which c_str() guarantees behind the text.
  void add_text(RecordKind kind, const std::string& text) { add(kind, {text.c_str(), text.size() + 1}); }
  template <class T>
  void add_value(RecordKind kind, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    add(kind, {reinterpret_cast<const char*>(&value), sizeof value});  // SAFETY: as above
  }
  std::string take() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

void add_limit(Records& records, int resource, uint64_t value) {
  records.add_value(RecordKind::limit, shim::ResourceLimit{static_cast<uint32_t>(resource), 0, value, value});
}

void add_environment(Records& records, const Spec& spec) {
  for (const auto& [name, value] : default_environment)
    if (std::ranges::find(spec.env, name, &std::pair<std::string, std::string>::first) == spec.env.end())
      records.add_text(RecordKind::environment, fmt::format("{}={}", name, value));
  for (const auto& [name, value] : spec.env)
    records.add_text(RecordKind::environment, fmt::format("{}={}", name, value));
}

std::string_view words(shim::Stage stage) {
  switch (stage) {
    case shim::Stage::configuration:
      return "read the configuration";
    case shim::Stage::listener:
      return "listen inside";
    case shim::Stage::pipe:
      return "set up stdin, stdout and stderr";
    case shim::Stage::fork:
      return "start a process";
    case shim::Stage::limits:
      return "set a limit";
    case shim::Stage::directory:
      return "enter the working directory";
    case shim::Stage::seccomp:
      return "load a system call filter";
    case shim::Stage::exec:
      return "execute the program";
    case shim::Stage::terminal:
      return "open a terminal";
    case shim::Stage::none:
      break;
  }
  return "start";
}

}  // namespace

std::string shim_config(const Spec& spec, const Filters& filters, const ProcessLimits& limits) {
  Records records;
  records.add_value(RecordKind::instance, spec.id.bytes());
  for (const std::string& argument : spec.command) records.add_text(RecordKind::argument, argument);
  add_environment(records, spec);
  records.add_text(RecordKind::directory, "/app");
  add_limit(records, RLIMIT_CORE, 0);
  add_limit(records, RLIMIT_NOFILE, std::min<uint64_t>(spec.limits.open_files, limits.most_files));
  if (spec.limits.workspace.count > 0) add_limit(records, RLIMIT_FSIZE, spec.limits.workspace.count);
  if (limits.memory && spec.limits.memory.count > 0) add_limit(records, RLIMIT_DATA, spec.limits.memory.count);
  if (limits.pids && spec.limits.pids > 0) add_limit(records, RLIMIT_NPROC, spec.limits.pids);
  records.add(RecordKind::filter, filters.calls);
  records.add(RecordKind::filter, filters.arguments);
  for (uint16_t port : spec.listeners) records.add_value(RecordKind::listener, port);
  records.add_value(RecordKind::logs, shim::LogLimits{spec.logs.file_bytes.count, spec.logs.files, 0});
  records.add_value(RecordKind::reattach_ms,
                    static_cast<uint64_t>(spec.reattach_window / std::chrono::milliseconds(1)));
  return std::move(records).take();
}

std::string run_config(const ExecSpec& spec) {
  Records records;
  for (const std::string& argument : spec.command) records.add_text(RecordKind::argument, argument);
  for (const auto& [name, value] : spec.env)
    records.add_text(RecordKind::environment, fmt::format("{}={}", name, value));
  records.add_text(RecordKind::directory, spec.directory);
  return std::move(records).take();
}

Result<os::Fd> sealed_file(std::string_view content) {
  os::Fd file(memfd_create("config", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return fail_errno("make a memory file");
  GANTRY_TRY_VOID(os::write_all(file, content));
  fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
  return file;
}

Result<> check_stage(shim::Stage stage, int error) {
  if (stage == shim::Stage::none) return {};
  Error failed = errno_error(error, words(stage));
  if (stage == shim::Stage::exec) return fail(ErrorId::GR0302, "{}", failed.reason());
  return std::unexpected(std::move(failed));
}

}  // namespace gantry::sandbox::bubblewrap
