#include "os/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>

#include "os/file.h"

namespace gantry::os {
namespace {

namespace fs = std::filesystem;

constexpr Bytes file_limit = kibibytes(64);
constexpr Bytes procs_limit = mebibytes(4);
constexpr auto cpu_period = std::chrono::milliseconds(100);
constexpr auto cpu_period_max = std::chrono::seconds(1);
constexpr auto cpu_quota_min = std::chrono::milliseconds(1);

Result<> put(const fs::path& file, std::string_view text) {
  GANTRY_TRY(Fd fd, open_file(file, O_WRONLY));
  auto written = write_all(fd, text);
  if (!written) return std::unexpected(std::move(written).error().wrap(file.string()));
  return {};
}

std::optional<uint64_t> number_at(std::string_view text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  return value;
}

// The number in a file that holds one number; 0 if there is none.
uint64_t number_in(const fs::path& file) {
  auto text = read_file(file, file_limit);
  return text ? number_at(*text).value_or(0) : 0;
}

// The number after `key ` in a file of such lines; 0 if there is none.
uint64_t field_in(const fs::path& file, std::string_view key) {
  auto text = read_file(file, file_limit);
  if (!text) return 0;
  std::string_view rest = *text;
  while (!rest.empty()) {
    size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ' ')
      return number_at(line.substr(key.size() + 1)).value_or(0);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return 0;
}

bool file_exists(const fs::path& path) { return ::access(path.c_str(), F_OK) == 0; }

// One directory, made if it is missing; false if that is not allowed.
bool make_directory(const fs::path& path) {
  return ::mkdir(path.c_str(), 0755) == 0 || (errno == EEXIST && ::access(path.c_str(), W_OK) == 0);
}

Result<> remove_directory(const fs::path& path) {
  if (path.empty() || ::rmdir(path.c_str()) == 0 || errno == ENOENT) return {};
  return fail_errno("remove " + path.string());
}

bool has_word(std::string_view text, std::string_view word) {
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    bool starts = at == 0 || text[at - 1] == ' ';
    size_t end = at + word.size();
    if (starts && (end == text.size() || text[end] == ' ' || text[end] == '\n')) return true;
  }
  return false;
}

bool enabled(const fs::path& directory, std::string_view controller) {
  auto text = read_file(directory / "cgroup.subtree_control", file_limit);
  return text && has_word(*text, controller);
}

Result<std::vector<pid_t>> members_of(const fs::path& directory) {
  GANTRY_TRY(std::string text, read_file(directory / "cgroup.procs", procs_limit));
  std::vector<pid_t> pids;
  for (std::string_view rest = text; !rest.empty();) {
    size_t end = std::min(rest.find('\n'), rest.size());
    auto pid = number_at(rest.substr(0, end));
    if (!pid) return fail(Code::internal, "malformed cgroup.procs");
    pids.push_back(static_cast<pid_t>(*pid));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return pids;
}

constexpr std::array<std::string_view, 3> wanted_v2{"memory", "cpu", "pids"};

// Gives the children of `directory` the controllers that it has itself. True if all of them are on.
bool enable_controllers(const fs::path& directory) {
  auto have = read_file(directory / "cgroup.controllers", file_limit);
  if (!have) return false;
  bool all = true;
  for (std::string_view controller : wanted_v2) {
    if (!has_word(*have, controller)) continue;
    if (!enabled(directory, controller) &&
        !put(directory / "cgroup.subtree_control", "+" + std::string(controller)).has_value())
      all = false;
  }
  return all;
}

// A group with processes cannot give controllers to its children ("no internal processes"). If all of
// them are ours, they move to a leaf.
bool move_ours_to_leaf(const fs::path& own, const CgroupTreeOptions& options) {
  auto members = members_of(own);
  if (!members) return false;
  bool all_ours = std::ranges::all_of(
      *members, [&](pid_t pid) { return std::ranges::find(options.ours, pid) != options.ours.end(); });
  fs::path leaf = own / (options.name + "-daemon");
  if (!all_ours || !make_directory(leaf)) return false;
  return std::ranges::all_of(*members,
                             [&](pid_t pid) { return put(leaf / "cgroup.procs", std::to_string(pid)).has_value(); });
}

}  // namespace

Result<> Cgroup::join() const {
  for (const fs::path* directory : {&v2, &memory, &cpu, &cpuacct, &pids, &freezer})
    if (!directory->empty()) GANTRY_TRY_VOID(put(*directory / "cgroup.procs", "0"));
  return {};
}

Result<> Cgroup::limit_memory(Bytes limit) const {
  std::string text = std::to_string(limit.count);
  if (!memory.empty()) {
    GANTRY_TRY_VOID(put(memory / "memory.limit_in_bytes", text));
    // Kernels without swap accounting do not have the file; the limit holds without it.
    if (file_exists(memory / "memory.memsw.limit_in_bytes"))
      GANTRY_TRY_VOID(put(memory / "memory.memsw.limit_in_bytes", text));
    return {};
  }
  GANTRY_TRY_VOID(put(v2 / "memory.max", text));
  if (file_exists(v2 / "memory.swap.max")) GANTRY_TRY_VOID(put(v2 / "memory.swap.max", "0"));
  if (file_exists(v2 / "memory.oom.group")) GANTRY_TRY_VOID(put(v2 / "memory.oom.group", "1"));
  return {};
}

Result<> Cgroup::limit_cpu(MilliCpu limit) const {
  using std::chrono::microseconds;
  // Quota = period × cpu. The kernel wants at least 1 ms of quota, so small shares get a longer period.
  microseconds period = cpu_period;
  microseconds quota = period * limit.count / 1000;
  if (quota < cpu_quota_min) {
    quota = cpu_quota_min;
    period = std::min<microseconds>(microseconds(cpu_quota_min) * 1000 / std::max(limit.count, 1U), cpu_period_max);
  }
  if (!cpu.empty()) {
    GANTRY_TRY_VOID(put(cpu / "cpu.cfs_period_us", std::to_string(period.count())));
    return put(cpu / "cpu.cfs_quota_us", std::to_string(quota.count()));
  }
  return put(v2 / "cpu.max", fmt::format("{} {}", quota.count(), period.count()));
}

Result<> Cgroup::limit_pids(uint32_t limit) const {
  return put((pids.empty() ? v2 : pids) / "pids.max", std::to_string(limit));
}

Result<> Cgroup::freeze() const {
  if (abilities.freeze == "cgroup.freeze") return put(v2 / "cgroup.freeze", "1");
  if (abilities.freeze == "freezer.state") return put(freezer / "freezer.state", "FROZEN");
  return fail(Code::unsupported, "this machine has no freezer");
}

Result<> Cgroup::thaw() const {
  if (abilities.freeze == "cgroup.freeze") return put(v2 / "cgroup.freeze", "0");
  if (abilities.freeze == "freezer.state") return put(freezer / "freezer.state", "THAWED");
  return fail(Code::unsupported, "this machine has no freezer");
}

Result<bool> Cgroup::frozen() const {
  if (abilities.freeze == "cgroup.freeze") return field_in(v2 / "cgroup.events", "frozen") == 1;
  GANTRY_TRY(std::string state, read_file(freezer / "freezer.state", file_limit));
  return state.starts_with("FROZEN");
}

Result<> Cgroup::kill() const {
  if (!abilities.kill.empty()) return put(v2 / abilities.kill, "1");
  // Kernels before 5.14: signals until nobody is left. A fork bomb is bounded by the pids limit.
  constexpr int rounds = 64;
  for (int round = 0; round < rounds; ++round) {
    std::vector<pid_t> left = members();
    if (left.empty()) return {};
    for (pid_t pid : left) ::kill(pid, SIGKILL);
  }
  return fail(Code::conflict, "the group still has members");
}

std::vector<pid_t> Cgroup::members() const {
  for (const fs::path* directory : {&v2, &pids, &memory, &freezer, &cpu})
    if (!directory->empty()) return members_of(*directory).value_or(std::vector<pid_t>{});
  return {};
}

Result<> Cgroup::remove() const {
  for (const fs::path* directory : {&memory, &cpu, &cpuacct, &pids, &freezer, &v2})
    GANTRY_TRY_VOID(remove_directory(*directory));
  return {};
}

Bytes Cgroup::memory_used() const {
  if (!memory.empty()) return {number_in(memory / "memory.usage_in_bytes")};
  return {v2.empty() ? 0 : number_in(v2 / "memory.current")};
}

Duration Cgroup::cpu_used() const {
  if (!cpuacct.empty()) return std::chrono::nanoseconds(number_in(cpuacct / "cpuacct.usage"));
  return std::chrono::microseconds(v2.empty() ? 0 : field_in(v2 / "cpu.stat", "usage_usec"));
}

uint64_t Cgroup::pids_used() const {
  if (!pids.empty()) return number_in(pids / "pids.current");
  return v2.empty() ? 0 : number_in(v2 / "pids.current");
}

uint64_t Cgroup::oom_kills() const {
  if (!memory.empty()) return field_in(memory / "memory.oom_control", "oom_kill");
  return v2.empty() ? 0 : field_in(v2 / "memory.events", "oom_kill");
}

CgroupTree CgroupTree::prepare(const CgroupPlaces& places, const CgroupTreeOptions& options) {
  CgroupTree tree;
  tree.prepare_v1(places, options.name);
  if (places.v2) tree.prepare_v2(*places.v2, options);
  bool complete = !tree.abilities_.memory.empty() && !tree.abilities_.cpu.empty() && !tree.abilities_.pids.empty();
  if (complete)
    tree.reason_.clear();
  else if (tree.reason_.empty())
    tree.reason_ =
        "no control group that this process may divide: start it in a delegated one, such as "
        "`systemd-run --user --scope -p Delegate=yes`";
  return tree;
}

void CgroupTree::prepare_v1(const CgroupPlaces& places, const std::string& name) {
  auto use = [&](const char* controller, fs::path& directory) {
    auto found = places.v1.find(controller);
    if (found == places.v1.end()) return false;
    fs::path candidate = found->second.own / name;
    if (!make_directory(candidate)) {
      reason_ = errno_error(errno, "make " + candidate.string()).reason();
      return false;
    }
    directory = candidate;
    return true;
  };
  if (use("memory", memory_)) abilities_.memory = "memory.limit_in_bytes";
  if (use("cpu", cpu_) && file_exists(cpu_ / "cpu.cfs_quota_us")) abilities_.cpu = "cpu.cfs_quota_us";
  if (use("pids", pids_)) abilities_.pids = "pids.max";
  use("cpuacct", cpuacct_);
  if (use("freezer", freezer_)) abilities_.freeze = "freezer.state";
}

void CgroupTree::prepare_v2(const CgroupPlace& place, const CgroupTreeOptions& options) {
  fs::path base = place.own;
  // The daemon was moved to this leaf by an earlier life of it: the place is one above.
  if (base.filename() == options.name + "-daemon") base = base.parent_path();
  bool ready = enable_controllers(base) || (move_ours_to_leaf(base, options) && enable_controllers(base));
  while (!ready && options.may_leave_own && base != place.mount) {
    base = base.parent_path();
    ready = enable_controllers(base);
  }
  fs::path candidate = base / options.name;
  if (!make_directory(candidate)) {
    reason_ = errno_error(errno, "make " + candidate.string()).reason();
    return;
  }
  v2_ = candidate;
  enable_controllers(v2_);
  if (abilities_.memory.empty() && enabled(v2_, "memory")) abilities_.memory = "memory.max";
  if (abilities_.cpu.empty() && enabled(v2_, "cpu")) abilities_.cpu = "cpu.max";
  if (abilities_.pids.empty() && enabled(v2_, "pids")) abilities_.pids = "pids.max";
  // Freezing and killing need no controller. Version 2 freezes without the stalls of version 1.
  if (file_exists(v2_ / "cgroup.freeze")) abilities_.freeze = "cgroup.freeze";
  if (file_exists(v2_ / "cgroup.kill")) abilities_.kill = "cgroup.kill";
}

Cgroup CgroupTree::at(std::string_view name) const {
  auto below = [&](const fs::path& directory) { return directory.empty() ? fs::path() : directory / name; };
  return {below(v2_), below(memory_), below(cpu_), below(cpuacct_), below(pids_), below(freezer_), abilities_};
}

Result<Cgroup> CgroupTree::make(std::string_view name) const {
  Cgroup group = at(name);
  // A group of a former life must not lend its counters to this one.
  GANTRY_TRY_VOID(group.remove());
  for (const fs::path* directory :
       {&group.v2, &group.memory, &group.cpu, &group.cpuacct, &group.pids, &group.freezer}) {
    if (directory->empty()) continue;
    // Controllers that are mounted together share a directory.
    if (::mkdir(directory->c_str(), 0755) != 0 && errno != EEXIST) return fail_errno("make " + directory->string());
  }
  return group;
}

void CgroupTree::remove_if_empty() const {
  // Not an error: groups of running sandboxes keep it.
  for (const fs::path* directory : {&memory_, &cpu_, &cpuacct_, &pids_, &freezer_, &v2_})
    if (!directory->empty()) ::rmdir(directory->c_str());
}

std::vector<std::string> CgroupTree::list() const {
  std::vector<std::string> names;
  for (const fs::path* directory : {&v2_, &memory_, &cpu_, &cpuacct_, &pids_, &freezer_}) {
    std::error_code ignored;
    if (directory->empty()) continue;
    for (const auto& entry : fs::directory_iterator(*directory, ignored))
      if (entry.is_directory(ignored)) names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  auto repeated = std::ranges::unique(names);
  names.erase(repeated.begin(), repeated.end());
  return names;
}

}  // namespace gantry::os
