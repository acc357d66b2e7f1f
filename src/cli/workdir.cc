#include "cli/workdir.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "cli/ignore.h"
#include "crypto/crypto.h"
#include "os/os.h"

namespace gantry::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view ignore_file = ".gantryignore";
constexpr size_t read_size = size_t{256} << 10;

/// One thing to pack.
struct Entry {
  std::string path;  ///< relative, with `/`
  struct stat info = {};
  std::string link;  ///< where a symbolic link points
};

std::unexpected<Error> refused(const std::string& path, std::string_view why) {
  return std::unexpected(Error(ErrorId::GR0805, fmt::format("{}: {}", path, why))
                             .with_hint(fmt::format("leave it out with a line in {}", ignore_file)));
}

/// True if a link at `path` to `target` stays inside the directory.
bool stays_inside(std::string_view path, std::string_view target) {
  if (target.starts_with('/')) return false;
  auto depth = std::ranges::count(path, '/');
  for (const auto& part : fs::path(target)) {
    if (part == "..") {
      if (--depth < 0) return false;
    } else if (part != "." && !part.empty()) {
      ++depth;
    }
  }
  return true;
}

/// Finds what is to be packed.
class Walk {
 public:
  explicit Walk(const PackOptions& options) : options_(options) {}

  Result<std::vector<Entry>> run() {
    std::error_code failure;
    if (!fs::is_directory(options_.directory, failure))
      return std::unexpected(Error(ErrorId::GR0805, fmt::format("{}: no such directory", options_.directory.string()))
                                 .with_hint("name a directory that exists and holds the program"));
    if (auto text = os::read_file(options_.directory / ignore_file, mebibytes(1))) rules_ = IgnoreRules(*text);
    GANTRY_TRY_VOID(descend("", 0));
    std::ranges::sort(entries_, {}, &Entry::path);
    return std::move(entries_);
  }

 private:
  Result<> descend(const std::string& prefix, size_t depth) {
    if (depth > options_.max_depth) return refused(prefix, "directories are nested too deeply");
    std::error_code failure;
    fs::directory_iterator items(options_.directory / prefix, failure);
    if (failure) return refused(prefix.empty() ? options_.directory.string() : prefix, failure.message());
    for (const auto& item : items) GANTRY_TRY_VOID(visit(prefix, item.path().filename().string(), depth));
    return {};
  }

  Result<> visit(const std::string& prefix, const std::string& name, size_t depth) {
    Entry entry{prefix.empty() ? name : prefix + "/" + name};
    const fs::path full = options_.directory / entry.path;
    // SAFETY: fills one stat or fails with errno.
    if (::lstat(full.c_str(), &entry.info) != 0) return std::unexpected(errno_error(errno, entry.path));
    const bool is_directory = S_ISDIR(entry.info.st_mode);
    if (rules_.leaves_out(entry.path, is_directory ? EntryKind::directory : EntryKind::file)) return {};
    if (entry.path.size() > options_.max_path) return refused(entry.path, "the path is too long");
    if (S_ISLNK(entry.info.st_mode)) {
      std::error_code failure;
      entry.link = fs::read_symlink(full, failure).string();
      if (failure) return refused(entry.path, failure.message());
      if (!stays_inside(entry.path, entry.link))
        return refused(entry.path, fmt::format("the link leads out of the directory, to {}", entry.link));
    } else if (!is_directory && !S_ISREG(entry.info.st_mode)) {
      return refused(entry.path, "it is no file, directory or symbolic link");
    }
    std::string path = entry.path;
    entries_.push_back(std::move(entry));
    if (entries_.size() > options_.max_files)
      return fail(ErrorId::GR0805, "{} holds more than {} files", options_.directory.string(), options_.max_files);
    if (is_directory) return descend(path, depth + 1);
    return {};
  }

  const PackOptions& options_;
  IgnoreRules rules_;
  std::vector<Entry> entries_;
};

/// Where the tar goes: a file and a hash. libarchive calls it through C functions.
class Spool {
 public:
  explicit Spool(Bytes limit) : limit_(limit) {}

  Result<> open() {
    std::error_code failure;
    fs::path directory = fs::temp_directory_path(failure);
    if (failure) return fail(ErrorId::GR0805, "find the directory for temporary files: {}", failure.message());
    GANTRY_TRY(file_, os::open_file(directory, O_TMPFILE | O_RDWR));
    return {};
  }

  /// False once something failed; `error` then says what.
  bool take(std::string_view bytes) {
    if (written_.count + bytes.size() > limit_.count) {
      error_ = Error(ErrorId::GR0805, fmt::format("the packed directory is larger than {}", format_bytes(limit_)));
      return false;
    }
    auto written = os::write_all(file_, bytes);
    if (!written) {
      error_ = std::move(written).error().wrap("write the temporary tar");
      return false;
    }
    hash_.update(bytes);
    written_.count += bytes.size();
    return true;
  }

