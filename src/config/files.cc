#include "config/files.h"

#include <sys/stat.h>

#include "os/os.h"

namespace gantry::config {

Result<std::optional<std::string>> read_text(const std::filesystem::path& file) {
  // O_NONBLOCK, so that a FIFO in the place of the file does not stop the program.
  auto fd = os::open_file(file, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!fd && fd.error().code() == Code::not_found) return std::nullopt;
  if (!fd) return fail(ErrorId::GR0702, "{}", fd.error().reason());
  struct stat status{};
  // SAFETY: fills a struct of ours.
  if (::fstat(fd->get(), &status) != 0 || !S_ISREG(status.st_mode))
    return fail(ErrorId::GR0702, "{}: not a regular file", file.string());
  auto text = os::read_fd(*fd, max_file_size);
  if (!text) return fail(ErrorId::GR0702, "{}: {}", file.string(), text.error().reason());
  return *std::move(text);
}

Result<> replace_text(const std::filesystem::path& file, std::string_view text) {
  std::error_code code;
  // A link, as keepers of dot files have them, stays a link.
  std::filesystem::path target = std::filesystem::weakly_canonical(file, code);
  if (code) target = file;
  struct stat status{};
  // SAFETY: fills a struct of ours. An old file keeps its mode.
  os::Mode mode = ::stat(target.c_str(), &status) == 0 ? status.st_mode & 0777 : 0600;
  auto replaced = os::make_directories(target.parent_path());
  if (replaced) replaced = os::replace_file(target, text, mode);
  if (!replaced) return fail(ErrorId::GR0702, "{}", replaced.error().reason());
  return {};
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
