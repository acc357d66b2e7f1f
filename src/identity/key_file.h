// Tokens, and the file that holds one. Private to identity/.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/base.h"

namespace gantry::identity {

/// `gk_` and 43 characters of base64url: 256 random bits.
std::string make_token(Random& random);
/// True if a text has that form; it may still be unknown.
bool is_token(std::string_view text);

/// The token in the file; nullopt if there is no file. GR0902 if anybody but the owner could have
/// read or changed it, GR0904 if it holds no token.
Result<std::optional<std::string>> read_key_file(const std::filesystem::path& file);
/// Creates the file with mode 0600, all or nothing; `conflict` if it exists.
Result<> write_key_file(const std::filesystem::path& file, std::string_view token);

}  // namespace gantry::identity
