#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/commands/agents.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

/// A following answer is open as long as the person wants.
constexpr Duration forever = std::chrono::days(365);
/// The server may look through all files before it finds the first line.
constexpr Duration patience = std::chrono::minutes(10);
/// A longer line cannot come from the server; it would only fill memory.
constexpr size_t line_limit = size_t{4} << 20;
/// Prefixes are aligned up to this width, so that one long name does not push all lines away.
constexpr size_t widest_aligned = 24;

/// Which agents, and which of their lines.
struct Wanted {
  std::vector<std::string> agents, instances;
  std::string stream, text;

  bool names_something() const { return !agents.empty() || !instances.empty(); }
};

Error usage(std::string reason, std::string hint = "gantry help logs") {
  return Error(ErrorId::GR0801, std::move(reason)).with_hint(std::move(hint));
}

Result<> add_filter(Wanted& wanted, const std::string& filter) {
  static const std::vector<std::string_view> keys = {"stream", "agent", "instance"};
  const size_t equals = filter.find('=');
  const std::string key = filter.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : filter.substr(equals + 1);
  const bool is_known = equals != std::string::npos && std::ranges::find(keys, key) != keys.end();
  if (is_known && value.empty())
    return std::unexpected(usage(fmt::format("--filter: '{}' says nothing after the '='", filter)));
  if (is_known && key == "agent") {
    wanted.agents.push_back(value);
  } else if (is_known && key == "instance") {
    wanted.instances.push_back(value);
  } else if (is_known) {
    if (value != "stdout" && value != "stderr")
      return std::unexpected(usage(fmt::format("--filter: stream is stdout or stderr, not '{}'", value)));
    wanted.stream = value;
  } else if (const std::string near = did_you_mean(key, keys); equals != std::string::npos && !near.empty()) {
    return std::unexpected(usage(fmt::format("--filter: there is no condition '{}='; {}", key, near),
                                 "a text with a '=' in it is looked for with --grep"));
  } else if (!wanted.text.empty()) {
    return std::unexpected(usage(fmt::format("--filter: two texts, '{}' and '{}'", wanted.text, filter),
                                 fmt::format("one pattern finds both: --grep '{}.*{}'", wanted.text, filter)));
  } else {
    wanted.text = filter;
  }
  return {};
}

Result<Wanted> wanted_of(const Invocation& given) {
  Wanted wanted{.agents = given.arguments("NAME"), .instances = given.list("--instance")};
  wanted.stream = given.text_or("--stream", "");
  if (!wanted.agents.empty() && given.has("--all"))
    return std::unexpected(usage("names and --all: it is either some agents or all of them"));
  for (const std::string& filter : given.list("--filter")) GANTRY_TRY_VOID(add_filter(wanted, filter));
  if (!wanted.names_something() && !given.has("--all"))
    return std::unexpected(usage("NAME is missing: names of agents, or --all", "gantry logs --all"));
  return wanted;
}

Result<std::string> query_of(const Invocation& given, const Wanted& wanted) {
  std::string query = fmt::format("?tail={}", given.number_or_fallback("--tail"));
  const auto add = [&](std::string_view name, std::string_view value) {
    if (!value.empty()) query += fmt::format("&{}={}", name, percent_encode(value));
  };
  GANTRY_TRY(std::string since, moment_text(given, "--since"));
  GANTRY_TRY(std::string until, moment_text(given, "--until"));
  for (const std::string& agent : wanted.agents) add("agent", agent);
  for (const std::string& instance : wanted.instances) add("instance", instance);
  add("since", since);
  add("until", until);
  add("filter", wanted.text);
  add("grep", given.text_or("--grep", ""));
  add("stream", wanted.stream);
  if (given.has("--follow")) query += "&follow=true";
  return query;
}

/// Prints one log line after the other as they come.
class LogPrinter {
 public:
  LogPrinter(Session& session, bool many)
      : session_(session),
        terminal_(session.environment().out_device == Device::terminal),
        format_(session.given().has("--json") ? Format::jsonl : session.format()),
        timed_(format_ == Format::wide || session.given().has("--timestamps")),
        prefixed_((format_ == Format::wide || terminal_ || many) && !session.given().has("--no-prefix")) {}

  Format format() const { return format_; }
  /// True once nobody reads what is printed.
  bool is_closed() const { return !session_.environment().out->good(); }

