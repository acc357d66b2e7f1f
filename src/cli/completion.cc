#include "cli/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/command.h"
#include "config/config.h"

namespace gantry::cli {
namespace {

bool is_shown(const Command& row) { return row.visibility == Visibility::shown; }

std::vector<std::string_view> names_of(const Command& row) {
  std::vector<std::string_view> names = {row.name};
  names.insert(names.end(), row.aliases.begin(), row.aliases.end());
  return names;
}

/// First words, or the second words of a group.
std::vector<std::string_view> words_after(std::string_view group) {
  std::vector<std::string_view> words;
  for (const auto& row : command_table()) {
    if (!is_shown(row)) continue;
    for (auto name : names_of(row)) {
      if (group.empty() && !name.contains(' ')) words.push_back(name);
      if (!group.empty() && name.starts_with(std::string(group) + " ")) words.push_back(name.substr(group.size() + 1));
    }
  }
  return words;
}

std::vector<std::string_view> setting_names() {
  std::vector<std::string_view> names;
  for (const auto& option : config::schema()) names.push_back(option.name);
  return names;
}

// ---- bash ------------------------------------------------------------------------------------

/// What completes a value, as a bash command that fills COMPREPLY.
std::string bash_values(Value value, const std::vector<std::string_view>& choices) {
  switch (value) {
    case Value::choice:
      return fmt::format("_gantry_words '{}'", fmt::join(choices, " "));
    case Value::agent:
      return "_gantry_words \"$(gantry list -o name 2>/dev/null)\"";
    case Value::request:
      return "_gantry_words \"$(gantry requests list -o name 2>/dev/null)\"";
    case Value::webhook:
      return "_gantry_words \"$(gantry webhooks list -o name 2>/dev/null)\"";
    case Value::key:
      return fmt::format("_gantry_words '{}'", fmt::join(setting_names(), " "));
    case Value::command:
      return fmt::format("_gantry_words '{}'", fmt::join(words_after(""), " "));
    case Value::file:
      return "compopt -o default; COMPREPLY=()";
    case Value::directory:
      return "compopt -o dirnames; COMPREPLY=()";
    default:
      return "COMPREPLY=()";
  }
}

std::string bash_pattern(const Flag& flag) {
  return flag.letter != 0 ? fmt::format("{}|-{}", flag.name, flag.letter) : std::string(flag.name);
}

std::string bash_command(const Command& row) {
  std::string flags, values;
  for (const Flag* flag : all_flags(row)) {
    flags += fmt::format("{} ", flag->name);
    if (flag->value == Value::none) continue;
    values += fmt::format("        {}) {}; return ;;\n", bash_pattern(*flag), bash_values(flag->value, flag->choices));
  }
  std::string rest =
      row.arguments.empty() ? "COMPREPLY=()" : bash_values(row.arguments.front().value, row.arguments.front().choices);
  return fmt::format(
      "    '{}')\n      case \"$previous\" in\n{}      esac\n      if [[ $current == -* ]]; then _gantry_words '{}'; "
      "else "
      "{}; fi ;;\n",
      fmt::join(names_of(row), "'|'"), values, trim(flags), rest);
}

std::string bash() {
  std::string groups, cases;
  for (const auto& row : command_table()) {
    if (!is_shown(row)) continue;
    if (row.run != nullptr) {
      cases += bash_command(row);
      continue;
    }
    groups += fmt::format("{}|", row.name);
    cases += fmt::format("    '{}') _gantry_words '{}' ;;\n", row.name, fmt::join(words_after(row.name), " "));
  }
  if (!groups.empty()) groups.pop_back();
  return fmt::format(
      R"sh(# bash completion for gantry; made by: gantry completion bash
_gantry_words() {{ COMPREPLY=($(compgen -W "$1" -- "$current")); }}

_gantry() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" command="" word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${{COMP_WORDS[i]}}"
    case "$word" in
      --url|--key|--data) ((i++)); continue ;;
      -*) continue ;;
    esac
    case "$command" in
      "") command="$word" ;;
      {}) command="$command $word"; break ;;
      *) break ;;
    esac
  done
  case "$command" in
    '') _gantry_words '{}' ;;
{}  esac
}}
complete -F _gantry gantry
)sh",
      groups, fmt::join(words_after(""), " "), cases);
}

