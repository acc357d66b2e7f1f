#include "webhooks/signature.h"

#include <array>

#include "crypto/crypto.h"

namespace gantry::webhooks {
namespace {

constexpr std::string_view prefix = "whsec_";

}  // namespace

telemetry::Secret make_secret(Random& random) {
  std::array<uint8_t, 32> bytes;
  random.fill(bytes);
  return telemetry::Secret(fmt::format("{}{}", prefix, crypto::base64(bytes)));
}

Result<std::string> signatures(std::span<const telemetry::Secret> secrets, std::string_view id, int64_t timestamp,
                               std::string_view body) {
  std::string content = fmt::format("{}.{}.{}", id, timestamp, body);
  std::string header;
  for (const telemetry::Secret& secret : secrets) {
    std::string_view text = secret.reveal();
    if (!text.starts_with(prefix)) return fail(Code::data_loss, "a stored secret does not begin with {}", prefix);
    auto key = crypto::unbase64(text.substr(prefix.size()));
    if (!key) return fail(Code::data_loss, "a stored secret is not base64");
    if (!header.empty()) header += ' ';
    header += "v1," + crypto::base64(crypto::hmac_sha256(*key, crypto::bytes_of(content)));
  }
  return header;
}

}  // namespace gantry::webhooks
