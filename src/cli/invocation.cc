#include "cli/invocation.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>

namespace gantry::cli {
namespace {

std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string help_hint(const Command& command) { return fmt::format("gantry help {}", command.name); }

Error usage(std::string reason, std::string hint) { return Error(ErrorId::GR0801, std::move(reason)).with_hint(hint); }

template <class T>
Result<> checked(std::string_view what, const Result<T>& parsed, const std::string& hint) {
  if (parsed.has_value()) return {};
  return std::unexpected(usage(fmt::format("{}: {}", what, parsed.error().reason()), hint));
}

/// Checks one value against what its flag or argument takes; `what` names it in the message.
Result<> check_value(std::string_view what, Value kind, const std::vector<std::string_view>& choices,
                     const std::string& text, const std::string& hint) {
  switch (kind) {
    case Value::number:
      if (!parse_number(text))
        return std::unexpected(usage(fmt::format("{}: '{}' is not a whole number", what, text), hint));
      return {};
    case Value::duration:
      return checked(what, parse_duration(text), hint);
    case Value::size:
      return checked(what, parse_bytes(text), hint);
    case Value::cpu:
      return checked(what, parse_cpu(text), hint);
    case Value::pair: {
      const size_t equals = text.find('=');
      if (equals != std::string::npos && equals > 0) return {};
      return std::unexpected(usage(fmt::format("{}: '{}' is not of the form K=V", what, text), hint));
    }
    case Value::choice: {
      if (std::ranges::find(choices, text) != choices.end()) return {};
      std::string near = did_you_mean(text, choices);
      return std::unexpected(usage(fmt::format("{}: '{}' is none of {}", what, text, fmt::join(choices, ", ")),
                                   near.empty() ? hint : near));
    }
    default:
      return {};
  }
}

std::vector<std::string_view> flag_names(const Command& command) {
  std::vector<std::string_view> names;
  for (const Flag* flag : all_flags(command)) names.push_back(flag->name);
  return names;
}

/// First words of all commands, or the words that may follow `group`.
std::vector<std::string_view> next_words(std::string_view group) {
  std::vector<std::string_view> words;
  auto add = [&](std::string_view name) {
    if (group.empty()) {
      if (name.find(' ') == std::string_view::npos) words.push_back(name);
    } else if (name.size() > group.size() && name.starts_with(group) && name[group.size()] == ' ') {
      words.push_back(name.substr(group.size() + 1));
    }
  };
  for (const auto& row : command_table()) {
    if (row.visibility == Visibility::hidden) continue;
    add(row.name);
    for (auto alias : row.aliases) add(alias);
  }
  return words;
}

/// The words of a command line while the command is being looked up.
class Lookup {
 public:
  explicit Lookup(std::vector<std::string> words) : rest_(std::move(words)) {}

  /// Takes the next word that is no flag out of the line; flags of every command stay in it.
  Result<std::optional<std::string>> take_word() {
    for (; at_ < rest_.size(); ++at_) {
      const std::string& word = rest_[at_];
      if (word == "--" || !word.starts_with('-') || word == "-") break;
      GANTRY_TRY(const Flag* flag, global(word));
      bool value_follows = flag->value != Value::none && word.find('=') == std::string::npos;
      if (value_follows) ++at_;
    }
    if (at_ >= rest_.size() || rest_[at_] == "--") return std::nullopt;
    std::string word = rest_[at_];
    rest_.erase(rest_.begin() + static_cast<std::ptrdiff_t>(at_));
    return word;
  }

  const std::vector<std::string>& rest() const { return rest_; }
  bool wants_help() const {
    auto end = std::ranges::find(rest_, "--");
    return std::any_of(rest_.begin(), end, [](const auto& word) { return word == "--help" || word == "-h"; });
  }

 private:
  static Result<const Flag*> global(std::string_view word) {
    std::string_view name = word.substr(0, word.find('='));
    std::vector<std::string_view> names;
    for (const auto& flag : global_flags()) {
      if (flag.name == name || (name.size() == 2 && flag.letter == name[1])) return &flag;
      names.push_back(flag.name);
    }
    std::string near = did_you_mean(name, names);
    return std::unexpected(usage(fmt::format("no flag '{}' is known before the command", name),
                                 near.empty() ? "flags of a command follow it: gantry COMMAND [flags]" : near));
  }