// ---- zsh -------------------------------------------------------------------------------------

/// Text inside '…' of a zsh _arguments specification.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\'')
      out += "'\\''";
    else if (c == '[' || c == ']' || c == ':' || c == '\\')
      out += fmt::format("\\{}", c);
    else
      out += c;
  }
  return out;
}

std::string zsh_action(Value value, const std::vector<std::string_view>& choices) {
  switch (value) {
    case Value::choice:
      return fmt::format("({})", fmt::join(choices, " "));
    case Value::agent:
      return "_gantry_agents";
    case Value::request:
      return "_gantry_requests";
    case Value::webhook:
      return "_gantry_webhooks";
    case Value::key:
      return fmt::format("({})", fmt::join(setting_names(), " "));
    case Value::command:
      return fmt::format("({})", fmt::join(words_after(""), " "));
    case Value::file:
      return "_files";
    case Value::directory:
      return "_files -/";
    default:
      return " ";
  }
}

std::string zsh_command(const Command& row) {
  std::string out = fmt::format("    '{}')\n      _arguments -s", fmt::join(names_of(row), "'|'"));
  for (const Flag* flag : all_flags(row)) {
    std::string about = zsh_text(flag->about);
    std::string action = flag->value == Value::none ? ""
                                                    : fmt::format(":{}:{}", zsh_text(flag->placeholder),
                                                                  zsh_action(flag->value, flag->choices));
    std::string many = flag->repeat == Repeat::many ? "*" : "";
    out += fmt::format(" \\\n        '{}{}[{}]{}'", many, flag->name, about, action);
    if (flag->letter != 0) out += fmt::format(" \\\n        '{}-{}[{}]{}'", many, flag->letter, about, action);
  }
  for (const auto& argument : row.arguments) {
    out += fmt::format(" \\\n        '{}:{}:{}'", argument.repeat == Repeat::many ? "*" : "", zsh_text(argument.name),
                       zsh_action(argument.value, argument.choices));
  }
  return out + " ;;\n";
}

std::string zsh_described(std::string_view group) {
  std::string out;
  for (const auto& row : command_table()) {
    if (!is_shown(row)) continue;
    for (auto name : names_of(row)) {
      bool inside = group.empty() ? !name.contains(' ') : name.starts_with(std::string(group) + " ");
      if (!inside) continue;
      std::string_view word = group.empty() ? name : name.substr(group.size() + 1);
      out += fmt::format(" '{}:{}'", word, zsh_text(row.summary));
    }
  }
  return out;
}

std::string zsh() {
  std::string groups, cases;
  for (const auto& row : command_table()) {
    if (!is_shown(row)) continue;
    if (row.run != nullptr) {
      cases += zsh_command(row);
      continue;
    }
    groups += fmt::format(
        "    {0})\n      if (( CURRENT == 2 )); then\n        commands=({1}); _describe command commands; return\n"
        "      fi\n      command=\"{0} $words[2]\"; shift words; (( CURRENT-- )) ;;\n",
        row.name, zsh_described(row.name));
  }
  return fmt::format(
      R"sh(#compdef gantry
# zsh completion for gantry; made by: gantry completion zsh
_gantry_agents() {{ local -a names; names=(${{(f)"$(gantry list -o name 2>/dev/null)"}}); compadd -a names }}
_gantry_requests() {{ local -a ids; ids=(${{(f)"$(gantry requests list -o name 2>/dev/null)"}}); compadd -a ids }}
_gantry_webhooks() {{ local -a names; names=(${{(f)"$(gantry webhooks list -o name 2>/dev/null)"}}); compadd -a names }}

_gantry() {{
  local -a commands
  if (( CURRENT == 2 )); then
    commands=({})
    _describe command commands
    return
  fi
  shift words; (( CURRENT-- ))
  local command="$words[1]"
  case "$command" in
{}  esac
  case "$command" in
{}  esac
}}
if [ "$funcstack[1]" = "_gantry" ]; then _gantry "$@"; else compdef _gantry gantry; fi
)sh",
      zsh_described(""), groups, cases);
}

