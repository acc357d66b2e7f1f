// Blobs under encryption: sealed in chunks as they stream, so that a body of any length needs one chunk of memory.
//
// `GNTRYBLB`, version u32, chunk size u32, 16 random bytes, scope size u8, scope path; then the content in chunks of
// 64 KiB, each sealed by itself. What a chunk is sealed as holds the random bytes, its number and whether it is the
// last one: chunks cannot be moved, left out, or taken from another blob.
#pragma once

#include <array>
#include <memory>

#include "journal/blobs.h"
#include "journal/cipher.h"

namespace gantry::journal::segments {

/// Tells the chunks of one blob from those of all others.
using BlobSalt = std::array<uint8_t, 16>;

/// What a sealed file is written to. The content that comes in goes out sealed to `file`, whose id becomes the blob's.
Result<std::unique_ptr<BlobWriter>> seal_blob(std::unique_ptr<BlobWriter> file, const Scope& scope, BlobSalt salt,
                                              PayloadCipher& cipher);
/// The content of a sealed file. GR1002 without a cipher, GR0103 if it is damaged.
Result<std::unique_ptr<BlobReader>> open_blob(std::unique_ptr<BlobReader> file, const BlobId& id,
                                              PayloadCipher* cipher);

/// `data_loss` GR0103 that names the blob.
Error damaged_blob(const BlobId& id, std::string_view what);

}  // namespace gantry::journal::segments
