// Finding the cgroup hierarchies: proc(5) and cgroups(7).
#include <array>

#include "os/cgroup.h"
#include "os/file.h"

namespace gantry::os {
namespace {

namespace fs = std::filesystem;

constexpr Bytes proc_file_limit = mebibytes(4);
constexpr std::array<std::string_view, 5> wanted_v1{"memory", "cpu", "cpuacct", "pids", "freezer"};

// Cuts the text up to `separator` off the front and returns it.
std::string_view take(std::string_view& text, char separator) {
  size_t end = std::min(text.find(separator), text.size());
  std::string_view head = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return head;
}

bool listed(std::string_view names, std::string_view name) {
  while (!names.empty())
    if (take(names, ',') == name) return true;
  return false;
}

// The path of this process in the hierarchy of a controller; the empty name is version 2.
std::optional<std::string_view> own_path(std::string_view self_cgroup, std::string_view controller) {
  while (!self_cgroup.empty()) {
    std::string_view line = take(self_cgroup, '\n');
    take(line, ':');
    std::string_view controllers = take(line, ':');
    if (controller.empty() ? controllers.empty() : listed(controllers, controller)) return line;
  }
  return std::nullopt;
}

// `root` is the directory of the hierarchy that is mounted: not `/` in a container that sees only its part.
CgroupPlace place_at(std::string_view mount, std::string_view root, std::string_view path) {
  if (root != "/" && path.starts_with(root)) path.remove_prefix(root.size());
  while (path.starts_with('/')) path.remove_prefix(1);
  // A process outside of the mounted part (`/../x`) has no directory here.
  if (path.starts_with("..")) path = {};
  fs::path own = path.empty() ? fs::path(mount) : fs::path(mount) / path;
  return {fs::path(mount), own};
}

}  // namespace

CgroupPlaces parse_cgroup_places(std::string_view mountinfo, std::string_view self_cgroup) {
  CgroupPlaces places;
  while (!mountinfo.empty()) {
    std::string_view line = take(mountinfo, '\n');
    size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    std::string_view tail = line.substr(dash + 3);
    std::string_view head = line.substr(0, dash);
    for (int i = 0; i < 3; ++i) take(head, ' ');  // mount id, parent id, device
    std::string_view root = take(head, ' ');
    std::string_view mount = take(head, ' ');
    std::string_view type = take(tail, ' ');
    take(tail, ' ');  // source
    if (type == "cgroup2") {
      auto path = own_path(self_cgroup, "");
      if (path && !places.v2) places.v2 = place_at(mount, root, *path);
    } else if (type == "cgroup") {
      for (std::string_view controller : wanted_v1) {
        if (!listed(tail, controller)) continue;
        if (auto path = own_path(self_cgroup, controller))
          places.v1.try_emplace(std::string(controller), place_at(mount, root, *path));
      }
    }
  }
  return places;
}

Result<CgroupPlaces> find_cgroup_places() {
  GANTRY_TRY(std::string mountinfo, read_file("/proc/self/mountinfo", proc_file_limit));
  GANTRY_TRY(std::string self_cgroup, read_file("/proc/self/cgroup", proc_file_limit));
  return parse_cgroup_places(mountinfo, self_cgroup);
}

}  // namespace gantry::os
