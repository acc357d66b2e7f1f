// Directories of an instance that belong to the sandbox's uid. Whatever a program does in them, the daemon
// only ever goes down, through descriptors, and never follows a link.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <vector>

#include "base/base.h"
#include "os/os.h"

namespace gantry::sandbox::bubblewrap {

/// What a tree holds.
struct TreeSize {
  Bytes bytes;  ///< on disk, at least 1 KiB for each file: an inode is not free either
  uint64_t entries = 0;
  bool too_deep = false;  ///< nested deeper than the walk goes: not measured to the end
};
/// Stops early, with what it has, above `limit` (0: no limit).
Result<TreeSize> measure_tree(const os::Fd& root, Bytes limit);

/// What open files without a name take on the disk of `root`: a program may delete what it still writes. Files
/// that are only mapped or in flight between processes are not seen.
Bytes measure_nameless(const os::Fd& root, const std::vector<pid_t>& processes);

/// Gives a tree to a uid; nothing is done if the top has it already.
Result<> give_tree(const os::Fd& root, uid_t uid);

/// Makes `path` if it is missing and gives it to `uid` with mode 0700; as an ordinary user it stays ours.
Result<os::Fd> own_directory(const std::filesystem::path& path, uid_t uid);
/// Lets other users pass through every directory from below `top` to `path`.
Result<> open_way(const std::filesystem::path& top, const std::filesystem::path& path);

}  // namespace gantry::sandbox::bubblewrap
