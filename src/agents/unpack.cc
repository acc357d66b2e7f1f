#include "agents/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "os/os.h"

namespace gantry::agents {
namespace {

struct FreeArchive {
  void operator()(archive* reader) const { archive_read_free(reader); }
};
using Reader = std::unique_ptr<archive, FreeArchive>;

constexpr size_t block_bytes = 64 << 10;

std::unexpected<Error> refuse(std::string_view path, std::string_view why) {
  return fail(ErrorId::GR0504, "entry '{}' {}", path.substr(0, 200), why);
}

std::unexpected<Error> archive_error(archive* reader, std::string_view what) {
  const char* text = archive_error_string(reader);
  return fail(ErrorId::GR0504, "{}: {}", what, text == nullptr ? "not a tar archive" : text);
}

/// A text of an entry. libarchive gives it in the encoding that the archive states, and nothing in the
/// other if the locale cannot express it; the bytes are the same.
const char* either(const char* in_locale, const char* in_utf8) { return in_locale != nullptr ? in_locale : in_utf8; }

/// Unpacks one archive. Directories are opened one by one below the root without following links, so
/// that an entry can never go through a link that an earlier entry made.
class Unpacker {
 public:
  Unpacker(os::Fd root, const WorkdirLimits& limits) : root_(std::move(root)), limits_(limits) {}

  Result<Unpacked> run(archive* reader);

 private:
  Result<> take(archive* reader, archive_entry* entry);
  Result<os::Fd> open_directory(std::span<const std::string> parts);
  Result<> write_file(archive* reader, archive_entry* entry, const std::vector<std::string>& parts,
                      const std::string& path);
  Result<> write_link(const std::vector<std::string>& parts, std::string_view target, std::string_view path);
  Result<> write_hard_link(const std::vector<std::string>& parts, std::string_view target, std::string_view path);
  Result<> count_file(std::string_view path);

  os::Fd root_;
  const WorkdirLimits& limits_;
  Unpacked done_;
};

Result<Unpacked> Unpacker::run(archive* reader) {
  for (;;) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(reader, &entry);
    if (status == ARCHIVE_EOF) return done_;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) return archive_error(reader, "read the archive");
    GANTRY_TRY_VOID(take(reader, entry));
  }
}

Result<> Unpacker::take(archive* reader, archive_entry* entry) {
  const char* raw = either(archive_entry_pathname(entry), archive_entry_pathname_utf8(entry));
  if (raw == nullptr) return refuse("?", "has a name that is not text");
  const std::string path = raw;
  GANTRY_TRY(const std::vector<std::string> parts, split_entry_path(path, limits_));
  if (const char* target = either(archive_entry_hardlink(entry), archive_entry_hardlink_utf8(entry)))
    return write_hard_link(parts, target, path);
  const auto type = archive_entry_filetype(entry);
  if (type == AE_IFDIR) {
    // `./` itself counts for nothing; every other directory takes an inode.
    if (!parts.empty()) GANTRY_TRY_VOID(count_file(path));
    GANTRY_TRY_VOID(open_directory(parts));
    return {};
  }
  if (parts.empty()) return refuse(path, "names the directory itself");
  if (type == AE_IFREG) return write_file(reader, entry, parts, path);
  if (type == AE_IFLNK) {
    const char* target = either(archive_entry_symlink(entry), archive_entry_symlink_utf8(entry));
    return write_link(parts, target == nullptr ? "" : target, path);
  }
  return refuse(path, "is a device, a fifo or a socket");
}

Result<> Unpacker::count_file(std::string_view path) {
  if (++done_.files > limits_.files)
    return fail(ErrorId::GR0503, "more than {} files (at '{}')", limits_.files, path.substr(0, 200));
  return {};
}

Result<os::Fd> Unpacker::open_directory(std::span<const std::string> parts) {
  // SAFETY: dup(2) of an open descriptor; the result is owned at once.
  os::Fd current(::fcntl(root_.get(), F_DUPFD_CLOEXEC, 0));
  if (!current) return fail_errno("duplicate a descriptor");
  for (const std::string& part : parts) {
    // SAFETY: mkdirat(2) below an open directory with a checked single name.
    if (::mkdirat(current.get(), part.c_str(), 0755) != 0 && errno != EEXIST)
      return fail_errno("make directory " + part);
    auto next = os::open_file_at(current, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!next.has_value()) return refuse(part, "leads through something that is no directory");
    current = std::move(*next);
  }
  return current;
}

