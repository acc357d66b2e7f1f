// Payload parts above the inline limit: content-addressed files, written before the record that names them.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/base.h"
#include "crypto/crypto.h"

namespace gantry::journal {

/// The SHA-256 of the file: of the content, or of what it was sealed to, which is different each time.
using BlobId = crypto::Digest;

/// Where the content is and how long it is: what a record stores.
struct BlobRef {
  BlobId id{};
  Bytes size;
};

/// Writes one blob as it streams in. One thread at a time; destroyed unfinished, it leaves nothing.
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  /// `unavailable` GR0101 if the disk refuses; the writer is then of no more use.
  virtual Result<void> write(std::string_view chunk) = 0;
  virtual Bytes size() const = 0;
  /// Makes the content durable under its hash; if the same file is there already, it is kept and
  /// this copy dropped. Call once.
  virtual Result<BlobRef> finish() = 0;
};

/// Reads one blob from its beginning, verifying it. One thread at a time.
class BlobReader {
 public:
  virtual ~BlobReader() = default;
  virtual Bytes size() const = 0;
  /// The next bytes; 0 at the end. The read that would complete the content fails with `data_loss`
  /// GR0103 if hash or size differ from the id's.
  virtual Result<size_t> read(std::span<char> out) = 0;
};

/// How many, and the space they take on disk.
struct BlobUsage {
  uint64_t count = 0;
  Bytes bytes;
};

/// What `collect` leaves alone.
struct CollectOptions {
  /// Younger blobs are kept: the record that names one may not be durable yet.
  Duration grace = std::chrono::hours(1);
};

/// All blobs of a journal. Every call blocks (never from an I/O thread) and is thread-safe.
class Blobs {
 public:
  virtual ~Blobs() = default;
  /// With a cipher, the content is sealed with the key of `scope`.
  virtual Result<std::unique_ptr<BlobWriter>> create(const Scope& scope) = 0;
  /// `not_found` if there is none.
  virtual Result<std::unique_ptr<BlobReader>> open(const BlobId& id) = 0;
  /// The whole content, verified; `exhausted` if it is longer than `limit`.
  virtual Result<std::string> read(const BlobId& id, Bytes limit) = 0;
  /// Deletes the blobs that no owner refers to: asks `referenced` for each that is older than the
  /// grace period, without any lock held. Returns what was freed.
  virtual Result<BlobUsage> collect(std::function<bool(const BlobId&)> referenced, CollectOptions options) = 0;
  /// Walks the directory.
  virtual Result<BlobUsage> usage() = 0;
};

}  // namespace gantry::journal
