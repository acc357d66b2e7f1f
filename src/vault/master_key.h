// The master key as the operator writes it down.
#pragma once

#include <filesystem>
#include <optional>

#include "telemetry/telemetry.h"
#include "vault/secret_key.h"
#include "vault/vault.h"

namespace gantry::vault {

/// 64 hex digits, or base64 of 32 bytes; white space around it is allowed. GR1003.
Result<SecretKey> parse_master_key(const telemetry::Secret& text);
/// Reads one from a file that is regular, belongs to this user or root, and that nobody else may read or write. GR1003.
Result<SecretKey> read_master_key(const std::filesystem::path& file);
/// From whichever place is given; nullopt if none is. GR1003 if both are.
Result<std::optional<SecretKey>> load_master_key(const KeySource& source);

}  // namespace gantry::vault