  std::vector<std::string> rest_;
  size_t at_ = 0;
};

Error unknown_command(std::string_view group, std::string_view word) {
  std::string near = did_you_mean(word, next_words(group));
  std::string shown = group.empty() ? std::string(word) : fmt::format("{} {}", group, word);
  std::string hint = group.empty() ? "gantry help" : fmt::format("gantry help {}", group);
  return usage(fmt::format("there is no command '{}'", shown), near.empty() ? hint : near);
}

Result<const Command*> find_in_line(Lookup& lookup) {
  GANTRY_TRY(auto word, lookup.take_word());
  if (!word) return nullptr;
  const Command* command = find_command(*word);
  if (command == nullptr) return std::unexpected(unknown_command("", *word));
  // `quota` does something by itself, and `quota set` something else.
  Lookup ahead = lookup;
  if (command->run != nullptr && !next_words(command->name).empty()) {
    auto next = ahead.take_word();
    const Command* longer = next && *next ? find_command(fmt::format("{} {}", command->name, **next)) : nullptr;
    if (longer != nullptr) lookup = std::move(ahead);
    if (longer != nullptr) return longer;
  }
  if (command->run != nullptr) return command;
  GANTRY_TRY(auto second, lookup.take_word());
  if (!second) return command;
  const Command* row = find_command(fmt::format("{} {}", command->name, *second));
  if (row == nullptr) return std::unexpected(unknown_command(command->name, *second));
  return row;
}

}  // namespace

/// Takes apart the flags and arguments of one command.
class InvocationParser {
 public:
  explicit InvocationParser(const Command& command) : result_(command) {}

  Result<Invocation> parse(std::vector<std::string> words) {
    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    auto flags = all_flags(result_.command());
    std::vector<std::pair<const Flag*, CLI::Option*>> options;
    for (const Flag* flag : flags) options.emplace_back(flag, add(app, *flag));
    std::vector<std::string> positionals;
    app.add_option("arguments", positionals)->expected(0, -1);

    std::ranges::reverse(words);  // CLI11 takes words from the back
    try {
      app.parse(words);
    } catch (const CLI::ArgumentMismatch& mismatch) {
      std::string_view what = mismatch.what();
      return std::unexpected(usage(fmt::format("{} needs a value", what.substr(0, what.find(':'))), hint()));
    } catch (const CLI::ParseError& error) {
      return std::unexpected(usage(error.what(), hint()));
    }
    // CLI11 reports the mark between flags and arguments as well.
    for (const auto& extra : app.remaining())
      if (extra != "--") has_unknown_flag_ = true, mistakes_.push_back(unknown_flag(extra));
    for (auto [flag, option] : options) take_flag(*flag, *option);
    take_arguments(positionals);
    if (!mistakes_.empty()) return std::unexpected(all_of(std::move(mistakes_), hint()));
    return std::move(result_);
  }

 private:
  static CLI::Option* add(CLI::App& app, const Flag& flag) {
    std::string spelled(flag.name);
    if (flag.letter != 0) spelled = fmt::format("-{},{}", flag.letter, flag.name);
    if (flag.value == Value::none) return app.add_flag(spelled);
    CLI::Option* option = app.add_option(spelled);
    option->type_size(1)->allow_extra_args(false)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    return option;
  }

  void check(std::string_view what, Value kind, const std::vector<std::string_view>& choices, const std::string& text) {
    auto good = check_value(what, kind, choices, text, hint());
    if (!good) mistakes_.push_back(std::move(good).error());
  }

  void take_flag(const Flag& flag, const CLI::Option& option) {
    if (option.count() == 0) return;
    auto& values = result_.flags_[std::string(flag.name)];
    if (flag.value == Value::none) return;
    for (const auto& text : option.results()) {
      check(flag.name, flag.value, flag.choices, text);
      values.push_back(text);
    }
  }

  void take_arguments(const std::vector<std::string>& given) {
    size_t next = 0;
    for (const auto& argument : result_.command().arguments) {
      auto& values = result_.arguments_[std::string(argument.name)];
      size_t take = argument.repeat == Repeat::many ? given.size() : std::min(next + 1, given.size());
      for (; next < take; ++next) {
        check(argument.name, argument.value, argument.choices, given[next]);
        values.push_back(given[next]);
      }
      if (values.empty() && argument.presence == Presence::required)
        mistakes_.push_back(usage(fmt::format("{} is missing: {}", argument.name, argument.about), hint()));
    }
    // Behind a flag that is not known it may be the value of that.
    for (; !has_unknown_flag_ && next < given.size(); ++next)
      mistakes_.push_back(usage(fmt::format("unexpected argument '{}'", given[next]), hint()));
  }

  Error unknown_flag(std::string_view word) const {
    std::string_view name = word.substr(0, word.find('='));
    std::string near = did_you_mean(name, flag_names(result_.command()));
    return usage(fmt::format("'gantry {}' has no flag '{}'", result_.command().name, name),
                 near.empty() ? hint() : near);
  }

  std::string hint() const { return help_hint(result_.command()); }

