#include "agents/volumes.h"

#include <algorithm>

namespace gantry::agents {
namespace {

namespace fs = std::filesystem;

// The kernel's and the administrator's; sockets of daemons that run as root are in /run.
constexpr std::string_view closed_places[] = {"/boot", "/dev", "/etc", "/proc", "/run", "/sys"};

/// `path` itself or something below it. Both have no links.
bool is_in(const fs::path& inner, const fs::path& path) {
  auto [rest, ignored] = std::ranges::mismatch(path, inner);
  return rest == path.end();
}

Result<> check_place(const fs::path& path, const fs::path& data) {
  if (path == "/") return fail(ErrorId::GR0510, "the whole file system cannot be a volume");
  if (is_in(path, data)) return fail(ErrorId::GR0510, "'{}' is in the data directory of the server", path.string());
  if (is_in(data, path)) return fail(ErrorId::GR0510, "'{}' holds the data directory of the server", path.string());
  for (std::string_view place : closed_places)
    if (is_in(path, place)) return fail(ErrorId::GR0510, "'{}' belongs to the system", path.string());
  return {};
}

Result<sandbox::Volume> resolve(const core::Volume& volume, const fs::path& data) {
  const fs::path wanted = volume.host;
  if (!wanted.is_absolute())
    return std::unexpected(Error(ErrorId::GR0510, fmt::format("'{}' is not an absolute path", volume.host))
                               .with_hint("gantry deploy makes relative paths absolute; the API does not"));
  std::error_code error;
  const fs::path path = fs::canonical(wanted, error);
  if (error)
    return std::unexpected(Error(ErrorId::GR0510, fmt::format("'{}': {}", volume.host, error.message()))
                               .with_hint("the path is one of the server's machine; make it there first"));
  GANTRY_TRY_VOID(check_place(path, data));
  const fs::file_status status = fs::status(path, error);
  if (error || (!fs::is_directory(status) && !fs::is_regular_file(status)))
    return fail(ErrorId::GR0510, "'{}' is neither a directory nor a file", volume.host);
  const bool is_read_only = volume.access == core::Volume::Access::read_only;
  return sandbox::Volume{path, volume.container,
                         is_read_only ? sandbox::Volume::Access::read_only : sandbox::Volume::Access::read_write};
}

// What a program may write it may also replace by a link: a path through there would lead where the program wants.
Result<> check_nesting(const std::vector<sandbox::Volume>& volumes) {
  for (const sandbox::Volume& inner : volumes)
    for (const sandbox::Volume& outer : volumes)
      if (outer.access == sandbox::Volume::Access::read_write && inner.host != outer.host &&
          is_in(inner.host, outer.host))
        return std::unexpected(
            Error(ErrorId::GR0510, fmt::format("volume {}: '{}' is inside '{}', which the program "
                                               "may write",
                                               inner.place, inner.host.string(), outer.host.string()))
                .with_hint("mount directories beside each other, or the outer one read-only"));
  return {};
}

}  // namespace

Result<std::vector<sandbox::Volume>> resolve_volumes(const std::vector<core::Volume>& volumes, const fs::path& data) {
  std::vector<sandbox::Volume> resolved;
  if (volumes.empty()) return resolved;
  std::error_code error;
  const fs::path real_data = fs::canonical(data, error);
  if (error) return fail(Code::internal, "resolve '{}': {}", data.string(), error.message());
  for (const core::Volume& volume : volumes) {
    auto one = resolve(volume, real_data);
    if (!one.has_value()) return std::unexpected(std::move(one).error().wrap("volume " + volume.container));
    resolved.push_back(std::move(*one));
  }
  GANTRY_TRY_VOID(check_nesting(resolved));
  return resolved;
}

}  // namespace gantry::agents
