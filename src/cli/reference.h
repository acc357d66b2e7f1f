// Texts made from the command table: help, docs/reference/cli.md, the man page, and JSON for `help -o json`.
#pragma once

#include <string>

#include "cli/command.h"
#include "cli/style.h"
#include "json/json.h"

namespace gantry::cli {

/// What `gantry` and `gantry help` print: every command, by group.
std::string general_help(const Style& style);
/// What `gantry help COMMAND` prints: usage, flags, examples, advice, exit codes.
std::string command_help(const Command& command, const Style& style);
/// docs/reference/cli.md.
std::string reference_markdown();
/// gantry.1 (man(7) source); `version` goes into its footer.
std::string reference_man(std::string_view version);
/// A row of the table.
json::Value command_json(const Command& command);
/// All visible rows.
json::Value commands_json();

}  // namespace gantry::cli
