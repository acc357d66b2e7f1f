#include "cli/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <istream>
#include <ostream>

namespace gantry::cli {
namespace {

bool takes_listing_format(const Command& command) {
  for (const auto& flag : command.flags)
    if (flag.name == "--output") return flag.choices.size() >= output_flag().choices.size();
  return false;
}

bool takes_flag(const Command& command, std::string_view name) {
  return std::ranges::any_of(command.flags, [&](const Flag& flag) { return flag.name == name; });
}

Style style_for(const Environment& environment, const Invocation& invocation, const Result<config::Config>& config,
                Device device) {
  std::string color = config ? config->text("color") : "auto";
  bool plain = !environment.variable("NO_COLOR").value_or("").empty() || environment.variable("TERM") == "dumb" ||
               device != Device::terminal;
  bool wanted = color == "always" || (color == "auto" && !plain);
  return Style(wanted && !invocation.has("--no-color") ? Style::Color::on : Style::Color::off);
}

/// The options of the configuration that the command line may set, as far as this command has them.
std::map<std::string, std::string> config_flags(const Invocation& invocation) {
  std::map<std::string, std::string> given;
  for (const auto& option : config::schema()) {
    std::string name = config::flag_name(option);
    for (const Flag* flag : all_flags(invocation.command())) {
      if (flag->name != name) continue;
      if (auto value = invocation.text(name)) given.emplace(option.name, *value);
    }
  }
  return given;
}

size_t line_count(std::string_view text) { return static_cast<size_t>(std::ranges::count(text, '\n')); }

/// At most `height - 1` lines: a frame that scrolls cannot be drawn over.
std::string clipped(std::string_view text, size_t height) {
  if (height < 2 || line_count(text) < height) return std::string(text);
  size_t end = 0;
  for (size_t line = 0; line + 2 < height; ++line) end = text.find('\n', end) + 1;
  return std::string(text.substr(0, end)) + "…\n";
}

Result<config::Config> load_config(const Environment& environment, const Invocation& invocation) {
  return config::load({.flags = config_flags(invocation),
                       .environment = environment.variable,
                       .working_directory = environment.working_directory});
}

}  // namespace

Session::Session(Environment& environment, Invocation invocation)
    : environment_(environment),
      invocation_(std::move(invocation)),
      config_(load_config(environment_, invocation_)),
      out_style_(style_for(environment, invocation_, config_, environment.out_device)),
      err_style_(style_for(environment, invocation_, config_, environment.err_device)) {
  if (!takes_listing_format(invocation_.command())) return;
  // A broken configuration stops the commands that need it, and no other.
  std::string fallback = config_ ? config_->text("output") : "table";
  format_ = format_from_string(invocation_.text_or("--output", fallback));
}

Result<const config::Config*> Session::config() {
  if (!config_) return std::unexpected(config_.error());
  return &*config_;
}

Duration Session::wait_timeout() {
  if (auto given = invocation_.duration("--timeout")) return *given;
  return config_ ? config_->duration("wait_timeout") : invocation_.duration_or_fallback("--timeout");
}

Result<ApiClient*> Session::api() {
  if (!api_) {
    GANTRY_TRY(const config::Config* settings, config());
    GANTRY_TRY(auto address, find_server(*settings));
    api_.emplace(std::move(address));
  }
  return &*api_;
}

void Session::print(std::string_view text) { *environment_.out << text << std::flush; }

void Session::say(std::string_view line) { *environment_.err << line << '\n' << std::flush; }

void Session::suggest(std::string_view command, std::string_view why) {
  if (!for_people()) return;
  std::string reason = why.empty() ? "" : fmt::format("   {}", err_style_.paint(Tint::dim, why));
  say(fmt::format("{} {}{}", err_style_.paint(Tint::accent, "next:"), command, reason));
}

void Session::print_listing(const Listing& listing, const json::Array& rows) {
  print(render_listing(listing, rows, format_, canvas()));
  if (rows.empty() && for_people()) say(listing.when_empty);
}

void Session::print_value(const json::Value& value, std::string_view name_member,
                          const std::function<std::string(const json::Value&)>& render) {
  print(for_people() ? render(value) : render_value(value, format_, name_member));
}

Result<> Session::confirm(std::string_view question) {
  if (takes_flag(invocation_.command(), "--yes") && invocation_.has("--yes")) return {};
  if (environment_.in_device != Device::terminal) {
    return std::unexpected(
        Error(ErrorId::GR0802, fmt::format("standard input is no terminal, so nobody can be asked: {}", question))
            .with_hint("the same command with --yes does not ask"));
  }
  *environment_.err << question << " [y/N] " << std::flush;
  std::string answer;
  std::getline(*environment_.in, answer);
  answer = to_lower(trim(answer));
  if (answer == "y" || answer == "yes") return {};
  return fail(Code::cancelled, "nothing was changed");
}

Result<> Session::pause(Duration duration) {
  if (environment_.pause(duration) == Interrupted::no) return {};
  return fail(Code::cancelled, "interrupted");
}

Frame listing_frame(Session& session, const Listing& listing, const json::Array& rows) {
  std::string text = render_listing(listing, rows, session.format(), session.canvas());
  if (rows.empty() && session.for_people()) {
    // With --watch the place must not stay empty: the words are then part of the picture.
    if (session.given().has("--watch"))
      text = std::string(listing.when_empty) + "\n";
    else
      session.say(listing.when_empty);
  }
  return {std::move(text), json::serialize(rows)};
}

Result<int> watch(Session& session, const std::function<Result<Frame>()>& look) {
  GANTRY_TRY(Frame frame, look());
  Environment& environment = session.environment();
  const bool stays = session.given().has("--watch");
  const bool in_place = stays && environment.out_device == Device::terminal && session.for_people();
  session.print(in_place ? clipped(frame.text, environment.height) : frame.text);
  if (!stays) return 0;

  const Duration interval = session.given().duration_or_fallback("--interval");
  bool reachable = true;
  for (;;) {
    GANTRY_TRY_VOID(session.pause(interval));
    auto next = look();
    if (!next && next.error().code() == Code::unavailable) {
      // A server that restarts is worth waiting for; the last frame stays.
      if (std::exchange(reachable, false)) session.say(next.error().reason() + "; trying again");
      continue;
    }
    if (!next) return std::unexpected(std::move(next).error());
    const bool came_back = !std::exchange(reachable, true);
    if (in_place) {
      std::string erase =
          came_back ? "" : fmt::format("\x1b[{}A\r\x1b[J", line_count(clipped(frame.text, environment.height)));
      session.print((line_count(frame.text) > 0 ? erase : "") + clipped(next->text, environment.height));
    } else if (next->identity != frame.identity) {
      session.print((session.for_people() ? "\n" : "") + next->text);
    }
    frame = std::move(*next);
  }
}

void Progress::show(const std::string& text) {
  if (!session_.for_people()) return;
  static constexpr std::string_view frames[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
  Environment& environment = session_.environment();
  if (environment.err_device == Device::terminal) {
    std::string line = environment.width > 4 ? shorten(text, environment.width - 4) : text;
    *environment.err << "\r\x1b[K" << session_.err_style().paint(Tint::accent, frames[turns_++ % std::size(frames)])
                     << ' ' << line << std::flush;
    drawn_ = true;
  } else if (text != last_ && session_.steady() >= quiet_until_) {
    session_.say(text);
    quiet_until_ = session_.steady() + std::chrono::seconds(2);
  }
  last_ = text;
}

void Progress::clear() {
  if (std::exchange(drawn_, false)) *session_.environment().err << "\r\x1b[K" << std::flush;
}

}  // namespace gantry::cli
