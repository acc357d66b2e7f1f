#include "os/file.h"

#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace gantry::os {
namespace {

/// Repeats a system call that a signal interrupted.
template <class Call>
auto retry_interrupted(Call call) {
  for (;;) {
    auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

Result<Fd> own(int fd, std::string_view what) {
  if (fd < 0) return fail_errno(what);
  return Fd(fd);
}

// One resolution of an untrusted path. EAGAIN: a rename raced with the `..` check (openat2(2)).
int open_resolved(const Fd& root, const std::string& path, const open_how& how) {
  constexpr int attempts = 16;
  for (int i = 0;; ++i) {
    // SAFETY: openat2 has no glibc wrapper; the struct and its size are the kernel's own.
    int fd = static_cast<int>(
        retry_interrupted([&] { return ::syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how); }));
    if (fd >= 0 || errno != EAGAIN || i + 1 == attempts) return fd;
  }
}

Result<void> check_kind(const Fd& fd, Beneath kind, std::string_view path) {
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return fail_errno("stat");
  const bool fits = kind == Beneath::directory ? S_ISDIR(info.st_mode) : S_ISREG(info.st_mode);
  if (fits) return {};
  return fail(Code::denied, "'{}' is not a {}", path.substr(0, 256),
              kind == Beneath::directory ? "directory" : "regular file");
}

}  // namespace

Result<Fd> open_file(const std::filesystem::path& path, int flags, Mode mode) {
  return own(retry_interrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); }),
             fmt::format("open '{}'", path.native()));
}

Result<Fd> open_file_at(const Fd& directory, const std::string& name, int flags, Mode mode) {
  return own(retry_interrupted([&] { return ::openat(directory.get(), name.c_str(), flags | O_CLOEXEC, mode); }),
             fmt::format("open '{}'", name));
}

Result<Fd> open_directory(const std::filesystem::path& path) { return open_file(path, O_RDONLY | O_DIRECTORY); }

Result<Fd> open_beneath(const Fd& root, std::string_view path, int flags, Beneath kind, Mode mode) {
  if (path.empty() || path.find('\0') != path.npos) return fail(Code::invalid, "the path is empty or has a zero byte");
  open_how how{};
  // O_NONBLOCK: opening a FIFO must not wait for its other end before we can see that it is one.
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (kind == Beneath::directory) how.flags |= O_DIRECTORY;
  if (flags & (O_CREAT | O_TMPFILE)) how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

  // Truncation waits until the kind is known: O_TRUNC would act on whatever is there.
  const bool truncate = (flags & O_TRUNC) != 0;
  how.flags &= ~static_cast<uint64_t>(O_TRUNC);
  int number = open_resolved(root, std::string(path), how);
  if (number < 0 && (errno == EXDEV || errno == ELOOP))
    return fail(Code::denied, "'{}' leads out of its root or through a link", path.substr(0, 256));
  GANTRY_TRY(Fd fd, own(number, fmt::format("open '{}'", path.substr(0, 256))));
  GANTRY_TRY_VOID(check_kind(fd, kind, path));
  if (truncate && ::ftruncate(fd.get(), 0) != 0) return fail_errno("truncate");
  return fd;
}

Result<void> write_all(const Fd& fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t done = retry_interrupted([&] { return ::write(fd.get(), bytes.data(), bytes.size()); });
    if (done < 0) return fail_errno("write");
    bytes.remove_prefix(static_cast<size_t>(done));
  }
  return {};
}

