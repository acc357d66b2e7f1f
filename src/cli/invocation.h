// A command line after parsing: which command, and what was given to it.
//
// Which command is meant is looked up in the table; CLI11 then takes the flags and arguments of that
// one command apart (it knows `--tail=5`, `-n5`, `-fi` and `--`). Values are checked here, so that a
// handler reads numbers and durations that are right already.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "cli/command.h"

namespace gantry::cli {

/// What was given. Asking for a flag or argument that the command does not have is a programmer
/// error and aborts.
class Invocation {
 public:
  explicit Invocation(const Command& command) : command_(&command) {}

  const Command& command() const { return *command_; }
  /// True if the switch or flag was given.
  bool has(std::string_view flag) const;
  /// The value that was given last.
  std::optional<std::string> text(std::string_view flag) const;
  std::string text_or(std::string_view flag, std::string_view fallback) const;
  /// Every value of a flag that may repeat.
  std::vector<std::string> list(std::string_view flag) const;
  std::optional<uint64_t> number(std::string_view flag) const;
  std::optional<Duration> duration(std::string_view flag) const;
  /// The given duration, else the fallback that the table names.
  Duration duration_or_fallback(std::string_view flag) const;
  uint64_t number_or_fallback(std::string_view flag) const;
  /// The given choice, else the fallback that the table names.
  std::string choice(std::string_view flag) const;
  /// The value of an argument; nullopt if it is optional and was not given.
  std::optional<std::string> argument(std::string_view name) const;
  /// The value of a required argument.
  const std::string& required(std::string_view name) const;
  /// The value of a required argument that is a number.
  uint64_t argument_number(std::string_view name) const;
  std::vector<std::string> arguments(std::string_view name) const;

 private:
  friend class InvocationParser;
  const Flag& flag(std::string_view name) const;
  const Argument& positional(std::string_view name) const;

  const Command* command_;
  std::map<std::string, std::vector<std::string>, std::less<>> flags_;
  std::map<std::string, std::vector<std::string>, std::less<>> arguments_;
};

/// What a command line asks for.
struct Request {
  enum class Kind {
    run,          ///< run `invocation`
    explain,      ///< print the help of `invocation.command()`
    explain_all,  ///< print the general help
  };
  Kind kind = Kind::explain_all;
  std::optional<Invocation> invocation;
};

/// Parses the words after the program's name. Mistakes, all of them, are GR0801 with a "did you mean" where one
/// is near.
Result<Request> parse_command_line(const std::vector<std::string>& words);

/// One error for all mistakes of a command line (GR0801), each on a line of its own: told in one pass.
Error all_of(std::vector<Error> mistakes, std::string_view hint);

/// A flag that names a moment, as the API takes it: a duration back from now, or a time. Empty if it was not given,
/// GR0801 for anything else.
Result<std::string> moment_text(const Invocation& given, std::string_view flag);

/// `did you mean `x`?` for the hint, or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace gantry::cli
