// What every sandbox of this machine sees in common: the host's programs, a minimal /etc, the shim.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/base.h"

namespace gantry::sandbox::bubblewrap {

/// One step of building the root directory.
struct Mount {
  enum class Kind { read_only, symlink };
  Kind kind = Kind::read_only;
  std::string source;  ///< host path, or the target of the link
  std::string place;   ///< inside
};

/// Found once per daemon.
struct HostView {
  std::vector<Mount> programs;          ///< /usr, /bin, /lib64, … and what options add
  std::vector<Mount> etc;               ///< host parts of /etc that change with packages
  std::vector<std::string> proc_files;  ///< entries of /proc that say too much about the machine
  std::vector<std::string> proc_directories;
};
/// Looks at the machine. Paths that do not exist are left out.
HostView find_host_view(const std::vector<std::filesystem::path>& extra);

/// Writes the shim, the generated /etc and an empty directory into `run_dir`.
Result<> write_root_files(const std::filesystem::path& run_dir);
inline constexpr std::string_view shim_file = "gantry-shim";
inline constexpr std::string_view etc_directory = "etc";
inline constexpr std::string_view empty_directory = "empty";

/// The hosts file of one instance.
std::string hosts_file(std::string_view name);

}  // namespace gantry::sandbox::bubblewrap
