#include "sandbox/drivers/bubblewrap/volumes.h"

#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace gantry::sandbox::bubblewrap {
namespace {

namespace fs = std::filesystem;

/// bubblewrap takes 9000 words; a bind has three.
constexpr size_t most_parts = 1000;
constexpr std::string_view app_place = "/app";

/// Looks at the file system as another user, in this thread only, as long as it lives.
class FilesystemUser {
 public:
  // SAFETY: setfsuid(2) and setfsgid(2) are raw system calls that change the calling thread alone; leaving uid 0
  // also drops the capabilities that pass over modes, and coming back restores them. They cannot fail for root,
  // and for anybody else the wanted user is already the one there is.
  explicit FilesystemUser(uid_t uid) : gid_before_(::setfsgid(uid)), uid_before_(::setfsuid(uid)) {}
  ~FilesystemUser() {
    ::setfsuid(static_cast<uid_t>(uid_before_));
    ::setfsgid(static_cast<gid_t>(gid_before_));
  }
  FilesystemUser(const FilesystemUser&) = delete;

 private:
  int gid_before_;
  int uid_before_;
};

// SAFETY: faccessat2(2), because glibc answers AT_EACCESS by itself on old kernels, from the wrong user. A kernel
// without it answers ENOSYS, which is no answer about the path.
int access_as_thread(const fs::path& path, int mode) {
  if (::syscall(SYS_faccessat2, AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0) return 0;
  return errno == ENOSYS ? 0 : errno;
}

std::string_view words_of(int error) {
  return error == EROFS ? "is on a read-only file system" : "may not be written by the program's user";
}

Result<> check_one(const Volume& volume, uid_t uid) {
  std::error_code ignored;
  const int read = R_OK | (fs::is_directory(volume.host, ignored) ? X_OK : 0);
  FilesystemUser user(uid);
  if (const int error = access_as_thread(volume.host, read); error == ENOENT)
    return fail(ErrorId::GR0301, "volume {}: '{}' does not exist", volume.place, volume.host.string());
  else if (error != 0)
    return fail(ErrorId::GR0301, "volume {}: '{}' may not be read by the program's user (uid {})", volume.place,
                volume.host.string(), uid);
  if (volume.access == Volume::Access::read_only) return {};
  if (const int error = access_as_thread(volume.host, W_OK); error != 0)
    return fail(ErrorId::GR0301, "volume {}: '{}' {} (uid {}); mount it read-only or change its mode", volume.place,
                volume.host.string(), words_of(error), uid);
  return {};
}

// ---- /app ------------------------------------------------------------------------------------

struct Target {
  fs::path rest;  ///< from the directory that is looked at
  fs::file_type type;
};

class AppLayout {
 public:
  std::vector<AppPart> parts;

  Result<> add(const fs::path& directory, const std::string& place, const std::vector<Target>& targets) {
    GANTRY_TRY(const bool all_there, every_target_is_there(directory, targets));
    if (all_there) {
      parts.push_back({AppPart::Kind::files, directory, place});
      return {};
    }
    parts.push_back({AppPart::Kind::empty, {}, place});
    std::error_code error;
    std::vector<fs::path> entries;
    for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
      entries.push_back(it->path());
    if (error) return fail(Code::internal, "list '{}': {}", directory.string(), error.message());
    std::ranges::sort(entries);
    for (const fs::path& entry : entries) GANTRY_TRY_VOID(add_entry(entry, place, targets));
    return {};
  }

 private:
  // False if one is missing; an error if something of another kind is there.
  static Result<bool> every_target_is_there(const fs::path& directory, const std::vector<Target>& targets) {
    bool all_there = true;
    for (const Target& target : targets) {
      fs::path at = directory;
      for (auto part = target.rest.begin(); part != target.rest.end(); ++part) {
        at /= *part;
        std::error_code ignored;
        const fs::file_type type = fs::symlink_status(at, ignored).type();
        if (type == fs::file_type::not_found) {
          all_there = false;
          break;
        }
        const bool is_last = std::next(part) == target.rest.end();
        if (type != (is_last ? target.type : fs::file_type::directory))
          return fail(ErrorId::GR0301, "a volume cannot lie upon '{}' of the program: it is of another kind",
                      at.lexically_relative(directory).string());
      }
    }
    return all_there;
  }

  Result<> add_entry(const fs::path& entry, const std::string& place, const std::vector<Target>& targets) {
    if (parts.size() >= most_parts)
      return fail(ErrorId::GR0301, "{} has more than {} entries: make the directory of the volume in the workdir",
                  place, most_parts);
    const std::string name = entry.filename().string();
    const std::string inside = fmt::format("{}/{}", place, name);
    std::error_code error;
    if (fs::is_symlink(fs::symlink_status(entry, error))) {
      parts.push_back({AppPart::Kind::link, fs::read_symlink(entry, error), inside});
      return {};
    }
    std::vector<Target> below;
    for (const Target& target : targets)
      if (*target.rest.begin() == name && std::next(target.rest.begin()) != target.rest.end())
        below.push_back({target.rest.lexically_relative(name), target.type});
    if (!below.empty()) return add(entry, inside, below);
    parts.push_back({AppPart::Kind::files, entry, inside});
    return {};
  }
};

}  // namespace

Result<> check_access(const std::vector<Volume>& volumes, uid_t uid) {
  for (const Volume& volume : volumes) GANTRY_TRY_VOID(check_one(volume, uid));
  return {};
}

Result<std::vector<AppPart>> lay_out_app(const fs::path& app, const std::vector<Volume>& volumes) {
  std::vector<Target> targets;
  for (const Volume& volume : volumes) {
    const fs::path rest = fs::path(volume.place).lexically_relative(app_place);
    std::error_code ignored;
    const bool is_directory = fs::is_directory(volume.host, ignored);
    if (!rest.empty() && *rest.begin() != ".." && rest != ".")
      targets.push_back({rest, is_directory ? fs::file_type::directory : fs::file_type::regular});
  }
  AppLayout layout;
  GANTRY_TRY_VOID(layout.add(app, std::string(app_place), targets));
  return std::move(layout.parts);
}

}  // namespace gantry::sandbox::bubblewrap
