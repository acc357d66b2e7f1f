// The headers of a signed message as Standard Webhooks 1.0.0 has them: webhook-id, webhook-timestamp,
// webhook-signature. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/base.h"
#include "telemetry/telemetry.h"

namespace gantry::webhooks {

/// `whsec_` and the base64 of 32 random bytes.
telemetry::Secret make_secret(Random& random);

/// `v1,<base64>` for each secret, with a space between: HMAC-SHA256 over `id.timestamp.body` with the bytes behind
/// `whsec_`. `data_loss` for a secret of another form.
Result<std::string> signatures(std::span<const telemetry::Secret> secrets, std::string_view id, int64_t timestamp,
                               std::string_view body);

}  // namespace gantry::webhooks