  const std::optional<Error>& error() const { return error_; }
  Bytes written() const { return written_; }

  Result<PackedWorkdir> finish(uint64_t files) {
    // SAFETY: repositions our own descriptor.
    if (::lseek(file_.get(), 0, SEEK_SET) != 0) return fail_errno("rewind the temporary tar");
    return PackedWorkdir{crypto::content_address(hash_.finish()), files, written_, std::move(file_)};
  }

 private:
  Bytes limit_;
  os::Fd file_;
  crypto::Sha256 hash_;
  Bytes written_;
  std::optional<Error> error_;
};

struct FreeArchive {
  void operator()(archive* it) const { ::archive_write_free(it); }
};
struct FreeEntry {
  void operator()(archive_entry* it) const { ::archive_entry_free(it); }
};

extern "C" la_ssize_t write_to_spool(archive* it, void* spool, const void* bytes, size_t size) {
  // SAFETY: `spool` is the Spool that archive_write_open got; the bytes are libarchive's for this call.
  if (static_cast<Spool*>(spool)->take({static_cast<const char*>(bytes), size})) return static_cast<la_ssize_t>(size);
  ::archive_set_error(it, EIO, "spool");
  return -1;
}

/// Writes entries as a tar into a Spool.
class TarWriter {
 public:
  explicit TarWriter(Spool& spool) : spool_(spool), archive_(::archive_write_new()) {
    GANTRY_CHECK(archive_ != nullptr);
    // Plain ustar, and pax records only where a path or size needs them.
    ::archive_write_set_format_pax_restricted(archive_.get());
    ::archive_write_set_bytes_in_last_block(archive_.get(), 1);
  }

  Result<> open() {
    return check(::archive_write_open(archive_.get(), &spool_, nullptr, write_to_spool, nullptr), "tar");
  }

  Result<> add(const fs::path& directory, const Entry& entry) {
    std::unique_ptr<archive_entry, FreeEntry> header(::archive_entry_new());
    GANTRY_CHECK(header != nullptr);
    const bool executable = (entry.info.st_mode & S_IXUSR) != 0;
    const bool regular = S_ISREG(entry.info.st_mode);
    ::archive_entry_set_pathname(header.get(), entry.path.c_str());
    ::archive_entry_set_filetype(header.get(), entry.info.st_mode & S_IFMT);
    ::archive_entry_set_perm(header.get(), regular && !executable ? 0644 : 0755);
    ::archive_entry_set_mtime(header.get(), 0, 0);
    ::archive_entry_set_size(header.get(), regular ? entry.info.st_size : 0);
    if (!entry.link.empty()) ::archive_entry_set_symlink(header.get(), entry.link.c_str());
    GANTRY_TRY_VOID(check(::archive_write_header(archive_.get(), header.get()), entry.path));
    return regular ? add_content(directory, entry) : Result<>();
  }

  Result<> close() { return check(::archive_write_close(archive_.get()), "tar"); }

 private:
  Result<> add_content(const fs::path& directory, const Entry& entry) {
    auto opened = os::open_file(directory / entry.path, O_RDONLY | O_NOFOLLOW);
    if (!opened) return refused(entry.path, opened.error().reason());
    std::string buffer(read_size, '\0');
    auto left = static_cast<uint64_t>(entry.info.st_size);
    while (left > 0) {
      GANTRY_TRY(size_t got, os::read_some(*opened, buffer));
      if (got == 0) break;
      got = std::min<size_t>(got, left);
      if (::archive_write_data(archive_.get(), buffer.data(), got) < 0) return check(ARCHIVE_FATAL, entry.path);
      left -= got;
    }
    // A shorter file would be filled up with zeros, and the digest would name bytes that nobody wrote.
    if (left > 0) return refused(entry.path, "the file became shorter while it was packed");
    return {};
  }

  Result<> check(int status, std::string_view what) {
    if (status >= ARCHIVE_WARN) return {};
    if (spool_.error()) return std::unexpected(*spool_.error());
    const char* text = ::archive_error_string(archive_.get());
    return fail(ErrorId::GR0805, "{}: {}", what, text == nullptr ? "cannot be packed" : text);
  }

  Spool& spool_;
  std::unique_ptr<archive, FreeArchive> archive_;
};

}  // namespace

Result<PackedWorkdir> pack_workdir(const PackOptions& options) {
  GANTRY_TRY(auto entries, Walk(options).run());
  Spool spool(options.max_size);
  GANTRY_TRY_VOID(spool.open());
  TarWriter writer(spool);
  GANTRY_TRY_VOID(writer.open());
  uint64_t files = 0;
  for (const auto& entry : entries) {
    GANTRY_TRY_VOID(writer.add(options.directory, entry));
    ++files;
    if (options.progress) options.progress(files, spool.written());
  }
  GANTRY_TRY_VOID(writer.close());
  return spool.finish(files);
}

}  // namespace gantry::cli
