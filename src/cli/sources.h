// Resource files of a command line: read, checked, and their mistakes told. Needs no server.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/session.h"
#include "core/core.h"

namespace gantry::cli {

/// The exit code of a command whose input has mistakes.
inline constexpr int validation_failed = 7;

/// A source and what it says.
struct Checked {
  core::Source source;
  core::Parsed parsed;
  std::filesystem::path base;  ///< where its relative paths start
};

/// How files below `base` are read: with the variables of the environment, and missing workdirs told.
core::ParseOptions options_for(const Environment& environment, std::filesystem::path base);

/// Reads files, `-` for stdin, with `${NAME}` from the environment. Mistakes are in `parsed`; an error is a
/// file that cannot be read.
Result<std::vector<Checked>> read_sources(Session& session, const std::vector<std::string>& files);

bool has_errors(const std::vector<Checked>& all);
/// Tells what is wrong: drawn on stderr for people, as JSON on stdout for programs (`valid`, `resources`,
/// `diagnostics`). Nothing if nothing is wrong.
void tell_mistakes(Session& session, const std::vector<Checked>& all);
/// The object that programs get.
json::Object verdict(const std::vector<Checked>& all);

}  // namespace gantry::cli