  /// Takes the next piece of the answer; it may end in the middle of a line.
  Result<> take(std::string_view piece) {
    rest_ += piece;
    size_t start = 0;
    std::string out;
    for (size_t end; (end = rest_.find('\n', start)) != std::string::npos; start = end + 1)
      GANTRY_TRY_VOID(take_line(std::string_view(rest_).substr(start, end - start), out));
    rest_.erase(0, start);
    if (!out.empty()) session_.print(out);
    if (is_closed()) return fail(Code::cancelled, "nobody reads the output any more");
    if (rest_.size() > line_limit) return fail(ErrorId::GR0803, "a log line is longer than {} bytes", line_limit);
    return {};
  }

  void finish() {
    if (format_ == Format::json) session_.print(json::pretty(collected_) + "\n");
    if (format_ == Format::yaml) session_.print(to_yaml(collected_));
  }

 private:
  Result<> take_line(std::string_view text, std::string& out) {
    if (trim(text).empty()) return {};
    if (format_ == Format::jsonl) {
      out += std::string(text) + "\n";
      return {};
    }
    auto entry = json::parse(text);
    if (!entry) return fail(ErrorId::GR0803, "a log line is not JSON: {}", entry.error().reason());
    if (format_ == Format::json || format_ == Format::yaml) {
      collected_.push_back(std::move(*entry));
      return {};
    }
    std::string line = text_at(*entry, "line");
    if (terminal_) line = printable_line(line);
    // A colour that a line leaves on must not run into the next prefix.
    const bool resets = terminal_ && line.contains('\x1b');
    out += prefix_of(*entry) + line + (resets ? "\x1b[0m\n" : "\n");
    return {};
  }

  std::string prefix_of(const json::Value& entry) {
    const Style& style = session_.out_style();
    std::string prefix;
    if (timed_) prefix = style.paint(Tint::dim, text_at(entry, "time")) + " ";
    if (!prefixed_) return prefix;
    std::string name = without_controls(fmt::format("{}/{}", text_at(entry, "agent"), text_at(entry, "replica")));
    const size_t color = colors_.try_emplace(name, colors_.size()).first->second;
    width_ = std::max(width_, std::min(name.size(), widest_aligned));
    if (name.size() < width_) name.append(width_ - name.size(), ' ');
    const bool is_error = text_at(entry, "stream") == "stderr";
    return fmt::format("{}{} {} ", prefix, style.paint_in_series(color, name),
                       style.paint(is_error ? Tint::warn : Tint::dim, "|"));
  }

  Session& session_;
  const bool terminal_;
  const Format format_;
  const bool timed_, prefixed_;
  std::string rest_;
  json::Array collected_;
  std::map<std::string, size_t> colors_;  // in the order in which they came up
  size_t width_ = 0;
};

}  // namespace

Result<int> run_logs(Session& session) {
  const Invocation& given = session.given();
  GANTRY_TRY(Wanted wanted, wanted_of(given));
  const bool many = given.has("--all") || wanted.agents.size() != 1;
  LogPrinter printer(session, many);
  if (given.has("--follow") && (printer.format() == Format::json || printer.format() == Format::yaml)) {
    const std::string which = given.has("--all") ? "--all" : fmt::format("{}", fmt::join(wanted.agents, " "));
    return std::unexpected(usage("--follow has no end, so it cannot be one document",
                                 fmt::format("gantry logs {} --follow -o jsonl", which)));
  }
  GANTRY_TRY(std::string query, query_of(given, wanted));
  GANTRY_TRY(ApiClient * api, session.api());
  GANTRY_TRY(auto request, api->prepare("GET", "/v1/logs" + query));
  request.timeout = given.has("--follow") ? forever : patience;

  auto answer = api->exchange(std::move(request), {.download = [&](const net::ResponseHead&, std::string_view piece) {
                                return printer.take(piece);
                              }});
  // A reader such as `head` has what it wanted.
  if (printer.is_closed()) return 0;
  if (!answer) return std::unexpected(std::move(answer).error());
  if (answer->status >= 400) {
    if (wanted.agents.size() != 1) return std::unexpected(error_of(*answer));
    return std::unexpected(about_agent(*api, wanted.agents.front(), error_of(*answer)));
  }
  printer.finish();
  return 0;
}

}  // namespace gantry::cli
