// What seals payloads, blobs and checkpoints when the journal is encrypted. The journal itself knows no key.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "async/async.h"
#include "base/base.h"

namespace gantry::journal {

/// Authenticated encryption with keys that belong to scopes. Thread-safe; whoever owns the keys implements it.
///
/// `context` is authenticated and not stored: what was sealed as one thing cannot be opened as another.
class PayloadCipher {
 public:
  virtual ~PayloadCipher() = default;
  /// What is sealed is longer than its plaintext by exactly this.
  static constexpr size_t overhead = 44;

  /// True if the scope has a key, so that `seal` will not fail for the lack of one. Never blocks.
  virtual bool is_ready(const Scope& scope) const = 0;
  /// Makes the first key of a scope that has none, durably.
  virtual Task<Result<void>> prepare(Scope scope) = 0;
  virtual Result<void> prepare_blocking(const Scope& scope) = 0;

  /// Seals with the newest key of the scope. `not_found` if it has none. Never blocks.
  virtual Result<std::string> seal(const Scope& scope, std::string_view context, std::string_view plaintext) = 0;
  /// Opens with the key that sealed. `data_loss` if that key is gone, or if anything was changed. Never blocks.
  virtual Result<std::string> open(const Scope& scope, std::string_view context, std::string_view sealed) = 0;
};

}  // namespace gantry::journal
