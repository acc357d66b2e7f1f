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
constexpr int state_does_not_allow = 5;
constexpr int rate_limited = 12;
constexpr int answer_broke_off = 13;

/// `unavailable` is 11, the server is not reachable, unless the server said so itself about something else.
int exit_code_of(const Error& error) {
  switch (error.id()) {
    case ErrorId::GR0801:
    case ErrorId::GR0802:
      return wrong_usage;
    case ErrorId::GR0403:
      return state_does_not_allow;
    case ErrorId::GR0404:
    case ErrorId::GR0809:
      return answer_broke_off;
    case ErrorId::GR0413:
      return rate_limited;
    default:
      return exit_code(error.code());
  }
}

/// The style of what is printed when there is no session (yet).
Style plain_style(const Environment& environment, Device device, const std::vector<std::string>& words) {
  bool off = device != Device::terminal || !environment.variable("NO_COLOR").value_or("").empty() ||
             std::ranges::find(words, "--no-color") != words.end();
  return Style(off ? Style::Color::off : Style::Color::on);
}

/// `error: what: why (GR0002)`, further lines of the reason, and `hint: next command`.
int print_error(std::ostream& err, const Error& error, const Style& style) {
  std::string id = error.id() == ErrorId::none ? "" : fmt::format(" ({})", to_string(error.id()));
  const std::string reason = printable_text(error.reason());
  const size_t first = std::min(reason.find('\n'), reason.size());
  err << fmt::format("{} {}{}{}\n", style.paint(Tint::bad, "error:"), reason.substr(0, first), id,
                     reason.substr(first));
  // Who gave up knows what they want to do next.
  if (error.code() != Code::cancelled || !error.hint().empty())
    err << fmt::format("{} {}\n", style.paint(Tint::accent, "hint:"), printable_text(error.advice()));
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
  const std::string_view name = session.given().command().name;
  Error error = std::move(code).error().wrap(name);
  if (error.id() == ErrorId::GR0801) error = std::move(error).with_hint(fmt::format("gantry help {}", name));
  return std::unexpected(std::move(error));
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
