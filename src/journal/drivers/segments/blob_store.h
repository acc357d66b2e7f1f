// Blobs as files `blobs/ab/cdef…`, named by the SHA-256 of the file; sealed ones end in `.sealed`.
#pragma once

#include <atomic>
#include <mutex>

#include "journal/blobs.h"
#include "journal/cipher.h"
#include "journal/storage.h"

namespace gantry::journal::segments {

/// Whether the file holds the content itself.
enum class BlobForm { plain, sealed };

/// What the blobs work with. All outlive them; `cipher` may be null.
struct BlobParts {
  Storage& storage;
  Clock& clock;
  Random& random;
  PayloadCipher* cipher = nullptr;
};

class BlobStore final : public Blobs {
 public:
  explicit BlobStore(BlobParts parts)
      : storage_(parts.storage), clock_(parts.clock), random_(parts.random), cipher_(parts.cipher) {}

  /// Removes what writers left unfinished at the last end of the process.
  Result<void> sweep();

  Result<std::unique_ptr<BlobWriter>> create(const Scope& scope) override;
  Result<std::unique_ptr<BlobReader>> open(const BlobId& id) override;
  Result<std::string> read(const BlobId& id, Bytes limit) override;
  Result<BlobUsage> collect(std::function<bool(const BlobId&)> referenced, CollectOptions options) override;
  Result<BlobUsage> usage() override;

  /// Gives a finished temporary file its name; `ref` is of the file.
  Result<void> settle(const std::string& temporary, const BlobRef& ref, BlobForm form);

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
  Random& random_;
  PayloadCipher* cipher_;
  std::atomic<uint64_t> next_temporary_ = 1;
  // Between "this blob is there already" and the touch that protects it, `collect` must not delete it.
  std::mutex names_;
};

}  // namespace gantry::journal::segments
