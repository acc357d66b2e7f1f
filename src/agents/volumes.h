// Which paths of the host a program may be given. Private to agents/.
#pragma once

#include <filesystem>
#include <vector>

#include "core/core.h"
#include "sandbox/sandbox.h"

namespace gantry::agents {

/// The volumes with the paths to which their links lead. GR0510 names the first that does not exist or that nobody
/// may mount: `/`, what `data` is in or holds, and what belongs to the system. Blocks.
Result<std::vector<sandbox::Volume>> resolve_volumes(const std::vector<core::Volume>& volumes,
                                                     const std::filesystem::path& data);

}  // namespace gantry::agents