Result<> Unpacker::write_file(archive* reader, archive_entry* entry, const std::vector<std::string>& parts,
                              const std::string& path) {
  GANTRY_TRY_VOID(count_file(path));
  GANTRY_TRY(const os::Fd directory, open_directory(std::span(parts).first(parts.size() - 1)));
  // Of the mode only "executable" is taken over: no set-user-id, nothing writable.
  const mode_t mode = (archive_entry_perm(entry) & 0111) != 0 ? 0555 : 0444;
  // SAFETY: unlinkat(2) below an open directory with a checked single name; a later entry of the same
  // name replaces the earlier, as tar does.
  ::unlinkat(directory.get(), parts.back().c_str(), 0);
  auto opened = os::open_file_at(directory, parts.back(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  if (!opened.has_value()) return refuse(path, "cannot be written: " + opened.error().reason());
  const os::Fd file = std::move(*opened);
  std::vector<char> block(block_bytes);
  for (;;) {
    const la_ssize_t got = archive_read_data(reader, block.data(), block.size());
    if (got < 0) return archive_error(reader, "read '" + path + "'");
    if (got == 0) break;
    done_.bytes.count += static_cast<uint64_t>(got);
    if (done_.bytes > limits_.unpacked)
      return fail(ErrorId::GR0503, "more than {} unpacked (at '{}')", format_bytes(limits_.unpacked), path);
    GANTRY_TRY_VOID(os::write_all(file, {block.data(), static_cast<size_t>(got)}));
  }
  // SAFETY: fchmod(2) on our own file; the umask may have taken bits away.
  if (::fchmod(file.get(), mode) != 0) return fail_errno("set the mode of " + path);
  return {};
}

Result<> Unpacker::write_link(const std::vector<std::string>& parts, std::string_view target, std::string_view path) {
  GANTRY_TRY_VOID(count_file(path));
  const std::vector<std::string> parent(parts.begin(), parts.end() - 1);
  if (!link_stays_inside(parent, target))
    return refuse(path, fmt::format("links to '{}', outside", target.substr(0, 200)));
  GANTRY_TRY(const os::Fd directory, open_directory(parent));
  // SAFETY: unlinkat(2) and symlinkat(2) below an open directory with a checked single name.
  ::unlinkat(directory.get(), parts.back().c_str(), 0);
  if (::symlinkat(std::string(target).c_str(), directory.get(), parts.back().c_str()) != 0)
    return refuse(path, errno_error(errno, "cannot be linked").reason());
  return {};
}

Result<> Unpacker::write_hard_link(const std::vector<std::string>& parts, std::string_view target,
                                   std::string_view path) {
  GANTRY_TRY_VOID(count_file(path));
  GANTRY_TRY(const std::vector<std::string> from, split_entry_path(target, limits_));
  if (parts.empty() || from.empty()) return refuse(path, "is a hard link to a directory");
  GANTRY_TRY(const os::Fd from_directory, open_directory(std::span(from).first(from.size() - 1)));
  GANTRY_TRY(const os::Fd directory, open_directory(std::span(parts).first(parts.size() - 1)));
  // SAFETY: linkat(2) without AT_SYMLINK_FOLLOW between two directories that were reached without links,
  // so it can only name what this archive made.
  if (::linkat(from_directory.get(), from.back().c_str(), directory.get(), parts.back().c_str(), 0) != 0)
    return refuse(path, errno_error(errno, "is a hard link that cannot be made").reason());
  return {};
}

}  // namespace

Result<std::vector<std::string>> split_entry_path(std::string_view path, const WorkdirLimits& limits) {
  if (path.empty()) return refuse(path, "has no name");
  if (path.front() == '/') return refuse(path, "has an absolute path");
  if (path.size() > limits.path_length)
    return fail(ErrorId::GR0503, "a path is longer than {} bytes", limits.path_length);
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") return refuse(path, "has '..' in its path");
    parts.emplace_back(part);
  }
  if (parts.size() > limits.depth)
    return fail(ErrorId::GR0503, "'{}' is deeper than {} directories", path.substr(0, 200), limits.depth);
  return parts;
}

bool link_stays_inside(const std::vector<std::string>& directory, std::string_view target) {
  if (target.empty() || target.front() == '/') return false;
  size_t up = 0;
  bool has_name = false;
  for (size_t begin = 0; begin <= target.size();) {
    const size_t end = std::min(target.find('/', begin), target.size());
    const std::string_view part = target.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    if (part != "..")
      has_name = true;
    else if (has_name || ++up > directory.size())
      // Behind a name `..` depends on where that name leads, and `a -> ..`, `b -> a/../..` would get out.
      return false;
  }
  return true;
}

Result<Unpacked> unpack(const std::filesystem::path& path, const std::filesystem::path& into,
                        const WorkdirLimits& limits) {
  GANTRY_TRY(os::Fd root, os::open_directory(into));
  const Reader reader(archive_read_new());
  if (reader == nullptr) return fail(Code::exhausted, "no memory for an archive");
  // Plain tar only: a compressed upload would make the bound on its size meaningless.
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_empty(reader.get());
  if (archive_read_open_filename(reader.get(), path.c_str(), block_bytes) != ARCHIVE_OK)
    return archive_error(reader.get(), "open the archive");
  return Unpacker(std::move(root), limits).run(reader.get());
}

}  // namespace gantry::agents
