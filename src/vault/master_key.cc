#include "vault/master_key.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "crypto/crypto.h"
#include "os/os.h"

namespace gantry::vault {
namespace {

constexpr Bytes file_limit{4096};
constexpr std::string_view how_to_make = "make one with: (umask 077; openssl rand -base64 32 > FILE)";

bool is_hex(std::string_view text) { return text.find_first_not_of("0123456789abcdefABCDEF") == text.npos; }

std::string_view stripped(std::string_view text) {
  constexpr std::string_view white = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(white), text.size()));
  return text.substr(0, text.find_last_not_of(white) + 1);
}

/// Refuses a file that somebody else could have read, written or put there.
Result<void> check_private(const os::Fd& fd, const std::filesystem::path& file) {
  struct stat status{};
  // SAFETY: fstat(2) on an open descriptor into a local struct.
  if (::fstat(fd.get(), &status) != 0) return fail_errno("stat");
  if (!S_ISREG(status.st_mode)) return fail(ErrorId::GR1003, "it is not a regular file");
  if (status.st_uid != ::geteuid() && status.st_uid != 0)
    return std::unexpected(Error(ErrorId::GR1003, fmt::format("it belongs to uid {}", status.st_uid))
                               .with_hint(fmt::format("chown it to uid {}, or to root", ::geteuid())));
  if ((status.st_mode & 077) != 0)
    return std::unexpected(
        Error(ErrorId::GR1003, fmt::format("others may read it: its mode is {:04o}", status.st_mode & 07777))
            .with_hint(fmt::format("chmod 600 {}", file.string())));
  return {};
}

Result<SecretKey> read_private(const std::filesystem::path& file) {
  // O_NONBLOCK: a fifo in its place must not block the start.
  GANTRY_TRY(const os::Fd fd, os::open_file(file, O_RDONLY | O_NONBLOCK));
  GANTRY_TRY_VOID(check_private(fd, file));
  GANTRY_TRY(std::string content, os::read_fd(fd, file_limit));
  const telemetry::Secret text(std::move(content));
  return parse_master_key(text);
}

}  // namespace

Result<SecretKey> parse_master_key(const telemetry::Secret& secret) {
  const std::string_view text = stripped(secret.reveal());
  const bool hex = text.size() == 2 * SecretKey::size && is_hex(text);
  auto bytes = hex ? crypto::unhex(text) : crypto::unbase64(text);
  if (!bytes || bytes->size() != SecretKey::size)
    return std::unexpected(
        Error(ErrorId::GR1003, "it is neither 64 hex digits nor base64 of 32 bytes").with_hint(how_to_make));
  SecretKey key(std::span<const uint8_t, SecretKey::size>(bytes->data(), SecretKey::size));
  wipe(*bytes);
  return key;
}

Result<SecretKey> read_master_key(const std::filesystem::path& file) {
  auto key = read_private(file);
  if (key) return key;
  Error error = std::move(key).error();
  // Whatever kept it from being read, it is the key that cannot be used.
  if (error.id() != ErrorId::GR1003)
    error = Error(ErrorId::GR1003, error.reason())
                .with_hint(error.code() == Code::not_found ? how_to_make : std::string_view(error.hint()));
  return std::unexpected(std::move(error).wrap(fmt::format("the key in {}", file.string())));
}

Result<std::optional<SecretKey>> load_master_key(const KeySource& source) {
  if (source.file.empty() && source.text.empty()) return std::optional<SecretKey>();
  if (!source.file.empty() && !source.text.empty())
    return std::unexpected(Error(ErrorId::GR1003, "there are two: encryption_key and encryption_key_file")
                               .with_hint("gantry config view --origin shows where each comes from; remove one"));
  auto key = source.file.empty() ? parse_master_key(source.text) : read_master_key(source.file);
  if (!key && source.file.empty()) return std::unexpected(std::move(key).error().wrap("the key in encryption_key"));
  if (!key) return std::unexpected(std::move(key).error());
  return std::optional<SecretKey>(*std::move(key));
}

}  // namespace gantry::vault
