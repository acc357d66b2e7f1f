#include "cli/reference.h"

#include <fmt/format.h>

#include <algorithm>

namespace gantry::cli {
namespace {

constexpr size_t help_width = 100;

constexpr std::string_view about =
    "Gantry runs any program as an isolated agent behind a durable proxy: every accepted request is journaled before "
    "the program sees it, and delivered again after a crash.";

constexpr std::string_view workflow[][2] = {
    {"gantry demo", "watch it survive SIGKILL"},
    {"gantry up --detach", "start the server"},
    {"gantry deploy --name bot --command \"python3 app.py\" --workdir ./bot", "run your program"},
    {"gantry invoke bot /", "call it"},
    {"gantry down", "stop the server"},
};

struct VariableRow {
  std::string_view name;
  std::string_view about;
};
constexpr VariableRow variables[] = {
    {"GANTRY_URL", "address of the server, as --url"},
    {"GANTRY_KEY", "bearer key, as --key"},
    {"GANTRY_DATA", "data directory, as --data"},
    {"NO_COLOR", "set to anything: no colours"},
};

std::vector<std::string_view> groups() {
  std::vector<std::string_view> names;
  for (const auto& row : command_table())
    if (std::ranges::find(names, row.group) == names.end()) names.push_back(row.group);
  return names;
}

bool is_shown(const Command& row) { return row.visibility == Visibility::shown; }

std::vector<const Command*> children(const Command& group) {
  std::vector<const Command*> rows;
  for (const auto& row : command_table())
    if (is_shown(row) && row.name.starts_with(std::string(group.name) + " ")) rows.push_back(&row);
  return rows;
}

std::string flag_spelling(const Flag& flag) {
  std::string text = flag.letter != 0 ? fmt::format("-{}, ", flag.letter) : "    ";
  text += flag.name;
  if (!flag.placeholder.empty()) text += fmt::format(" {}", flag.placeholder);
  return text;
}

std::string flag_about(const Flag& flag) {
  std::string text(flag.about);
  if (!flag.choices.empty()) text += fmt::format(": {}", fmt::join(flag.choices, ", "));
  if (flag.repeat == Repeat::many) text += "; may repeat";
  if (!flag.fallback.empty()) text += fmt::format(" (default {})", flag.fallback);
  return text;
}

std::string argument_about(const Argument& argument) {
  std::string text(argument.about);
  if (!argument.choices.empty()) text += fmt::format(": {}", fmt::join(argument.choices, ", "));
  return text;
}

/// Two columns; the second one wraps.
struct Line {
  std::string left;
  std::string right;
};
std::string columns(const std::vector<Line>& lines, const Style& style) {
  constexpr size_t widest_left = 28;
  size_t width = 0;
  for (const auto& line : lines)
    if (display_width(line.left) <= widest_left) width = std::max(width, display_width(line.left));
  std::string out;
  for (const auto& line : lines) {
    std::string right = wrap(line.right, help_width, 2 + width + 2);
    size_t left = display_width(line.left);
    out += "  " + style.paint(Tint::accent, line.left);
    if (right.empty()) {
      out += '\n';
    } else if (left > width) {
      out += '\n' + right;
    } else {
      out += std::string(width - left, ' ') + right.substr(2 + width);
    }
  }
  return out;
}

std::string heading(std::string_view text, const Style& style) { return "\n" + style.paint(Tint::bold, text) + "\n"; }

std::vector<int> all_exits(const Command& command) {
  std::vector<int> codes = {0, 1, 2};
  codes.insert(codes.end(), command.exits.begin(), command.exits.end());
  return codes;
}

std::string with_aliases(const Command& row) {
  std::string name(row.name);
  for (auto alias : row.aliases) name += fmt::format(", {}", alias);
  return name;
}

std::string flags_help(const std::vector<const Flag*>& flags, const Style& style) {
  std::vector<Line> lines;
  for (const Flag* flag : flags) lines.push_back({flag_spelling(*flag), flag_about(*flag)});
  return columns(lines, style);
}

// ---- Markdown --------------------------------------------------------------------------------

std::string markdown_cell(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string markdown_flags(const std::vector<const Flag*>& flags) {
  std::string out = "| flag | meaning |\n|---|---|\n";
  for (const Flag* flag : flags)
    out += fmt::format("| `{}` | {} |\n", markdown_cell(trim(flag_spelling(*flag))), markdown_cell(flag_about(*flag)));
  return out;
}

std::string markdown_command(const Command& row) {
  std::string out = fmt::format("\n### gantry {}\n\n{}.", row.name, row.summary);
  if (!row.aliases.empty()) out += fmt::format(" Also `{}`.", fmt::join(row.aliases, "`, `"));
  out += fmt::format("\n\n```\n{}\n```\n\n{}", usage_line(row), wrap(row.description, 120, 0));
  if (!row.arguments.empty()) {
    out += "\n| argument | meaning |\n|---|---|\n";
    for (const auto& argument : row.arguments)
      out += fmt::format("| `{}` | {} |\n", argument.name, markdown_cell(argument_about(argument)));
  }
  std::vector<const Flag*> flags;
  for (const auto& flag : row.flags) flags.push_back(&flag);
  if (!flags.empty()) out += "\n" + markdown_flags(flags);
  if (!row.examples.empty()) {
    out += "\n```sh\n";
    for (const auto& example : row.examples) out += fmt::format("{}  # {}\n", example.line, example.about);
    out += "```\n";
  }
  for (const auto& advice : row.advice) out += fmt::format("\n- {}: `{}`", advice.when, advice.then);
  if (!row.advice.empty()) out += "\n";
  if (row.run != nullptr) {
    out += "\nExit codes: ";
    std::vector<std::string> codes;
    for (int code : all_exits(row)) codes.push_back(fmt::format("{} {}", code, exit_meaning(code)));
    out += fmt::format("{}.\n", fmt::join(codes, ", "));
  }
  return out;
}

// ---- man -------------------------------------------------------------------------------------

/// Text as roff takes it: backslashes and dashes escaped, no line that begins with a control character.
std::string roff(std::string_view text) {
  std::string out;
  bool at_line_start = true;
  for (char c : text) {
    if (at_line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
    at_line_start = c == '\n';
  }
  return out;
}

std::string roff_paragraphs(std::string_view text) {
  std::string out;
  for (size_t at = 0; at <= text.size();) {
    size_t end = std::min(text.find("\n\n", at), text.size());
    out += (at == 0 ? "" : ".PP\n") + roff(text.substr(at, end - at)) + "\n";
    at = end + 2;
  }
  return out;
}

std::string man_flags(const std::vector<const Flag*>& flags) {
  std::string out;
  for (const Flag* flag : flags)
    out += fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(trim(flag_spelling(*flag))), roff(flag_about(*flag)));
  return out;
}

std::string man_command(const Command& row) {
  std::string out = fmt::format(".SS {}\n{}.\n.PP\n.nf\n\\fB{}\\fR\n.fi\n.PP\n{}", roff(with_aliases(row)),
                                roff(row.summary), roff(usage_line(row)), roff_paragraphs(row.description));
  for (const auto& argument : row.arguments)
    out += fmt::format(".TP\n\\fI{}\\fR\n{}\n", roff(argument.name), roff(argument_about(argument)));
  std::vector<const Flag*> flags;
  for (const auto& flag : row.flags) flags.push_back(&flag);
  out += man_flags(flags);
  for (const auto& example : row.examples)
    out += fmt::format(".PP\n{}:\n.RS\n.nf\n{}\n.fi\n.RE\n", roff(example.about), roff(example.line));
  return out;
}

}  // namespace

std::string general_help(const Style& style) {
  std::string out = wrap(about, help_width, 0);
  out += heading("Usage", style) + "  gantry COMMAND [arguments] [flags]\n";
  for (auto group : groups()) {
    std::vector<Line> lines;
    for (const auto& row : command_table()) {
      if (row.group != group || !is_shown(row) || row.name.contains(' ')) continue;
      lines.push_back({with_aliases(row), std::string(row.summary)});
    }
    out += heading(group, style) + columns(lines, style);
  }
  std::vector<const Flag*> flags;
  for (const auto& flag : global_flags()) flags.push_back(&flag);
  out += heading("Flags of every command", style) + flags_help(flags, style);
  std::vector<Line> steps;
  for (const auto& step : workflow) steps.push_back({std::string(step[0]), std::string(step[1])});
  out += heading("First steps", style) + columns(steps, style);
  out += "\nMore: gantry help COMMAND\n";
  return out;
}

std::string command_help(const Command& command, const Style& style) {
  std::string out = fmt::format("{}\n", command.summary);
  out += heading("Usage", style) + fmt::format("  {}\n", usage_line(command));
  if (!command.aliases.empty()) out += fmt::format("  also: gantry {}\n", fmt::join(command.aliases, ", gantry "));
  out += "\n" + wrap(command.description, help_width, 0);
  std::vector<Line> lines;
  for (const Command* row : children(command)) lines.push_back({std::string(row->name), std::string(row->summary)});
  if (!lines.empty()) out += heading("Commands", style) + columns(lines, style);
  lines.clear();
  for (const auto& argument : command.arguments)
    lines.push_back({std::string(argument.name), argument_about(argument)});
  if (!lines.empty()) out += heading("Arguments", style) + columns(lines, style);
  std::vector<const Flag*> flags;
  for (const auto& flag : command.flags) flags.push_back(&flag);
  if (!flags.empty()) out += heading("Flags", style) + flags_help(flags, style);
  flags.clear();
  for (const auto& flag : global_flags()) flags.push_back(&flag);
  out += heading("Flags of every command", style) + flags_help(flags, style);
  if (!command.examples.empty()) {
    out += heading("Examples", style);
    for (const auto& example : command.examples)
      out += fmt::format("  {}\n  {}\n", style.paint(Tint::dim, fmt::format("# {}", example.about)), example.line);
  }
  if (!command.advice.empty()) {
    out += heading("If", style);
    lines.clear();
    for (const auto& advice : command.advice)
      lines.push_back({std::string(advice.when) + ":", std::string(advice.then)});
    for (const auto& line : lines) out += fmt::format("  {} {}\n", line.left, style.paint(Tint::accent, line.right));
  }
  if (command.run != nullptr) {
    out += heading("Exit codes", style);
    std::vector<std::string> codes;
    for (int code : all_exits(command)) codes.push_back(fmt::format("{} {}", code, exit_meaning(code)));
    out += wrap(fmt::format("{}", fmt::join(codes, ", ")), help_width, 2);
  }
  return out;
}

std::string reference_markdown() {
  std::string out = fmt::format(
      "# Commands\n\nMade from the command table of the program by `gantry __reference markdown`; a test keeps it "
      "current.\n\n{}\nstdout is data, everything else goes to stderr. Colours are off when the output is piped, with "
      "`NO_COLOR` or `--no-color`.\n\n## Flags of every command\n\n",
      wrap(about, 120, 0));
  std::vector<const Flag*> flags;
  for (const auto& flag : global_flags()) flags.push_back(&flag);
  out += markdown_flags(flags);
  out += "\n## Exit codes\n\n| code | meaning |\n|---|---|\n";
  for (int code : {0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 130})
    out += fmt::format("| {} | {} |\n", code, exit_meaning(code));
  out += "\n## Environment\n\n| variable | meaning |\n|---|---|\n";
  for (const auto& variable : variables) out += fmt::format("| `{}` | {} |\n", variable.name, variable.about);
  for (auto group : groups()) {
    out += fmt::format("\n## {}\n", group);
    for (const auto& row : command_table())
      if (row.group == group && is_shown(row)) out += markdown_command(row);
  }
  return out;
}

std::string reference_man(std::string_view version) {
  std::string out = fmt::format(
      ".\\\" Made by gantry __reference man.\n.TH GANTRY 1 \"\" \"gantry {}\" \"User commands\"\n.SH NAME\n"
      "gantry \\- run any program as an isolated agent behind a durable proxy\n.SH SYNOPSIS\n"
      "\\fBgantry\\fR \\fICOMMAND\\fR [\\fIarguments\\fR] [\\fIflags\\fR]\n.SH DESCRIPTION\n{}",
      roff(version), roff_paragraphs(about));
  out += ".SH COMMANDS\n";
  for (const auto& row : command_table())
    if (is_shown(row)) out += man_command(row);
  std::vector<const Flag*> flags;
  for (const auto& flag : global_flags()) flags.push_back(&flag);
  out += ".SH OPTIONS OF EVERY COMMAND\n" + man_flags(flags);
  out += ".SH EXIT STATUS\n";
  for (int code : {0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 130})
    out += fmt::format(".TP\n\\fB{}\\fR\n{}\n", code, roff(exit_meaning(code)));
  out += ".SH ENVIRONMENT\n";
  for (const auto& variable : variables)
    out += fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(variable.name), roff(variable.about));
  return out;
}

json::Value command_json(const Command& command) {
  auto strings = [](const auto& texts) {
    json::Array list;
    for (auto text : texts) list.emplace_back(text);
    return list;
  };
  json::Array arguments, flags, examples, exits;
  for (const auto& argument : command.arguments) {
    arguments.push_back(json::Object{{"name", argument.name},
                                     {"about", argument.about},
                                     {"required", argument.presence == Presence::required},
                                     {"repeats", argument.repeat == Repeat::many},
                                     {"choices", strings(argument.choices)}});
  }
  for (const Flag* flag : all_flags(command)) {
    flags.push_back(
        json::Object{{"name", flag->name},
                     {"short", flag->letter != 0 ? json::Value(std::string{'-', flag->letter}) : json::Value()},
                     {"value", flag->placeholder},
                     {"about", flag->about},
                     {"default", flag->fallback},
                     {"repeats", flag->repeat == Repeat::many},
                     {"choices", strings(flag->choices)}});
  }
  for (const auto& example : command.examples)
    examples.push_back(json::Object{{"command", example.line}, {"about", example.about}});
  for (int code : all_exits(command)) exits.push_back(json::Object{{"code", code}, {"meaning", exit_meaning(code)}});
  return json::Object{{"name", command.name},
                      {"aliases", strings(command.aliases)},
                      {"group", command.group},
                      {"summary", command.summary},
                      {"usage", usage_line(command)},
                      {"description", command.description},
                      {"arguments", std::move(arguments)},
                      {"flags", std::move(flags)},
                      {"examples", std::move(examples)},
                      {"exit_codes", std::move(exits)}};
}

json::Value commands_json() {
  json::Array rows;
  for (const auto& row : command_table())
    if (is_shown(row)) rows.push_back(command_json(row));
  return rows;
}

}  // namespace gantry::cli
