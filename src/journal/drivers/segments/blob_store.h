// Blobs as files `blobs/ab/cdef…`, named by the SHA-256 of their content.
#pragma once

#include <atomic>
#include <mutex>

#include "journal/blobs.h"
#include "journal/storage.h"

namespace gantry::journal::segments {

class BlobStore final : public Blobs {
 public:
  BlobStore(Storage& storage, Clock& clock) : storage_(storage), clock_(clock) {}

  /// Removes what writers left unfinished at the last end of the process.
  Result<void> sweep();

  Result<std::unique_ptr<BlobWriter>> create() override;
  Result<std::unique_ptr<BlobReader>> open(const BlobId& id) override;
  Result<std::string> read(const BlobId& id, Bytes limit) override;
  Result<BlobUsage> collect(std::function<bool(const BlobId&)> referenced, CollectOptions options) override;
  Result<BlobUsage> usage() override;

  /// Gives a finished temporary file its name.
  Result<void> settle(const std::string& temporary, const BlobRef& ref);

 private:
  struct Found {
    BlobId id;
    StoredName file;
  };
  Result<std::vector<Found>> walk();
  bool is_old(const StoredName& file, Duration grace) const;
  Result<bool> remove_unused(const Found& found, Duration grace);

  Storage& storage_;
  Clock& clock_;
  std::atomic<uint64_t> next_temporary_ = 1;
  // Between "this blob is there already" and the touch that protects it, `collect` must not delete it.
  std::mutex names_;
};

}  // namespace gantry::journal::segments
