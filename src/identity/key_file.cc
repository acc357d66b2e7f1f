#include "identity/key_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "crypto/crypto.h"
#include "os/os.h"

namespace gantry::identity {
namespace {

constexpr std::string_view prefix = "gk_";
constexpr size_t token_size = prefix.size() + 43;
constexpr Bytes file_limit{4096};

bool is_base64url(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/// Refuses a file that somebody else could have read, written or put there.
Result<> check_private(const os::Fd& fd) {
  struct stat status{};
  // SAFETY: fstat(2) on an open descriptor into a local struct.
  if (::fstat(fd.get(), &status) != 0) return fail_errno("stat");
  const auto refuse = [](std::string_view what) {
    return std::unexpected(
        Error(ErrorId::GR0902, std::string(what)).with_hint("chmod 600 the file, or delete it to get a new key"));
  };
  if (!S_ISREG(status.st_mode)) return refuse("it is not a regular file");
  if (status.st_uid != ::geteuid()) return refuse(fmt::format("it belongs to uid {}", status.st_uid));
  if ((status.st_mode & 077) != 0) return refuse(fmt::format("its mode is {:04o}", status.st_mode & 07777));
  return {};
}

Result<> write_and_sync(const os::Fd& fd, std::string_view token) {
  GANTRY_TRY_VOID(os::write_all(fd, fmt::format("{}\n", token)));
  return os::sync_all(fd);
}

}  // namespace

std::string make_token(Random& random) { return std::string(prefix) + crypto::random_token(random, 32); }

bool is_token(std::string_view text) {
  return text.size() == token_size && text.starts_with(prefix) &&
         std::ranges::all_of(text.substr(prefix.size()), is_base64url);
}

Result<std::optional<std::string>> read_key_file(const std::filesystem::path& file) {
  // O_NONBLOCK: a fifo in its place must not block the start.
  auto fd = os::open_file(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!fd.has_value() && fd.error().code() == Code::not_found) return std::nullopt;
  if (!fd.has_value()) return std::unexpected(std::move(fd).error());
  if (auto is_private = check_private(*fd); !is_private.has_value())
    return std::unexpected(std::move(is_private).error().wrap(file.string()));
  GANTRY_TRY(const std::string content, os::read_fd(*fd, file_limit));
  const std::string_view line = trim(std::string_view(content).substr(0, content.find('\n')));
  if (!is_token(line)) return fail(ErrorId::GR0904, "{} holds no key", file.string());
  return std::string(line);
}

Result<> write_key_file(const std::filesystem::path& file, std::string_view token) {
  // Under another name first: a crash must not leave half a key under the right one. link(2) fails if
  // the name exists, as O_EXCL would.
  const std::filesystem::path draft = file.string() + ".new";
  // SAFETY: unlink(2) of a name that only this function uses; a draft of an earlier crash.
  ::unlink(draft.c_str());
  GANTRY_TRY(const os::Fd fd, os::open_file(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  Result<> written = write_and_sync(fd, token);
  // SAFETY: link(2) and unlink(2) on paths that live through the calls.
  if (written.has_value() && ::link(draft.c_str(), file.c_str()) != 0) written = fail_errno("create " + file.string());
  ::unlink(draft.c_str());
  GANTRY_TRY_VOID(written);
  return os::sync_directory(file.parent_path());
}

}  // namespace gantry::identity
