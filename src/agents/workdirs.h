// The files of revisions: tar uploads, kept once by content. Part of the door (agents.h).
//
// An upload is spooled to a file while its SHA-256 grows, then unpacked into `revisions/<digest>`,
// read-only and shared by every revision that names the digest. Unpacking trusts nothing: no
// absolute path, no `..`, no device, fifo or hard link to the outside, no set-user-id, symbolic
// links only to the inside, and bounds on files and bytes. What is refused leaves nothing behind.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "async/async.h"
#include "base/base.h"

namespace gantry::agents {

/// The bounds of an upload; beyond one it is refused (GR0503).
struct WorkdirLimits {
  Bytes upload = gibibytes(2);    ///< of the tar stream
  Bytes unpacked = gibibytes(4);  ///< of all files together
  uint64_t files = 100'000;
  uint32_t path_length = 4096;
  uint32_t depth = 100;
};

/// An unpacked upload.
struct Workdir {
  std::string digest;  ///< `sha256:` and 64 hex digits, of the tar stream
  uint64_t files = 0;
  Bytes bytes;
};

/// One upload that is under way. One caller at a time. Destroyed unfinished, it leaves nothing.
class WorkdirUpload {
 public:
  virtual ~WorkdirUpload() = default;
  /// GR0503 above the limit of an upload.
  virtual Task<Result<>> write(std::string chunk) = 0;
  /// Unpacks; GR0504 names the entry that is not allowed. The same content twice is kept once.
  virtual Task<Result<Workdir>> finish() = 0;
};

/// The store of uploads. Thread-safe.
class Workdirs {
 public:
  Workdirs(std::filesystem::path data, BlockingPool& blocking, Random& random, WorkdirLimits limits);
  ~Workdirs();

  Task<Result<std::unique_ptr<WorkdirUpload>>> begin();
  /// nullopt if it was never uploaded or was collected.
  Task<Result<std::optional<Workdir>>> find(std::string digest);
  /// Where its files are; the directory exists if `find` said so.
  std::filesystem::path path_of(std::string_view digest) const;
  /// Deletes every workdir that is not in `used` and older than `grace` (an upload that is about to
  /// be deployed). Blocks.
  Result<> collect(const std::vector<std::string>& used, Duration grace, Clock& clock);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace gantry::agents
