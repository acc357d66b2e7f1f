// Takes in a body of unknown length: short ones stay in memory, long ones become a blob.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "proxy/proxy.h"

namespace gantry::proxy {

/// Where a body goes.
struct SpoolLimits {
  Bytes keep;          ///< kept at most; the rest is counted and dropped
  Bytes inline_limit;  ///< longer ones are blobs
};

/// One body on its way into the journal. Belongs to one coroutine.
class Spool {
 public:
  /// A blob belongs to `scope`.
  Spool(requests::Requests& requests, BlockingPool& blocking, Scope scope, SpoolLimits limits)
      : requests_(requests), blocking_(blocking), scope_(std::move(scope)), limits_(limits) {}

  /// From now on what comes in is digested, too: a blob's id tells nothing of its content when it is sealed.
  void digest_content() { content_.emplace(); }
  /// After `finish`, of everything that came in.
  crypto::Digest take_digest() { return content_->finish(); }

  /// `unavailable` if the disk refuses.
  Task<Result<void>> append(std::string_view piece);
  /// Ends it. The inline bytes are then `inline_bytes()`.
  Task<Result<requests::Body>> finish();
  std::string& inline_bytes() { return buffer_; }
  uint64_t size() const { return size_; }
  /// True while nothing went to a blob.
  bool is_inline() const { return writer_ == nullptr; }

 private:
  Task<Result<void>> flush();

  requests::Requests& requests_;
  BlockingPool& blocking_;
  Scope scope_;
  SpoolLimits limits_;
  uint64_t size_ = 0;
  std::string buffer_;
  std::optional<crypto::Sha256> content_;
  std::unique_ptr<journal::BlobWriter> writer_;
};

/// Reads a body back in pieces, from memory or from its blob.
class BodySource {
 public:
  BodySource(requests::Requests& requests, BlockingPool& blocking, requests::Body body)
      : requests_(requests), blocking_(blocking), body_(body) {}
  bool is_inline() const { return !body_.blob.has_value(); }
  std::string_view inline_bytes() const { return body_.inline_bytes; }
  uint64_t size() const { return body_.size; }
  /// The next piece of a blob, valid until the next call; empty at the end.
  Task<Result<std::string_view>> next();

 private:
  requests::Requests& requests_;
  BlockingPool& blocking_;
  requests::Body body_;
  std::unique_ptr<journal::BlobReader> reader_;
  std::string buffer_;
};

}  // namespace gantry::proxy
