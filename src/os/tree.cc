// Walks over directory trees that others may change meanwhile: relative to descriptors, never by path.
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <vector>

#include "os/file.h"

namespace gantry::os {
namespace {

/// One directory on the way down. Owning it keeps the walk where it is, whatever is renamed above.
class Level {
 public:
  static Result<Level> open(int parent, const char* name, std::string its_name) {
    // O_NOFOLLOW: a link put in the place of the directory is an error and not a way out.
    int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return fail_errno("open directory");
    // SAFETY: on success the DIR owns the descriptor; on failure we close it.
    DIR* directory = ::fdopendir(fd);
    if (directory == nullptr) {
      auto failure = fail_errno("open directory");
      ::close(fd);
      return failure;
    }
    return Level(directory, std::move(its_name));
  }

  int fd() const { return ::dirfd(directory_.get()); }
  const std::string& name() const { return name_; }
  /// Reads from the start again.
  void rewind() { ::rewinddir(directory_.get()); }
  /// The next entry but `.` and `..`; nullptr at the end.
  const dirent* next() {
    for (;;) {
      const dirent* entry = ::readdir(directory_.get());
      if (entry == nullptr) return nullptr;
      std::string_view name = entry->d_name;
      if (name != "." && name != "..") return entry;
    }
  }

 private:
  struct Close {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  Level(DIR* directory, std::string name) : directory_(directory), name_(std::move(name)) {}
  std::unique_ptr<DIR, Close> directory_;
  std::string name_;
};

// Deeper trees are somebody's attempt to use up our descriptors.
constexpr size_t max_depth = 512;

// Moves a directory that is too deep up into the first level, under a name that is free there.
Result<void> hoist(std::vector<Level>& levels, const char* name) {
  constexpr int attempts = 10'000;
  for (int number = 0; number < attempts; ++number) {
    std::string place = fmt::format("hoisted-{}", number);
    if (::renameat2(levels.back().fd(), name, levels.front().fd(), place.c_str(), RENAME_NOREPLACE) == 0) return {};
    if (errno != EEXIST) return fail_errno(fmt::format("move '{}' up", name));
  }
  return fail(Code::exhausted, "directories are nested deeper than {}", max_depth);
}

Result<bool> is_same_device(const Level& level, dev_t device) {
  struct stat info{};
  if (::fstat(level.fd(), &info) != 0) return fail_errno("stat");
  return info.st_dev == device;
}

// Like Level::open, for a directory that is about to go: its owner may have taken the permissions off it (Go's
// module cache is read-only, and a program may want its files to stay). O_PATH needs no permission and, with
// O_NOFOLLOW, follows no link.
Result<Level> open_to_empty(int parent, const char* name) {
  Fd handle(::openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info{};
  if (handle && ::fstat(handle.get(), &info) == 0 && (info.st_mode & S_IRWXU) != S_IRWXU)
    ::chmod(fmt::format("/proc/self/fd/{}", handle.get()).c_str(), S_IRWXU);
  return Level::open(parent, name, name);
}

Result<void> unlink_in(int directory, const char* name, int flags) {
  if (::unlinkat(directory, name, flags) == 0 || errno == ENOENT) return {};
  return fail_errno(fmt::format("remove '{}'", name));
}

/// True if the entry is a directory itself, not a link to one. Nothing there any more: false.
Result<bool> is_directory(int parent, const char* name) {
  struct stat info{};
  if (::fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) == 0) return S_ISDIR(info.st_mode);
  if (errno == ENOENT) return false;
  return fail_errno(fmt::format("stat '{}'", name));
}

// Removes what is below the last level; levels are pushed and popped, not recursed into.
Result<void> empty_tree(std::vector<Level>& levels, dev_t device) {
  bool hoisted = false;
  while (!levels.empty()) {
    Level& level = levels.back();
    const dirent* entry = level.next();
    if (entry == nullptr && levels.size() == 1 && hoisted) {
      hoisted = false;
      level.rewind();
      continue;
    }
    if (entry == nullptr) {
      const std::string done = level.name();
      levels.pop_back();
      if (levels.empty()) return {};
      GANTRY_TRY_VOID(unlink_in(levels.back().fd(), done.c_str(), AT_REMOVEDIR));
      continue;
    }
    GANTRY_TRY(bool directory, is_directory(level.fd(), entry->d_name));
    if (!directory) {
      GANTRY_TRY_VOID(unlink_in(level.fd(), entry->d_name, 0));
      continue;
    }
    if (levels.size() >= max_depth) {
      GANTRY_TRY_VOID(hoist(levels, entry->d_name));
      hoisted = true;
      continue;
    }
    GANTRY_TRY(Level below, open_to_empty(level.fd(), entry->d_name));
    GANTRY_TRY(bool same, is_same_device(below, device));
    if (!same) return fail(Code::denied, "'{}' is another file system", below.name());
    levels.push_back(std::move(below));
  }
  return {};
}

}  // namespace

Result<void> remove_tree(const std::filesystem::path& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(fmt::format("remove '{}'", path.native()));
  }
  if (!S_ISDIR(info.st_mode)) return unlink_in(AT_FDCWD, path.c_str(), 0);

  auto remove = [&]() -> Result<void> {
    std::vector<Level> levels;
    GANTRY_TRY(Level top, open_to_empty(AT_FDCWD, path.c_str()));
    levels.push_back(std::move(top));
    return empty_tree(levels, info.st_dev);
  };
  if (auto removed = remove(); !removed)
    return std::unexpected(std::move(removed).error().wrap(fmt::format("remove '{}'", path.native())));
  return unlink_in(AT_FDCWD, path.c_str(), AT_REMOVEDIR);
}

Result<Bytes> disk_usage(const std::filesystem::path& path) {
  constexpr uint64_t block = 512;  // the unit of st_blocks, whatever the file system's block is
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return fail_errno(fmt::format("stat '{}'", path.native()));
  Bytes total{static_cast<uint64_t>(info.st_blocks) * block};
  if (!S_ISDIR(info.st_mode)) return total;

  std::vector<Level> levels;
  GANTRY_TRY(Level top, Level::open(AT_FDCWD, path.c_str(), path.native()));
  levels.push_back(std::move(top));
  while (!levels.empty()) {
    const dirent* entry = levels.back().next();
    if (entry == nullptr) {
      levels.pop_back();
      continue;
    }
    if (::fstatat(levels.back().fd(), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    total.count += static_cast<uint64_t>(info.st_blocks) * block;
    if (!S_ISDIR(info.st_mode) || levels.size() >= max_depth) continue;
    if (auto below = Level::open(levels.back().fd(), entry->d_name, {})) levels.push_back(*std::move(below));
  }
  return total;
}

}  // namespace gantry::os
