#include "config/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace gantry::config {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

std::unexpected<Error> unreadable(const std::filesystem::path& file, int number) {
  return fail(ErrorId::GR0702, "{}", errno_error(number, file.string()).reason());
}

Result<> write_and_sync(int fd, std::string_view text) {
  while (!text.empty()) {
    // SAFETY: reads at most text.size() bytes of text, which lives during the call.
    ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno("write");
    text.remove_prefix(static_cast<size_t>(written));
  }
  if (::fsync(fd) != 0) return fail_errno("sync");
  return {};
}

}  // namespace

Result<std::optional<std::string>> read_text(const std::filesystem::path& file) {
  // SAFETY: O_NONBLOCK, so that a FIFO in the place of the file does not stop the program.
  Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (descriptor.get() < 0 && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (descriptor.get() < 0) return unreadable(file, errno);
  struct stat status{};
  if (::fstat(descriptor.get(), &status) != 0) return unreadable(file, errno);
  if (!S_ISREG(status.st_mode)) return fail(ErrorId::GR0702, "{}: not a regular file", file.string());
  std::string text;
  char buffer[4096];
  while (true) {
    // SAFETY: writes at most sizeof buffer bytes into buffer.
    ssize_t got = ::read(descriptor.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable(file, errno);
    if (got == 0) return text;
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > max_file_size.count)
      return fail(ErrorId::GR0702, "{}: larger than {}", file.string(), format_bytes(max_file_size));
  }
}

Result<> replace_text(const std::filesystem::path& file, std::string_view text) {
  std::error_code code;
  // A link, as keepers of dot files have them, stays a link.
  std::filesystem::path target = std::filesystem::weakly_canonical(file, code);
  if (code) target = file;
  bool is_new_folder = std::filesystem::create_directories(target.parent_path(), code);
  if (code) return fail(ErrorId::GR0702, "make {}: {}", target.parent_path().string(), code.message());
  if (is_new_folder) std::filesystem::permissions(target.parent_path(), std::filesystem::perms::owner_all, code);

  struct stat status{};
  mode_t mode = ::stat(target.c_str(), &status) == 0 ? status.st_mode & 0777 : 0600;
  std::string name = target.string() + ".XXXXXX";
  // SAFETY: mkostemp makes a new file with 0600 and writes its name over the six X.
  Descriptor descriptor(::mkostemp(name.data(), O_CLOEXEC));
  if (descriptor.get() < 0) return unreadable(target, errno);
  auto written = write_and_sync(descriptor.get(), text);
  if (written && ::fchmod(descriptor.get(), mode) != 0) written = fail_errno("set the mode");
  if (written && ::rename(name.c_str(), target.c_str()) != 0) written = fail_errno("rename");
  if (written) return {};
  ::unlink(name.c_str());
  return fail(ErrorId::GR0702, "{}: {}", target.string(), written.error().reason());
}

std::vector<FileEntry> parse_entries(const std::filesystem::path& file, std::string_view text,
                                     std::vector<std::string>& mistakes) {
  std::vector<FileEntry> entries;
  yaml::Parsed parsed = yaml::parse(text, {.max_bytes = max_file_size.count});
  for (const yaml::Problem& problem : parsed.problems)
    mistakes.push_back(fmt::format("{}:{}: {}", file.string(), problem.span.line, problem.message));
  if (parsed.documents.size() > 1)
    mistakes.push_back(
        fmt::format("{}:{}: there is more than one document", file.string(), parsed.documents[1].span.line));
  if (parsed.documents.size() != 1) return entries;
  const yaml::Node& root = parsed.documents[0];
  if (root.kind != yaml::Kind::map)
    mistakes.push_back(
        fmt::format("{}:{}: expected `key: value` lines, got {}", file.string(), root.span.line, kind_name(root)));
  for (const yaml::Entry& entry : root.entries) {
    if (entry.value.kind == yaml::Kind::scalar)
      entries.push_back({entry.key, entry.value.text, entry.key_span.line});
    else
      mistakes.push_back(fmt::format("{}:{}: {}: expected a value, got {}", file.string(), entry.key_span.line,
                                     entry.key, kind_name(entry.value)));
  }
  return entries;
}

}  // namespace gantry::config
