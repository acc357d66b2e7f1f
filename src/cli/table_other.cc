// Rows of the group "This command line", the hidden one, and what all rows share.
#include "cli/command.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

constexpr std::string_view group = "This command line";

Command config() {
  return {
      .name = "config",
      .group = group,
      .summary = "View and change configuration",
      .description =
          "A value comes from the first of: flag, GANTRY_* variable, project file, user file, default. view --origin "
          "tells which one it was.",
      .advice = {{"You want to know what holds", "gantry config view --origin"}},
  };
}

Command config_view() {
  return {
      .name = "config view",
      .group = group,
      .summary = "Print all values that hold here",
      .description = "Prints every key with its value. Secrets are shown as [redacted].",
      .flags = {{"--origin", 0, Value::none, "", "also print where each value comes from", ""}, output_flag()},
      .examples = {{"gantry config view --origin", "values and where they come from"}},
      .exits = {7},
      .run = run_config_view,
  };
}

Command config_get() {
  return {
      .name = "config get",
      .group = group,
      .summary = "Print one value",
      .description = "Prints the value of one key and nothing else.",
      .arguments = {{.name = "KEY", .value = Value::key, .about = "name of the setting"}},
      .flags = {output_flag()},
      .examples = {{"gantry config get listen", "one value"}},
      .advice = {{"The key is not known", "gantry config view"}},
      .exits = {3, 7},
      .run = run_config_get,
  };
}

Command config_set() {
  return {
      .name = "config set",
      .group = group,
      .summary = "Write one value to a configuration file",
      .description = "Checks the value and writes it to the user file, or with --project to the project file.",
      .arguments = {{.name = "KEY", .value = Value::key, .about = "name of the setting"},
                    {.name = "VALUE", .about = "its new value"}},
      .flags = {{"--project", 0, Value::none, "", "write the project file instead of the user file", ""},
                output_flag()},
      .examples = {{"gantry config set listen 127.0.0.1:9000", "for all your projects"}},
      .advice = {{"The value has no effect", "gantry config view --origin"}},
      .exits = {3, 7},
      .run = run_config_set,
  };
}

Command config_reset() {
  return {
      .name = "config reset",
      .group = group,
      .summary = "Take values out of a configuration file",
      .description =
          "Removes one key, or with --all every key, from the user file, or with --project from the project file, so "
          "that the next origin holds again.",
      .arguments =
          {{.name = "KEY", .value = Value::key, .about = "name of the setting", .presence = Presence::optional}},
      .flags = {{"--all", 'a', Value::none, "", "all keys; asks first", ""},
                yes_flag(),
                {"--project", 0, Value::none, "", "change the project file instead of the user file", ""},
                output_flag()},
      .examples = {{"gantry config reset listen", "one key"}, {"gantry config reset --all --yes", "all, in a script"}},
      .exits = {3, 7},
      .run = run_config_reset,
  };
}

Command completion() {
  return {
      .name = "completion",
      .group = group,
      .summary = "Print a completion script for a shell",
      .description =
          "Prints a script that completes commands, flags and their values, names of agents and webhooks, and ids of "
          "requests.",
      .arguments =
          {{.name = "SHELL", .value = Value::choice, .about = "the shell", .choices = {"bash", "zsh", "fish"}}},
      .flags = {{"--output",
                 'o',
                 Value::choice,
                 "FORMAT",
                 "the script, or a JSON object that holds it",
                 "text",
                 {"text", "json"}}},
      .examples = {{"source <(gantry completion bash)", "for this shell"},
                   {"gantry completion zsh > ~/.zfunc/_gantry", "zsh, for good"},
                   {"gantry completion fish > ~/.config/fish/completions/gantry.fish", "fish, for good"}},
      .run = run_completion,
  };
}

Command help() {
  return {
      .name = "help",
      .group = group,
      .summary = "Explain a command",
      .description = "Without words it lists all commands; with the words of a command it explains that one.",
      .arguments = {{.name = "COMMAND",
                     .value = Value::command,
                     .about = "words of a command, such as requests show",
                     .presence = Presence::optional,
                     .repeat = Repeat::many}},
      .flags = {{"--output",
                 'o',
                 Value::choice,
                 "FORMAT",
                 "text, or the row of the command table as JSON",
                 "text",
                 {"text", "json"}}},
      .examples = {{"gantry help deploy", "one command"}, {"gantry help requests show", "a command of two words"}},
      .run = run_help,
  };
}

Command reference() {
  return {
      .name = "__reference",
      .group = group,
      .summary = "Print the reference of all commands",
      .description = "Makes docs/reference/cli.md and the man page.",
      .arguments = {{.name = "FORM", .value = Value::choice, .about = "what to print", .choices = {"markdown", "man"}}},
      .run = run_reference,
      .visibility = Visibility::hidden,
  };
}

}  // namespace

std::vector<Command> other_commands() {
  return {config(), config_view(), config_get(), config_set(), config_reset(), completion(), help(), reference()};
}

Flag output_flag() {
  return {"--output",
          'o',
          Value::choice,
          "FORMAT",
          "form of the output",
          "table",
          {"table", "wide", "json", "jsonl", "yaml", "name"}};
}

Flag yes_flag() { return {"--yes", 'y', Value::none, "", "do not ask", ""}; }

Flag watch_flag() { return {"--watch", 'w', Value::none, "", "stay, and print again when something changed", ""}; }

Flag interval_flag() { return {"--interval", 0, Value::duration, "TIME", "how often --watch looks", "1s"}; }

Flag since_flag(std::string_view about) { return {"--since", 0, Value::text, "TIME", about, ""}; }
Flag until_flag(std::string_view about) { return {"--until", 0, Value::text, "TIME", about, ""}; }

Flag timeout_flag(std::string_view about, std::string_view fallback) {
  return {"--timeout", 0, Value::duration, "TIME", about, fallback};
}

}  // namespace gantry::cli
