// Small questions about text that several folders ask.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace gantry {

/// Optimal string alignment distance (Damerau-Levenshtein without repeated edits), in characters.
size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate closest to `word` if it is close enough to be a typing error (distance at most 1
/// for short words, a third of the length for longer ones); for "did you mean".
std::optional<std::string_view> closest(std::string_view word, std::span<const std::string_view> candidates);

/// True for `[a-z0-9]([-a-z0-9]*[a-z0-9])?` of at most 63 characters (SPEC section 2).
bool is_name(std::string_view text);

/// Lower case of ASCII letters; other bytes are kept.
std::string to_lower(std::string_view text);
/// The same the other way.
std::string to_upper(std::string_view text);
/// ASCII case-insensitive equality, as HTTP field names want (RFC 9110 5.1).
bool equals_ignoring_case(std::string_view a, std::string_view b);
/// Without spaces and tabs at both ends.
std::string_view trim(std::string_view text);

}  // namespace gantry
