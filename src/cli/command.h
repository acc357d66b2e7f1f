// The one table of commands. Parsing, help, "did you mean", completion, the man page and
// docs/reference/cli.md all read it, so that they cannot disagree.
//
// A row is plain data plus the function that runs it. Rows live in table_*.cc, one file for each
// group, in the order in which help shows them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"

namespace gantry::cli {

class Session;

/// What a flag or an argument takes; decides how it is checked and how a shell completes it.
enum class Value {
  none,  ///< a switch
  text,
  number,
  duration,
  size,
  cpu,
  pair,  ///< `K=V`, the key not empty
  file,
  directory,
  agent,    ///< the name of a deployed agent
  request,  ///< the id of a request
  webhook,  ///< the name of a webhook
  command,  ///< words of a command, for `help`
  key,      ///< a configuration key
  choice,   ///< one of `choices`
};

enum class Repeat { once, many };

/// One flag, such as `-f, --follow` or `--tail N`.
struct Flag {
  std::string_view name;  ///< with dashes: `--tail`
  char letter = 0;        ///< 0 if it has no short form
  Value value = Value::none;
  std::string_view placeholder;  ///< `N`; empty for a switch
  std::string_view about;        ///< one sentence without a full stop
  std::string_view fallback;     ///< what holds when it is absent; shown in help
  std::vector<std::string_view> choices;
  Repeat repeat = Repeat::once;
};

enum class Presence { required, optional };

/// One positional argument. Only the last one of a command may repeat.
struct Argument {
  std::string_view name;  ///< `NAME`
  Value value = Value::text;
  std::string_view about;
  Presence presence = Presence::required;
  Repeat repeat = Repeat::once;
  std::vector<std::string_view> choices;
};

/// A command line a person can paste, and what it does.
struct Example {
  std::string_view line;
  std::string_view about;
};

/// Something that goes wrong or comes next, and the command for it.
struct Advice {
  std::string_view when;
  std::string_view then;
};

enum class Visibility { shown, hidden };

using Handler = Result<int> (*)(Session&);

/// One command. `name` holds every word: `requests list`. A row without `run` is a group such as
/// `requests`, which only holds others.
struct Command {
  std::string_view name;
  std::vector<std::string_view> aliases;
  std::string_view group;        ///< heading in the general help
  std::string_view summary;      ///< at most 60 columns
  std::string_view description;  ///< paragraphs, wrapped by the printer
  std::vector<Argument> arguments;
  std::vector<Flag> flags;
  std::vector<Example> examples;
  std::vector<Advice> advice;
  std::vector<int> exits;  ///< beside 0, 1 and 2, which every command has
  Handler run = nullptr;
  Visibility visibility = Visibility::shown;
};

/// Every command, in the order of the general help.
const std::vector<Command>& command_table();
/// Flags that every command takes.
const std::vector<Flag>& global_flags();
/// The row with that name or alias; nullptr if there is none.
const Command* find_command(std::string_view name);
/// The row's flags and then the global ones.
std::vector<const Flag*> all_flags(const Command& command);
/// `gantry logs NAME [flags]`.
std::string usage_line(const Command& command);
/// What an exit code means, such as `not found`.
std::string_view exit_meaning(int code);

/// The flag `-o, --output`, for the formats that listings have.
Flag output_flag();
/// The flags that the group files share.
Flag yes_flag();
Flag watch_flag();
Flag interval_flag();
Flag timeout_flag(std::string_view about, std::string_view fallback);
/// `--since` and `--until`: a duration back from now, or a time.
Flag since_flag(std::string_view about);
Flag until_flag(std::string_view about);
/// `--status` with the states that the command knows.
Flag status_flag(std::vector<std::string_view> states, std::string_view fallback);
/// The conditions that every command for many requests has, and then `more`.
std::vector<Flag> with_request_filters(std::vector<Flag> more);

/// Rows that the group "Agents" has in a file of their own.
Command events();
Command quota();
Command quota_set();

/// The rows of one group file.
std::vector<Command> server_commands();
std::vector<Command> deploy_commands();
std::vector<Command> agent_commands();
std::vector<Command> request_commands();
std::vector<Command> dead_letter_commands();
std::vector<Command> webhook_commands();
std::vector<Command> other_commands();

}  // namespace gantry::cli