// ---- fish ------------------------------------------------------------------------------------

std::string fish_text(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string fish_values(Value value, const std::vector<std::string_view>& choices) {
  switch (value) {
    case Value::choice:
      return fmt::format(" -xa '{}'", fmt::join(choices, " "));
    case Value::agent:
      return " -xa '(gantry list -o name 2>/dev/null)'";
    case Value::request:
      return " -xa '(gantry requests list -o name 2>/dev/null)'";
    case Value::webhook:
      return " -xa '(gantry webhooks list -o name 2>/dev/null)'";
    case Value::key:
      return fmt::format(" -xa '{}'", fmt::join(setting_names(), " "));
    case Value::command:
      return fmt::format(" -xa '{}'", fmt::join(words_after(""), " "));
    case Value::directory:
      return " -xa '(__fish_complete_directories)'";
    case Value::file:
      return " -rF";
    default:
      return " -x";
  }
}

/// The condition under which a command's flags are offered.
std::string fish_condition(const Command& row) {
  std::vector<std::string> options;
  for (auto name : names_of(row)) {
    size_t space = name.find(' ');
    options.push_back(space == std::string_view::npos
                          ? fmt::format("__fish_seen_subcommand_from {}", name)
                          : fmt::format("__fish_seen_subcommand_from {}; and __fish_seen_subcommand_from {}",
                                        name.substr(0, space), name.substr(space + 1)));
  }
  return fmt::format("{}", fmt::join(options, "; or "));
}

std::string fish_command(const Command& row) {
  std::string condition = fish_condition(row);
  std::string out;
  for (const Flag* flag : all_flags(row)) {
    std::string letter = flag->letter != 0 ? fmt::format(" -s {}", flag->letter) : "";
    std::string values = flag->value == Value::none ? "" : fish_values(flag->value, flag->choices);
    out += fmt::format("complete -c gantry -n '{}' -l {}{} -d '{}'{}\n", condition, flag->name.substr(2), letter,
                       fish_text(flag->about), values);
  }
  for (const auto& argument : row.arguments)
    out += fmt::format("complete -c gantry -n '{}'{}\n", condition, fish_values(argument.value, argument.choices));
  return out;
}

std::string fish() {
  std::string out = "# fish completion for gantry; made by: gantry completion fish\ncomplete -c gantry -f\n";
  for (const auto& row : command_table()) {
    if (!is_shown(row)) continue;
    for (auto name : names_of(row)) {
      size_t space = name.find(' ');
      std::string condition = "__fish_use_subcommand";
      std::string_view word = name;
      if (space != std::string_view::npos) {
        std::string_view group = name.substr(0, space);
        word = name.substr(space + 1);
        condition = fmt::format("__fish_seen_subcommand_from {}; and not __fish_seen_subcommand_from {}", group,
                                fmt::join(words_after(group), " "));
      }
      out += fmt::format("complete -c gantry -n '{}' -a {} -d '{}'\n", condition, word, fish_text(row.summary));
    }
  }
  for (const auto& row : command_table())
    if (is_shown(row) && row.run != nullptr) out += fish_command(row);
  return out;
}

}  // namespace

std::string completion_script(std::string_view shell) {
  if (shell == "bash") return bash();
  if (shell == "zsh") return zsh();
  return fish();
}

}  // namespace gantry::cli
