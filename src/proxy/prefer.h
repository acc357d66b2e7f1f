// `Prefer: wait=N` and `respond-async` (RFC 7240).
#pragma once

#include <optional>

#include "base/base.h"
#include "net/net.h"

namespace gantry::proxy {

/// What the caller prefers about waiting.
struct Preference {
  /// `wait=N`: seconds that it is ready to wait for the answer.
  std::optional<Duration> wait;
  /// `respond-async`: it wants 202 at once.
  bool respond_async = false;
};

/// Reads every Prefer field; what is not understood is ignored, as the RFC wants. `wait` is cut to `longest`.
Preference parse_preference(net::Headers headers, Duration longest);

}  // namespace gantry::proxy
