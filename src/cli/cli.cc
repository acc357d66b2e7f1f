#include "cli/cli.h"

#include <fmt/format.h>

#include <ostream>

#include "cli/interrupt.h"
#include "cli/invocation.h"
#include "cli/reference.h"
#include "cli/session.h"

namespace gantry::cli {
namespace {

constexpr int wrong_usage = 2;

int exit_code_of(const Error& error) {
  if (error.id() == ErrorId::GR0801 || error.id() == ErrorId::GR0802) return wrong_usage;
  return exit_code(error.code());
}

/// The style of what is printed when there is no session (yet).
Style plain_style(const Environment& environment, Device device, const std::vector<std::string>& words) {
  bool off = device != Device::terminal || !environment.variable("NO_COLOR").value_or("").empty() ||
             std::ranges::find(words, "--no-color") != words.end();
  return Style(off ? Style::Color::off : Style::Color::on);
}

/// `error: what: why (GR0002)` and `hint: next command`.
int print_error(std::ostream& err, const Error& error, const Style& style) {
  std::string id = error.id() == ErrorId::none ? "" : fmt::format(" ({})", to_string(error.id()));
  err << fmt::format("{} {}{}\n", style.paint(Tint::bad, "error:"), printable_text(error.reason()), id);
  if (!error.hint().empty())
    err << fmt::format("{} {}\n", style.paint(Tint::accent, "hint:"), printable_text(error.hint()));
  err << std::flush;
  return exit_code_of(error);
}

Result<int> run_words(const std::vector<std::string>& words, Environment& environment) {
  GANTRY_TRY(Request request, parse_command_line(words));
  const Style style = plain_style(environment, environment.out_device, words);
  switch (request.kind) {
    case Request::Kind::explain_all:
      *environment.out << general_help(style) << std::flush;
      return 0;
    case Request::Kind::explain:
      *environment.out << command_help(request.invocation->command(), style) << std::flush;
      return 0;
    case Request::Kind::run:
      break;
  }
  Session session(environment, std::move(*request.invocation));
  auto code = session.given().command().run(session);
  if (code) return code;
  // The reason of an error begins with what was being done.
  return std::unexpected(std::move(code).error().wrap(session.given().command().name));
}

}  // namespace

int run(int argc, const char* const* argv, Environment& environment) {
  if (environment.signals == Signals::ours) exit_on_interrupt();
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  auto code = run_words(words, environment);
  if (code) return *code;
  return print_error(*environment.err, code.error(), plain_style(environment, environment.err_device, words));
}

int report(const Error& error, Environment& environment) {
  return print_error(*environment.err, error, plain_style(environment, environment.err_device, {}));
}

}  // namespace gantry::cli