  Invocation result_;
  std::vector<Error> mistakes_;
  bool has_unknown_flag_ = false;
};

Result<Request> parse_command_line(const std::vector<std::string>& words) {
  if (!words.empty() && (words[0] == "--version" || words[0] == "-V")) {
    std::vector<std::string> rest(words.begin() + 1, words.end());
    GANTRY_TRY(auto invocation, InvocationParser(*find_command("version")).parse(std::move(rest)));
    return Request{Request::Kind::run, std::move(invocation)};
  }
  Lookup lookup(words);
  GANTRY_TRY(const Command* command, find_in_line(lookup));
  if (command == nullptr) return Request{};
  if (lookup.wants_help()) return Request{Request::Kind::explain, Invocation(*command)};
  if (command->run == nullptr) {
    return std::unexpected(
        usage(fmt::format("'gantry {}' needs one of {}", command->name, fmt::join(next_words(command->name), ", ")),
              help_hint(*command)));
  }
  GANTRY_TRY(auto invocation, InvocationParser(*command).parse(lookup.rest()));
  return Request{Request::Kind::run, std::move(invocation)};
}

Error all_of(std::vector<Error> mistakes, std::string_view hint) {
  GANTRY_CHECK(!mistakes.empty());
  if (mistakes.size() == 1) return std::move(mistakes.front()).with_hint(hint);
  std::string reason = fmt::format("{} mistakes", mistakes.size());
  for (const Error& mistake : mistakes) {
    reason += fmt::format("\n  {}", mistake.reason());
    // What is meant instead belongs to its mistake; the help of the command is told once.
    if (!mistake.hint().empty() && mistake.hint() != hint) reason += fmt::format(" ({})", mistake.hint());
  }
  return usage(std::move(reason), std::string(hint));
}

Result<std::string> moment_text(const Invocation& given, std::string_view flag) {
  std::string text = given.text_or(flag, "");
  if (text.empty() || parse_duration(text) || parse_time(text)) return text;
  return std::unexpected(
      Error(ErrorId::GR0801, fmt::format("{}: '{}' is neither a duration back from now such as 10m nor a time such as "
                                         "2026-11-20T18:12:00Z",
                                         flag, text))
          .with_hint(fmt::format("gantry help {}", given.command().name)));
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates) {
  auto near = closest(word, candidates);
  return near ? fmt::format("did you mean `{}`?", *near) : std::string();
}

const Flag& Invocation::flag(std::string_view name) const {
  for (const Flag* flag : all_flags(*command_))
    if (flag->name == name) return *flag;
  GANTRY_CHECK(!"a handler asks for a flag that its command does not have");
}

const Argument& Invocation::positional(std::string_view name) const {
  for (const auto& argument : command_->arguments)
    if (argument.name == name) return argument;
  GANTRY_CHECK(!"a handler asks for an argument that its command does not have");
}

bool Invocation::has(std::string_view name) const { return flags_.contains(flag(name).name); }

std::optional<std::string> Invocation::text(std::string_view name) const {
  auto found = flags_.find(flag(name).name);
  if (found == flags_.end() || found->second.empty()) return std::nullopt;
  return found->second.back();
}

std::string Invocation::text_or(std::string_view name, std::string_view fallback) const {
  return text(name).value_or(std::string(fallback));
}

std::vector<std::string> Invocation::list(std::string_view name) const {
  auto found = flags_.find(flag(name).name);
  return found == flags_.end() ? std::vector<std::string>() : found->second;
}

std::optional<uint64_t> Invocation::number(std::string_view name) const {
  auto given = text(name);
  return given ? parse_number(*given) : std::nullopt;
}

std::optional<Duration> Invocation::duration(std::string_view name) const {
  auto given = text(name);
  if (!given) return std::nullopt;
  return parse_duration(*given).value_or(Duration::zero());
}

Duration Invocation::duration_or_fallback(std::string_view name) const {
  if (auto given = duration(name)) return *given;
  auto fallback = parse_duration(flag(name).fallback);
  GANTRY_CHECK(fallback.has_value());
  return *fallback;
}

uint64_t Invocation::number_or_fallback(std::string_view name) const {
  if (auto given = number(name)) return *given;
  auto fallback = parse_number(flag(name).fallback);
  GANTRY_CHECK(fallback.has_value());
  return *fallback;
}

std::string Invocation::choice(std::string_view name) const { return text_or(name, flag(name).fallback); }

std::optional<std::string> Invocation::argument(std::string_view name) const {
  auto found = arguments_.find(positional(name).name);
  if (found == arguments_.end() || found->second.empty()) return std::nullopt;
  return found->second.front();
}

const std::string& Invocation::required(std::string_view name) const {
  auto found = arguments_.find(positional(name).name);
  GANTRY_CHECK(found != arguments_.end() && !found->second.empty());
  return found->second.front();
}

uint64_t Invocation::argument_number(std::string_view name) const {
  auto value = parse_number(required(name));
  GANTRY_CHECK(value.has_value());
  return *value;
}

std::vector<std::string> Invocation::arguments(std::string_view name) const {
  auto found = arguments_.find(positional(name).name);
  return found == arguments_.end() ? std::vector<std::string>() : found->second;
}

}  // namespace gantry::cli
