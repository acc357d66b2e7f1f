// The two files: read with the place of every key, and replaced in one step.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "yaml/yaml.h"

namespace gantry::config {

/// The largest file that is read.
inline constexpr Bytes max_file_size = kibibytes(256);

/// The text of a file; nullopt if there is none. GR0702 if it cannot be read.
Result<std::optional<std::string>> read_text(const std::filesystem::path& file);
/// Replaces a file in one step (temporary file, fsync, rename) and follows a link to it. A new file is
/// 0600 and its folder is made; an old one keeps its mode.
Result<> replace_text(const std::filesystem::path& file, std::string_view text);

/// One `key: value` of a file.
struct FileEntry {
  std::string key;
  std::string value;
  uint32_t line = 0;
};

/// A file as a list of keys with texts. What is wrong goes to `mistakes`, as `path:line: reason`.
std::vector<FileEntry> parse_entries(const std::filesystem::path& file, std::string_view text,
                                     std::vector<std::string>& mistakes);

}  // namespace gantry::config
