// Control groups: version 2, version 1, the hybrid of both, or none; what is there is what is used.
//
// A CgroupTree is made once by a privileged process: it finds the place below which this process may
// make groups and prepares it. A Cgroup is one group of processes in it, with a directory in each
// hierarchy that has a controller of interest; it is a plain value that can be written down and used by
// another process. Files are small and in memory: calls do not block, `remove` may need to be repeated.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"

namespace gantry::os {

/// Where the hierarchies are mounted and where a process is in them.
struct CgroupPlace {
  std::filesystem::path mount;  ///< the mount point
  std::filesystem::path own;    ///< the directory of the process, at or below `mount`
};
struct CgroupPlaces {
  std::optional<CgroupPlace> v2;          ///< also in hybrid mode, then usually without controllers
  std::map<std::string, CgroupPlace> v1;  ///< by controller: memory, cpu, cpuacct, pids, freezer
};
/// From the texts of /proc/self/mountinfo and /proc/self/cgroup. Pure.
CgroupPlaces parse_cgroup_places(std::string_view mountinfo, std::string_view self_cgroup);
/// The same for this process.
Result<CgroupPlaces> find_cgroup_places();

/// What a group can do; each is the name of the file that does it, empty if nothing can.
struct CgroupAbilities {
  std::string memory, cpu, pids, freeze, kill;
};

/// One group. Empty paths mean that there is no such controller.
struct Cgroup {
  std::filesystem::path v2;
  std::filesystem::path memory, cpu, cpuacct, pids, freezer;  ///< of version 1
  CgroupAbilities abilities;

  /// Puts the calling process into it.
  Result<> join() const;
  Result<> limit_memory(Bytes limit) const;  ///< no swap; version 2 kills the group as a whole
  Result<> limit_cpu(MilliCpu limit) const;
  Result<> limit_pids(uint32_t limit) const;

  Result<> freeze() const;  ///< asks for it; `frozen` tells when it is done
  Result<> thaw() const;
  Result<bool> frozen() const;
  /// SIGKILL to every member, also to those that fork meanwhile.
  Result<> kill() const;
  /// Deletes the directories. `conflict` while a member, dead or alive, is left. Idempotent.
  Result<> remove() const;

  /// The processes in it; empty if there is no group.
  std::vector<pid_t> members() const;
  /// Current use; 0 if no controller knows.
  Bytes memory_used() const;
  Duration cpu_used() const;
  uint64_t pids_used() const;
  uint64_t oom_kills() const;
};

/// How to prepare a tree.
struct CgroupTreeOptions {
  std::string name;            ///< of the directory that holds all groups, unique for each daemon
  std::vector<pid_t> ours;     ///< processes that may be moved to a leaf to enable controllers (version 2)
  bool may_leave_own = false;  ///< root may use a group above its own if its own cannot be delegated
};

/// The place where groups are made.
class CgroupTree {
 public:
  /// Never fails: a machine that allows nothing gives a tree without abilities and a `reason()`.
  static CgroupTree prepare(const CgroupPlaces& places, const CgroupTreeOptions& options);

  const CgroupAbilities& abilities() const { return abilities_; }
  /// Why something is missing, for `gantry doctor`; empty if nothing is.
  const std::string& reason() const { return reason_; }
  /// The group of that name, which need not exist.
  Cgroup at(std::string_view name) const;
  /// Makes its directories. `conflict` if a former group of that name still has members.
  Result<Cgroup> make(std::string_view name) const;
  /// The names of all groups that exist.
  std::vector<std::string> list() const;
  /// Deletes the place itself, as far as no group is left in it.
  void remove_if_empty() const;

 private:
  void prepare_v1(const CgroupPlaces& places, const std::string& name);
  void prepare_v2(const CgroupPlace& place, const CgroupTreeOptions& options);

  std::filesystem::path v2_, memory_, cpu_, cpuacct_, pids_, freezer_;
  CgroupAbilities abilities_;
  std::string reason_;
};

}  // namespace gantry::os
