// Completion scripts for bash, zsh and fish, made from the command table.
//
// Words, flags and choices are written into the script, so completing them starts no process; names of
// agents and ids of requests come from `gantry list -o name` and `gantry requests list -o name`.
#pragma once

#include <string>
#include <string_view>

namespace gantry::cli {

/// The script for `bash`, `zsh` or `fish`.
std::string completion_script(std::string_view shell);

}  // namespace gantry::cli
