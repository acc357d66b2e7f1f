// Volumes: whether the program's user may use them, and how /app is put together when one lies in it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "sandbox/sandbox.h"

namespace gantry::sandbox::bubblewrap {

/// GR0301 names the first volume that the user may not enter, read or, if it is writable, write. As the kernel
/// sees it: modes, groups, access lists and read-only file systems count.
Result<> check_access(const std::vector<Volume>& volumes, uid_t uid);

/// One step of putting /app together.
struct AppPart {
  enum class Kind { files, link, empty };  ///< a read-only bind, a symbolic link, a new directory
  Kind kind = Kind::files;
  std::filesystem::path source;  ///< below the program's files, or where the link points; empty for a directory
  std::string place;
};

/// The steps, parents first. One bind if each volume below /app has a directory or file of the program to lie upon;
/// otherwise the directories on its way are made anew and hold what was in them. GR0301 if something else is there.
Result<std::vector<AppPart>> lay_out_app(const std::filesystem::path& app, const std::vector<Volume>& volumes);

}  // namespace gantry::sandbox::bubblewrap
