// What the daemon and the spawn process say to each other: JSON objects over SEQPACKET, one a message.
//
//   spawn process  {"op":"ready", "prefix":…, "tree":…}          once, or {"op":"ready","error":…}
//   daemon         {"op":"start","serial":1,"name":…,"uid":…}    + the descriptors of StartFd
//   spawn process  {"op":"answer","serial":1,"pid":…,"group":…}  or with "error"
//   daemon         {"op":"release","pid":…}                      bubblewrap's own process is not needed any more
//   spawn process  {"op":"ended","pid":…,"status":…}             bubblewrap ended before it was released
//   daemon         {"op":"freeze"|"thaw"|"kill"|"remove"|"list","serial":2,"name":…}
#pragma once

#include "base/base.h"
#include "json/json.h"
#include "os/os.h"
#include "sandbox/sandbox.h"

namespace gantry::sandbox::spawn {

inline constexpr size_t max_message = size_t{64} << 10;

/// The descriptors of a start, in this order. The first three are given on as shim::control_fd, …
enum class StartFd : size_t { control, run, logs, arguments, errors };
inline constexpr size_t start_fds = 5;
/// The number that StartFd::arguments has in bubblewrap.
inline constexpr int arguments_fd = 6;
/// Where the shim is inside. bubblewrap takes everything from `arguments_fd` but the command.
inline constexpr char shim_place[] = "/run/gantry/shim";
/// What a spawn process that runs as root covers, to show the shared directories there; volumes in it are seen if it
/// is shared too.
inline constexpr char covered_directory[] = "/tmp";

/// What the spawn process is told when it starts.
struct Setup {
  std::string group_name;  ///< of the cgroup directory, unique for each data directory
  std::vector<std::filesystem::path> shared;
  std::filesystem::path bwrap;
  pid_t daemon = 0;
};

/// What it says about the machine.
struct Ready {
  /// Where each of `Setup::shared` is seen by unprivileged processes that it starts.
  std::vector<std::filesystem::path> visible;
  os::CgroupAbilities abilities;
  std::string group_reason;  ///< why control groups are missing
};

/// One sandbox to start.
struct Start {
  std::string name;  ///< of its control group
  uid_t uid = 0;     ///< used as root only
  Limits limits;
};

/// What was started.
struct Started {
  pid_t pid = 0;  ///< of bubblewrap, not of the shim
  os::Cgroup group;
};

json::Value to_json(const Error& error);
Error error_from_json(const json::Value& value);

json::Object to_json(const Setup& setup);
Result<Setup> setup_from_json(const json::Value& value);
json::Object to_json(const Ready& ready);
Result<Ready> ready_from_json(const json::Value& value);
json::Object to_json(const Start& start);
Result<Start> start_from_json(const json::Value& value);

/// Control groups are written down in records, too.
json::Object to_json(const os::Cgroup& group);
Result<os::Cgroup> cgroup_from_json(const json::Value& value);

}  // namespace gantry::sandbox::spawn
