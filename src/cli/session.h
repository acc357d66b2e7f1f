// What a handler gets: the parsed command line, the process around it, the configuration and the API,
// each made when it is first asked for.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/base.h"
#include "cli/api_client.h"
#include "cli/cli.h"
#include "cli/invocation.h"
#include "cli/output.h"
#include "config/config.h"

namespace gantry::cli {

/// One run of one command.
class Session {
 public:
  Session(Environment& environment, Invocation invocation);

  Environment& environment() { return environment_; }
  const Invocation& given() const { return invocation_; }
  Time now() { return environment_.clock->now(); }
  SteadyTime steady() { return environment_.clock->steady(); }

  /// From `-o`; `table` for commands without it.
  Format format() const { return format_; }
  /// True for `table` and `wide`: a person reads.
  bool for_people() const { return format_ == Format::table || format_ == Format::wide; }
  Canvas canvas() const { return {out_style_, environment_.width}; }
  const Style& out_style() const { return out_style_; }
  const Style& err_style() const { return err_style_; }

  /// The configuration, with the flags of this command line on top.
  Result<const config::Config*> config();
  /// How long to wait for agents: `--timeout`, else the setting `wait_timeout`.
  Duration wait_timeout();
  Result<ApiClient*> api();

  /// Data, to stdout.
  void print(std::string_view text);
  /// A line of talk, to stderr.
  void say(std::string_view line);
  /// `next: gantry …` to stderr, for people only.
  void suggest(std::string_view command, std::string_view why = {});

  /// Prints rows in the wanted format; says `when_empty` if there is nothing to show to a person.
  void print_listing(const Listing& listing, const json::Array& rows);
  /// Prints a value: `render` draws it for people.
  void print_value(const json::Value& value, std::string_view name_member,
                   const std::function<std::string(const json::Value&)>& render);

  /// Asks on the terminal, unless `--yes` was given. GR0802 if stdin is no terminal; `cancelled` for a no.
  Result<> confirm(std::string_view question);

  /// Waits; `cancelled` if Ctrl-C came.
  Result<> pause(Duration duration);

 private:
  Environment& environment_;
  Invocation invocation_;
  Result<config::Config> config_;
  Format format_ = Format::table;
  Style out_style_;
  Style err_style_;
  std::optional<ApiClient> api_;
};

/// One look of `--watch`.
struct Frame {
  std::string text;
  /// What must change for another block on a stdout that is no terminal: the rows without ages.
  std::string identity;
};

/// The frame of a listing; says `when_empty` on stderr if there is nothing to show to a person.
Frame listing_frame(Session& session, const Listing& listing, const json::Array& rows);

/// Calls `look` once, or with `--watch` again and again: refreshed in place on a terminal, otherwise one
/// block for each change.
Result<int> watch(Session& session, const std::function<Result<Frame>()>& look);

/// What a wait shows: a spinner with the latest text on a terminal, otherwise a line for a new text, one
/// every two seconds at most. Nothing at all when the output is for a program.
class Progress {
 public:
  explicit Progress(Session& session) : session_(session) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  /// The state now; call it at each look, the spinner turns.
  void show(const std::string& text);
  /// Takes the spinner away, before anything else is printed.
  void clear();

 private:
  Session& session_;
  std::string last_;
  SteadyTime quiet_until_{};
  size_t turns_ = 0;
  bool drawn_ = false;
};

}  // namespace gantry::cli
