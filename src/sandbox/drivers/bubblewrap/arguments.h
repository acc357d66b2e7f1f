// The command line of bubblewrap for one sandbox. Pure.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sandbox/drivers/bubblewrap/root_files.h"
#include "sandbox/drivers/bubblewrap/volumes.h"
#include "sandbox/sandbox.h"

namespace gantry::sandbox::bubblewrap {

/// Where things are for the unprivileged process that runs bubblewrap.
struct SandboxPlaces {
  std::filesystem::path run_dir;
  std::vector<AppPart> app;  ///< nothing: an empty directory
  std::filesystem::path workspace;
  std::filesystem::path hosts;
  std::vector<Volume> volumes;
};

/// Each argument followed by a zero, as `--args` reads them.
std::string bwrap_arguments(const HostView& host, const SandboxPlaces& places, const Spec& spec);

}  // namespace gantry::sandbox::bubblewrap