Result<void> pwrite_all(const Fd& fd, std::string_view bytes, uint64_t offset) {
  while (!bytes.empty()) {
    ssize_t done =
        retry_interrupted([&] { return ::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
    if (done < 0) return fail_errno("write");
    bytes.remove_prefix(static_cast<size_t>(done));
    offset += static_cast<uint64_t>(done);
  }
  return {};
}

Result<size_t> read_some(const Fd& fd, std::span<char> out) {
  size_t have = 0;
  while (have < out.size()) {
    ssize_t got = retry_interrupted([&] { return ::read(fd.get(), out.data() + have, out.size() - have); });
    if (got < 0) return fail_errno("read");
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  return have;
}

Result<size_t> pread_all(const Fd& fd, std::span<char> out, uint64_t offset) {
  size_t have = 0;
  while (have < out.size()) {
    ssize_t got = retry_interrupted(
        [&] { return ::pread(fd.get(), out.data() + have, out.size() - have, static_cast<off_t>(offset + have)); });
    if (got < 0) return fail_errno("read");
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  return have;
}

Result<std::string> read_fd(const Fd& fd, Bytes limit) {
  // Not sized by stat: files below /proc say 0, and a file may grow while it is read.
  constexpr size_t step = 64 << 10;
  std::string content;
  for (;;) {
    const size_t before = content.size();
    content.resize(before + step);
    GANTRY_TRY(size_t got, read_some(fd, std::span(content).subspan(before)));
    content.resize(before + got);
    if (content.size() > limit.count)
      return fail(Code::exhausted, "longer than the limit of {}", format_bytes_short(limit));
    if (got < step) return content;
  }
}

Result<std::string> read_file(const std::filesystem::path& path, Bytes limit) {
  GANTRY_TRY(Fd fd, open_file(path, O_RDONLY));
  auto content = read_fd(fd, limit);
  if (!content) return std::unexpected(std::move(content).error().wrap(fmt::format("read '{}'", path.native())));
  return content;
}

Result<void> sync_data(const Fd& fd) {
  if (retry_interrupted([&] { return ::fdatasync(fd.get()); }) != 0) return fail_errno("flush");
  return {};
}

Result<void> sync_all(const Fd& fd) {
  if (retry_interrupted([&] { return ::fsync(fd.get()); }) != 0) return fail_errno("flush");
  return {};
}

Result<void> sync_directory(const std::filesystem::path& path) {
  GANTRY_TRY(Fd fd, open_directory(path));
  return sync_all(fd);
}

Result<void> replace_file(const std::filesystem::path& path, std::string_view content, Mode mode) {
  // A thread id is unique on the machine: two replacements at once do not share a file.
  const std::filesystem::path temporary = fmt::format("{}.{}.tmp", path.native(), ::gettid());
  auto write = [&]() -> Result<void> {
    GANTRY_TRY(Fd fd, open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
    GANTRY_TRY_VOID(write_all(fd, content));
    GANTRY_TRY_VOID(sync_all(fd));
    if (::rename(temporary.c_str(), path.c_str()) != 0) return fail_errno("rename");
    return {};
  };
  if (auto written = write(); !written) {
    ::unlink(temporary.c_str());
    return std::unexpected(std::move(written).error().wrap(fmt::format("replace '{}'", path.native())));
  }
  const auto parent = path.parent_path();
  return sync_directory(parent.empty() ? "." : parent);
}

Result<void> make_directories(const std::filesystem::path& path, Mode mode) {
  if (path.empty()) return {};
  if (::mkdir(path.c_str(), mode) == 0) return {};
  if (errno == ENOENT && path.has_parent_path() && path.parent_path() != path) {
    GANTRY_TRY_VOID(make_directories(path.parent_path(), mode));
    if (::mkdir(path.c_str(), mode) == 0) return {};
  }
  if (errno != EEXIST) return fail_errno(fmt::format("make directory '{}'", path.native()));
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return fail_errno(fmt::format("stat '{}'", path.native()));
  if (!S_ISDIR(info.st_mode)) return fail(Code::conflict, "'{}' is not a directory", path.native());
  return {};
}

Result<Fd> lock_file(const std::filesystem::path& path, LockWait wait) {
  GANTRY_TRY(Fd fd, open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW));
  const int operation = LOCK_EX | (wait == LockWait::no ? LOCK_NB : 0);
  if (retry_interrupted([&] { return ::flock(fd.get(), operation); }) == 0) return fd;
  if (errno == EWOULDBLOCK) return fail(Code::conflict, "'{}' is locked by another process", path.native());
  return fail_errno(fmt::format("lock '{}'", path.native()));
}

Result<DiskSpace> disk_space(const std::filesystem::path& path) {
  struct statvfs info{};
  if (retry_interrupted([&] { return ::statvfs(path.c_str(), &info); }) != 0)
    return fail_errno(fmt::format("statvfs '{}'", path.native()));
  return DiskSpace{.total = {info.f_blocks * info.f_frsize}, .available = {info.f_bavail * info.f_frsize}};
}

}  // namespace gantry::os
