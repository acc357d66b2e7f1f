// A work directory as one tar with a stable digest: the same files give the same bytes on every machine.
//
// Entries are sorted by path; times, owners and permission bits that vary (all but "may be executed")
// are set to fixed values. The tar is spooled to an unnamed temporary file while its SHA-256 grows, so
// a large directory needs no memory and the server can be asked first whether it has it already.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/base.h"
#include "os/os.h"

namespace gantry::cli {

struct PackOptions {
  std::filesystem::path directory;
  uint64_t max_files = 100'000;
  Bytes max_size = gibibytes(1);  ///< of the tar, as the server accepts it
  size_t max_path = 4000;
  size_t max_depth = 100;
  /// Called now and then with what was packed so far.
  std::function<void(uint64_t files, Bytes bytes)> progress = {};
};

/// A packed directory.
struct PackedWorkdir {
  std::string digest;  ///< `sha256:…` of the tar
  uint64_t files = 0;
  Bytes size;  ///< of the tar
  os::Fd tar;  ///< at its beginning
};

/// Packs. GR0805 names the first path that is in the way.
Result<PackedWorkdir> pack_workdir(const PackOptions& options);

}  // namespace gantry::cli
