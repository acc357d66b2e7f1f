// What a caller asks of a durable request by fields of its own: `Idempotency-Key` (draft-ietf-httpapi-idempotency-key
// 07), `Gantry-Not-Before`, `Gantry-Delay`, `Gantry-Retry`, `Gantry-Order-Key`, `Gantry-Priority` and
// `Gantry-Cancel-On-Disconnect`.
#pragma once

#include <optional>
#include <string>

#include "base/base.h"
#include "net/net.h"
#include "requests/requests.h"

namespace gantry::proxy {

/// The fields, read. Nothing of it is passed on to the agent but the key.
struct Asked {
  std::optional<std::string> key;  ///< 1 to 255 characters
  Time not_before;                 ///< the epoch for at once
  requests::RetryOverride retry = {};
  std::optional<Duration> deadline = {};  ///< for all attempts together
  std::string order_key = {};             ///< empty for none
  uint8_t priority = requests::usual_priority;
  bool cancel_on_disconnect = false;
};

/// The longest time that a request can be put off.
inline constexpr Duration longest_delay = std::chrono::days(365);

/// `invalid` GR0409 for a key, GR0410 for a time, GR0411 for a policy, GR0412 for order and priority that is not
/// understood, stands twice, or is out of range.
Result<Asked> parse_asked(net::Headers headers, Time now);

/// The value of an Idempotency-Key: a Structured-Field string (RFC 8941 3.3.3), or the bare word that many clients
/// send. `invalid` GR0409.
Result<std::string> parse_key(std::string_view value);

/// The value of a Gantry-Retry field: `name=value` pairs with commas between them, a dictionary of RFC 8941 in looks:
/// `max=3, policy=linear, initial=2s, cap=1m, timeout=30s, deadline=10m, retry_on=(connect died 503)`. `invalid`
/// GR0411.
Result<void> parse_retry(std::string_view value, Asked& asked);

}  // namespace gantry::proxy
