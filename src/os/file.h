// Files as Result: loops for short reads and writes, EINTR, O_CLOEXEC, and the durable idioms.
// Paths given as std::filesystem::path are trusted; `open_beneath` is for those that are not.
#pragma once

#include <fcntl.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "os/fd.h"

namespace gantry::os {

/// Permission bits of a new file.
using Mode = mode_t;

/// open(2) with O_CLOEXEC.
Result<Fd> open_file(const std::filesystem::path& path, int flags, Mode mode = 0600);
/// The same relative to a directory; `name` is trusted.
Result<Fd> open_file_at(const Fd& directory, const std::string& name, int flags, Mode mode = 0600);
/// A directory, for the `_at` calls and `sync_directory`.
Result<Fd> open_directory(const std::filesystem::path& path);

/// What `open_beneath` may find.
enum class Beneath { regular_file, directory };
/// Opens an untrusted relative path inside `root`: no symbolic link, no `..` above the root, no mount
/// point, no magic link (openat2(2)), and nothing but a regular file or a directory, so that no FIFO
/// or device blocks the caller. `denied` if the path leaves the root.
Result<Fd> open_beneath(const Fd& root, std::string_view path, int flags, Beneath kind, Mode mode = 0600);

/// All bytes, or the error.
Result<void> write_all(const Fd& fd, std::string_view bytes);
Result<void> pwrite_all(const Fd& fd, std::string_view bytes, uint64_t offset);
/// Fills `out` until the end of the file; returns how many bytes there were.
Result<size_t> read_some(const Fd& fd, std::span<char> out);
Result<size_t> pread_all(const Fd& fd, std::span<char> out, uint64_t offset);
/// A whole file; `exhausted` if it is longer than `limit`.
Result<std::string> read_file(const std::filesystem::path& path, Bytes limit);
Result<std::string> read_fd(const Fd& fd, Bytes limit);

/// fdatasync(2): the content is durable. After an error, what is on the disk is unknown.
Result<void> sync_data(const Fd& fd);
/// fsync(2): the content and all metadata.
Result<void> sync_all(const Fd& fd);
/// Makes names in the directory durable: creations, renames, removals.
Result<void> sync_directory(const std::filesystem::path& path);

/// Replaces the file as a whole: a reader, and a machine after a power cut, sees the old content or
/// the new one (temporary file, fsync, rename, fsync of the directory).
Result<void> replace_file(const std::filesystem::path& path, std::string_view content, Mode mode = 0600);

/// mkdir -p; directories that exist keep their mode.
Result<void> make_directories(const std::filesystem::path& path, Mode mode = 0700);
/// rm -rf: relative to open directories, so that a directory exchanged for a symbolic link meanwhile leads
/// nowhere. Links are removed, not followed; other file systems are not entered. Neither depth nor permissions that
/// the owner took off stop it. Nothing there is success.
Result<void> remove_tree(const std::filesystem::path& path);

/// Whether a lock that somebody else holds is waited for.
enum class LockWait { no, yes };
/// An exclusive flock(2) on a file that is created if it is missing; held as long as the Fd lives and not
/// inherited. `conflict` if it is taken.
Result<Fd> lock_file(const std::filesystem::path& path, LockWait wait = LockWait::no);

/// Of the file system that holds a path.
struct DiskSpace {
  Bytes total;
  Bytes available;  ///< to an ordinary user
};
Result<DiskSpace> disk_space(const std::filesystem::path& path);
/// The bytes that the files below take on disk. Links are not followed; what vanishes meanwhile counts 0.
Result<Bytes> disk_usage(const std::filesystem::path& path);

}  // namespace gantry::os
