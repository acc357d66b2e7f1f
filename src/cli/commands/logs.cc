#include <fmt/format.h>

#include "cli/commands/agents.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

/// A following answer is open as long as the person wants.
constexpr Duration forever = std::chrono::days(365);
/// A longer line cannot come from the server; it would only fill memory.
constexpr size_t line_limit = size_t{4} << 20;

std::string query_of(const Invocation& given) {
  std::string query = fmt::format("?tail={}", given.number_or_fallback("--tail"));
  if (auto since = given.duration("--since")) query += "&since=" + format_duration(*since);
  if (auto filter = given.text("--filter")) query += "&filter=" + percent_encode(*filter);
  if (auto instance = given.text("--instance")) query += "&instance=" + percent_encode(*instance);
  if (auto stream = given.text("--stream")) query += "&stream=" + *stream;
  if (given.has("--follow")) query += "&follow=true";
  return query;
}

/// Prints one log line after the other as they come.
class LogPrinter {
 public:
  explicit LogPrinter(Session& session)
      : session_(session),
        terminal_(session.environment().out_device == Device::terminal),
        prefixed_(session.format() == Format::wide || (session.format() == Format::table && terminal_)) {}

  /// Takes the next piece of the answer; it may end in the middle of a line.
  Result<> take(std::string_view piece) {
    rest_ += piece;
    size_t start = 0;
    for (size_t end; (end = rest_.find('\n', start)) != std::string::npos; start = end + 1)
      GANTRY_TRY_VOID(take_line(std::string_view(rest_).substr(start, end - start)));
    rest_.erase(0, start);
    if (rest_.size() > line_limit) return fail(ErrorId::GR0803, "a log line is longer than {} bytes", line_limit);
    return {};
  }

  void finish() {
    if (session_.format() == Format::json) session_.print(json::pretty(collected_) + "\n");
    if (session_.format() == Format::yaml) session_.print(to_yaml(collected_));
  }

 private:
  Result<> take_line(std::string_view text) {
    if (trim(text).empty()) return {};
    if (session_.format() == Format::jsonl) {
      session_.print(std::string(text) + "\n");
      return {};
    }
    auto entry = json::parse(text);
    if (!entry) return fail(ErrorId::GR0803, "a log line is not JSON: {}", entry.error().reason());
    if (session_.format() == Format::json || session_.format() == Format::yaml) {
      collected_.push_back(std::move(*entry));
      return {};
    }
    std::string line = text_at(*entry, "line");
    if (terminal_) line = printable_line(line);
    session_.print(prefix_of(*entry) + line + "\n");
    return {};
  }

  std::string prefix_of(const json::Value& entry) const {
    if (!prefixed_) return "";
    const Style& style = session_.out_style();
    bool error = text_at(entry, "stream") == "stderr";
    return fmt::format("{} {} ", style.paint(Tint::dim, text_at(entry, "time")),
                       style.paint(error ? Tint::warn : Tint::accent, fmt::format("{}|", text_at(entry, "replica"))));
  }

  Session& session_;
  bool terminal_;
  bool prefixed_;
  std::string rest_;
  json::Array collected_;
};

}  // namespace

Result<int> run_logs(Session& session) {
  const Invocation& given = session.given();
  const std::string& name = given.required("NAME");
  if (given.has("--follow") && (session.format() == Format::json || session.format() == Format::yaml)) {
    return std::unexpected(Error(ErrorId::GR0801, "--follow has no end, so it cannot be one document")
                               .with_hint(fmt::format("gantry logs {} --follow -o jsonl", name)));
  }
  GANTRY_TRY(ApiClient * api, session.api());
  GANTRY_TRY(auto request, api->prepare("GET", agent_path(name, "logs") + query_of(given)));
  request.timeout = given.has("--follow") ? forever : ApiClient::call_timeout;

  LogPrinter printer(session);
  auto answer = api->exchange(std::move(request), {.download = [&](const net::ResponseHead&, std::string_view piece) {
                                return printer.take(piece);
                              }});
  if (!answer) return std::unexpected(std::move(answer).error());
  if (answer->status >= 400) return std::unexpected(about_agent(*api, name, error_of(*answer)));
  printer.finish();
  return 0;
}

}  // namespace gantry::cli
