#include "sandbox/drivers/bubblewrap/workspace.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>
#include <vector>

namespace gantry::sandbox::bubblewrap {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t block_bytes = 512;  // the unit of st_blocks
constexpr uint64_t inode_bytes = 1024;
constexpr size_t deepest = 256;
constexpr mode_t owner_bits = S_IRWXU;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

Directory to_directory(int fd) {
  if (fd < 0) return nullptr;
  // SAFETY: on success the DIR owns the descriptor; on failure it is closed here.
  DIR* directory = ::fdopendir(fd);
  if (directory == nullptr) ::close(fd);
  return Directory(directory);
}

// A program may take the permissions off its own directory to hide what is in it; as the same ordinary
// user the daemon gives itself the permission back. O_PATH needs none and does not follow a link.
int open_entry(int parent, const char* name) {
  constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  int fd = ::openat(parent, name, flags);
  if (fd >= 0 || errno != EACCES) return fd;
  os::Fd handle(::openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!handle) return -1;
  std::string self = fmt::format("/proc/self/fd/{}", handle.get());
  if (::chmod(self.c_str(), owner_bits) != 0) return -1;
  return ::openat(parent, name, flags);
}

// Calls `visit(parent, name, status)` for everything below `root`; it returns false to end the walk. The
// result tells whether a directory was too deep to be entered.
template <class Visit>
Result<bool> walk(const os::Fd& root, Visit visit) {
  struct stat top{};
  if (::fstat(root.get(), &top) != 0) return fail_errno("stat a directory");
  std::vector<Directory> levels;
  levels.push_back(to_directory(::openat(root.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  if (!levels.back()) return fail_errno("open a directory");
  bool too_deep = false;
  while (!levels.empty()) {
    DIR* level = levels.back().get();
    const dirent* entry = ::readdir(level);
    if (entry == nullptr) {
      levels.pop_back();
      continue;
    }
    std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat status{};
    // What vanished meanwhile takes no space.
    if (::fstatat(::dirfd(level), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (!visit(::dirfd(level), entry->d_name, status)) break;
    if (!S_ISDIR(status.st_mode) || status.st_dev != top.st_dev) continue;
    if (levels.size() == deepest) {
      too_deep = true;
      continue;
    }
    if (Directory below = to_directory(open_entry(::dirfd(level), entry->d_name))) levels.push_back(std::move(below));
  }
  return too_deep;
}

}  // namespace

Result<TreeSize> measure_tree(const os::Fd& root, Bytes limit) {
  TreeSize size;
  auto add = [&](int, const char*, const struct stat& status) {
    // A hard link counts its share, so that a file with many names counts once.
    uint64_t links = std::max<uint64_t>(status.st_nlink, 1);
    uint64_t shared = S_ISDIR(status.st_mode) ? 1 : links;
    uint64_t bytes = static_cast<uint64_t>(status.st_blocks) * block_bytes / shared;
    size.bytes.count += std::max(bytes, inode_bytes / shared);
    ++size.entries;
    return limit.count == 0 || size.bytes <= limit;
  };
  GANTRY_TRY(size.too_deep, walk(root, add));
  return size;
}

Bytes measure_nameless(const os::Fd& root, const std::vector<pid_t>& processes) {
  struct stat top{};
  if (::fstat(root.get(), &top) != 0) return {};
  std::map<ino_t, uint64_t> seen;
  for (pid_t pid : processes) {
    Directory fds = to_directory(::open(fmt::format("/proc/{}/fd", pid).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    while (const dirent* entry = fds ? ::readdir(fds.get()) : nullptr) {
      struct stat status{};
      // Follows the magic link to the file itself, opening nothing.
      if (entry->d_name[0] == '.' || ::fstatat(::dirfd(fds.get()), entry->d_name, &status, 0) != 0) continue;
      if (S_ISREG(status.st_mode) && status.st_nlink == 0 && status.st_dev == top.st_dev)
        seen[status.st_ino] = static_cast<uint64_t>(status.st_blocks) * block_bytes;
    }
  }
  Bytes total;
  for (const auto& [inode, bytes] : seen) total.count += bytes;
  return total;
}

Result<> give_tree(const os::Fd& root, uid_t uid) {
  struct stat status{};
  if (::fstat(root.get(), &status) != 0) return fail_errno("stat a directory");
  if (status.st_uid == uid) return {};
  auto give = [&](int parent, const char* name, const struct stat&) {
    // AT_SYMLINK_NOFOLLOW: a link changes hands itself, not what it points to.
    ::fchownat(parent, name, uid, uid, AT_SYMLINK_NOFOLLOW);
    return true;
  };
  GANTRY_TRY(bool too_deep, walk(root, give));
  if (too_deep) return fail(Code::exhausted, "directories are nested deeper than {}", deepest);
  // Last, so that an interrupted hand-over is done again.
  if (::fchown(root.get(), uid, uid) != 0) return fail_errno("change the owner of a directory");
  return {};
}

Result<os::Fd> own_directory(const fs::path& path, uid_t uid) {
  GANTRY_TRY_VOID(os::make_directories(path, 0700));
  os::Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return fail_errno("open " + path.string());
  if (::geteuid() == 0) GANTRY_TRY_VOID(give_tree(directory, uid));
  if (::fchmod(directory.get(), owner_bits) != 0) return fail_errno("set the mode of " + path.string());
  return directory;
}

Result<> open_way(const fs::path& top, const fs::path& path) {
  constexpr mode_t pass = S_IXGRP | S_IXOTH;
  fs::path at = top;
  auto open_one = [&]() -> Result<> {
    struct stat status{};
    if (::stat(at.c_str(), &status) != 0) return fail_errno("stat " + at.string());
    if ((status.st_mode & pass) == pass) return {};
    if (::chmod(at.c_str(), (status.st_mode & 07777) | pass) != 0) return fail_errno("set the mode of " + at.string());
    return {};
  };
  GANTRY_TRY_VOID(open_one());
  for (const fs::path& part : path.lexically_relative(top)) {
    if (part == ".") continue;
    at /= part;
    GANTRY_TRY_VOID(open_one());
  }
  return {};
}

}  // namespace gantry::sandbox::bubblewrap
