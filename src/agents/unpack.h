// Unpacks a tar archive that nobody vouches for. Private to agents/.
#pragma once

#include <filesystem>

#include "agents/workdirs.h"

namespace gantry::agents {

/// How much an archive held.
struct Unpacked {
  uint64_t files = 0;
  Bytes bytes;
};

/// Unpacks `archive` into the empty directory `into`. Files are 0444 or 0555, directories 0755; owners and
/// times of the archive are ignored. GR0503 and GR0504 name the entry that breaks a rule; then `into`
/// holds a part of the archive that the caller deletes. Blocks.
Result<Unpacked> unpack(const std::filesystem::path& archive, const std::filesystem::path& into,
                        const WorkdirLimits& limits);

/// The parts of a path inside an archive; `invalid` if it could name something outside: absolute, with
/// `..`, empty, with a NUL, too long or too deep.
Result<std::vector<std::string>> split_entry_path(std::string_view path, const WorkdirLimits& limits);

/// True if a symbolic link in the directory with these parts stays inside when followed as a text.
bool link_stays_inside(const std::vector<std::string>& directory, std::string_view target);

}  // namespace gantry::agents
