// What a caller asks of a durable request by fields of its own: `Idempotency-Key` (draft-ietf-httpapi-idempotency-key
// 07), `Gantry-Not-Before` and `Gantry-Delay`.
#pragma once

#include <optional>
#include <string>

#include "base/base.h"
#include "net/net.h"

namespace gantry::proxy {

/// The fields, read. Nothing of it is passed on to the agent but the key.
struct Asked {
  std::optional<std::string> key;  ///< 1 to 255 characters
  Time not_before;                 ///< the epoch for at once
};

/// The longest time that a request can be put off.
inline constexpr Duration longest_delay = std::chrono::days(365);

/// `invalid` GR0409 for a key, GR0410 for a time that is not understood, stands twice, or is out of range.
Result<Asked> parse_asked(net::Headers headers, Time now);

/// The value of an Idempotency-Key: a Structured-Field string (RFC 8941 3.3.3), or the bare word that many clients
/// send. `invalid` GR0409.
Result<std::string> parse_key(std::string_view value);

}  // namespace gantry::proxy
