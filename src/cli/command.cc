#include "cli/command.h"

#include <algorithm>

namespace gantry::cli {

const std::vector<Command>& command_table() {
  static const std::vector<Command> table = [] {
    std::vector<Command> rows;
    for (auto make : {server_commands, deploy_commands, agent_commands, request_commands, dead_letter_commands,
                      webhook_commands, other_commands})
      for (auto& row : make()) rows.push_back(std::move(row));
    return rows;
  }();
  return table;
}

const std::vector<Flag>& global_flags() {
  static const std::vector<Flag> flags = {
      {"--url", 0, Value::text, "URL", "address of the server", "from the data directory"},
      {"--key", 0, Value::text, "KEY", "bearer key; prefer GANTRY_KEY, which other users cannot see",
       "from the data directory"},
      {"--data", 0, Value::directory, "DIR", "data directory of the server", "~/.gantry"},
      {"--no-color", 0, Value::none, "", "no colours (also NO_COLOR, and when piped)", ""},
      {"--help", 'h', Value::none, "", "explain the command", ""},
  };
  return flags;
}

const Command* find_command(std::string_view name) {
  for (const auto& row : command_table()) {
    if (row.name == name || std::ranges::find(row.aliases, name) != row.aliases.end()) return &row;
  }
  return nullptr;
}

std::vector<const Flag*> all_flags(const Command& command) {
  std::vector<const Flag*> flags;
  for (const auto& flag : command.flags) flags.push_back(&flag);
  for (const auto& flag : global_flags()) flags.push_back(&flag);
  return flags;
}

std::string usage_line(const Command& command) {
  std::string line = "gantry " + std::string(command.name);
  if (command.run == nullptr) return line + " COMMAND";
  for (const auto& argument : command.arguments) {
    std::string word(argument.name);
    if (argument.repeat == Repeat::many) word += "…";
    line += argument.presence == Presence::optional ? " [" + word + "]" : " " + word;
  }
  return line + " [flags]";
}

std::string_view exit_meaning(int code) {
  switch (code) {
    case 0:
      return "ok";
    case 1:
      return "failed";
    case 2:
      return "wrong usage";
    case 3:
      return "not found";
    case 4:
      return "not authorised";
    case 5:
      return "the state does not allow it";
    case 6:
      return "timed out";
    case 7:
      return "validation failed";
    case 8:
      return "the run failed";
    case 9:
      return "waiting for a person";
    case 10:
      return "budget reached";
    case 11:
      return "server not reachable";
    case 12:
      return "rate limited";
    case 13:
      return "the answer broke off";
    case 130:
      return "interrupted";
    default:
      return "";
  }
}

}  // namespace gantry::cli
