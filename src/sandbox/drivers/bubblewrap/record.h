// What is written down about a running sandbox, so that the next daemon finds it: `sandbox.json` in the
// instance's directory, and the shim's `exit` file.
#pragma once

#include <filesystem>
#include <optional>

#include "sandbox/sandbox.h"
#include "sandbox/spawn/protocol.h"
#include "shim/protocol.h"

namespace gantry::sandbox::bubblewrap {

struct SandboxRecord {
  InstanceId id;
  os::ProcessIdentity shim;
  uint64_t network = 0;  ///< cookie of its network namespace
  os::Cgroup group;
  Time started_at;
  Limits limits;
  std::vector<uint16_t> listeners;
  std::filesystem::path workspace;
  Achieved achieved;
};

/// Written before the program starts, so that no program runs without a record.
Result<> write_record(const std::filesystem::path& instance_dir, const SandboxRecord& record);
/// `not_found` if there is none.
Result<SandboxRecord> read_record(const std::filesystem::path& instance_dir);

/// What the shim left when it ended; nullopt if it could not.
std::optional<shim::Exited> read_exit_file(const std::filesystem::path& instance_dir);
/// The inverse of what the shim writes; nullopt if it is malformed.
std::optional<shim::Exited> parse_exit_file(std::string_view text);

/// How a sandbox ended, from everything that is known.
struct Evidence {
  std::optional<shim::Exited> exited;
  uint64_t oom_kills = 0;
  bool stopped_for_workspace = false;
  Limits limits;
};
/// Pure.
ExitInfo explain_exit(const Evidence& evidence);

}  // namespace gantry::sandbox::bubblewrap
