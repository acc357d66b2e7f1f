// Requests as JSON lines, whole ones only.
#include <fmt/format.h>

#include <fstream>

#include "cli/commands/requests.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

constexpr Duration no_end = std::chrono::days(30);
// Two bodies of 16 MiB as base64, and what is around them.
constexpr size_t longest_line = size_t{64} << 20;

/// Writes the lines as they come and knows the cursor of the last one.
class LineWriter {
 public:
  LineWriter(Session& session, std::ofstream* file)
      : session_(session), file_(file), progress_(session), is_list_(session.given().choice("--output") == "json") {}

  Result<> take(std::string_view piece) {
    rest_ += piece;
    size_t start = 0;
    for (size_t end; (end = rest_.find('\n', start)) != std::string::npos; start = end + 1)
      GANTRY_TRY_VOID(take_line(std::string_view(rest_).substr(start, end + 1 - start)));
    rest_.erase(0, start);
    if (rest_.size() > longest_line) return fail(ErrorId::GR0803, "a line of the export is longer than 64 MiB");
    return {};
  }
  /// After the whole answer.
  void end() {
    if (is_list_) write(count_ == 0 ? "[]\n" : "\n]\n");
  }
  Result<> finish() {
    progress_.clear();
    if (file_ != nullptr && !file_->flush()) return fail(Code::unavailable, "the file cannot be written");
    return {};
  }
  uint64_t count() const { return count_; }
  const std::string& cursor() const { return cursor_; }

 private:
  Result<> take_line(std::string_view line) {
    auto value = json::parse(line.substr(0, line.size() - 1), {.max_bytes = longest_line});
    if (!value) return fail(ErrorId::GR0803, "a line of the export is not JSON: {}", value.error().reason());
    if (is_list_) {
      write(count_ == 0 ? "[\n" : ",\n");
      line.remove_suffix(1);
    }
    write(line);
    if (file_ != nullptr && !*file_) return fail(Code::unavailable, "the file cannot be written");
    cursor_ = text_at(*value, "cursor");
    // On a terminal the lines themselves are the progress.
    if (++count_ % 100 == 0 && file_ != nullptr) progress_.show(fmt::format("exported {} requests", count_));
    return {};
  }

  void write(std::string_view text) {
    if (file_ != nullptr)
      *file_ << text;
    else
      session_.print(text);
  }

  Session& session_;
  std::ofstream* file_;
  Progress progress_;
  bool is_list_;
  std::string rest_;
  std::string cursor_;
  uint64_t count_ = 0;
};

Error broken_off(Session& session, Error error, const LineWriter& writer) {
  std::string cursor = writer.cursor().empty() ? session.given().text_or("--after", "") : writer.cursor();
  Error told(error.id(), fmt::format("the export broke off after {} requests: {}", writer.count(), error.reason()));
  if (error.id() == ErrorId::none)
    told =
        Error(error.code(), fmt::format("the export broke off after {} requests: {}", writer.count(), error.reason()));
  if (cursor.empty()) return std::move(told).with_hint("gantry requests export again");
  std::string file = session.given().text_or("--file", "");
  return std::move(told).with_hint(
      fmt::format("continue with the same conditions and --after {}{}", cursor, file.empty() ? "" : " --file " + file));
}

}  // namespace

Result<int> run_requests_export(Session& session) {
  const Invocation& given = session.given();
  std::string target = "/v1/requests/export" + filter_query(given);
  auto add = [&](std::string_view name, const std::optional<std::string>& value) {
    if (value) target += fmt::format("{}{}={}", target.contains('?') ? "&" : "?", name, percent_encode(*value));
  };
  add("after", given.text("--after"));
  add("body_limit", given.text("--body-limit"));
  if (given.has("--after") && given.choice("--output") == "json")
    return std::unexpected(Error(ErrorId::GR0801, "a list cannot be continued in the middle")
                               .with_hint("gantry requests export --after CURSOR -o jsonl"));
  GANTRY_TRY(ApiClient * api, session.api());
  GANTRY_TRY(auto request, api->prepare("GET", target));
  request.timeout = no_end;

  auto path = given.text("--file");
  std::ofstream file;
  // Opened with the first line: a refusal of the server must not empty a file that is there.
  auto open = [&]() -> Result<> {
    if (!path || file.is_open()) return {};
    file.open(*path, given.has("--after") ? std::ios::app : std::ios::trunc);
    if (!file) return std::unexpected(Error(Code::unavailable, fmt::format("{} cannot be written", *path)));
    return {};
  };
  LineWriter writer(session, path ? &file : nullptr);
  auto answer =
      api->exchange(std::move(request), {.download = [&](const net::ResponseHead&, std::string_view piece) -> Result<> {
                      GANTRY_TRY_VOID(open());
                      return writer.take(piece);
                    }});
  if (!answer) {
    static_cast<void>(writer.finish());
    return std::unexpected(broken_off(session, std::move(answer).error(), writer));
  }
  if (answer->status >= 400) return std::unexpected(error_of(*answer));
  GANTRY_TRY_VOID(open());
  writer.end();
  GANTRY_TRY_VOID(writer.finish());
  session.say(fmt::format("exported {} requests{}", writer.count(), path ? " to " + *path : ""));
  return 0;
}

}  // namespace gantry::cli
