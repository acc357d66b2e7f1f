#include "agents/log_filter.h"

#include <re2/re2.h>

#include <charconv>

namespace gantry::agents {
namespace {

constexpr size_t longest_pattern = 1024;
/// Of the compiled pattern with the states that it makes while it runs.
constexpr int64_t pattern_memory = int64_t{4} << 20;
/// So far a clock may have been set back within one log.
constexpr Duration clock_slack = std::chrono::minutes(1);

std::optional<sandbox::Stream> stream_from_string(std::string_view text) {
  if (text == "stdout") return sandbox::Stream::out;
  if (text == "stderr") return sandbox::Stream::err;
  return std::nullopt;
}

Result<std::unique_ptr<re2::RE2>> compile(const std::string& pattern) {
  if (pattern.size() > longest_pattern)
    return fail(ErrorId::GR0511, "grep: the pattern has {} bytes, at most {} are allowed", pattern.size(),
                longest_pattern);
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(pattern_memory);
  auto compiled = std::make_unique<re2::RE2>(pattern, options);
  if (compiled->ok()) return compiled;
  return std::unexpected(
      Error(ErrorId::GR0511, fmt::format("grep: {}{}", compiled->error(),
                                         compiled->error_arg().empty() ? "" : " in '" + compiled->error_arg() + "'"))
          .with_hint("the syntax is that of RE2 (github.com/google/re2/wiki/Syntax): no back-references, no "
                     "look-around; a plain text is looked for with filter"));
}

}  // namespace

LogFilter::LogFilter(LogFilter&&) noexcept = default;
LogFilter::~LogFilter() = default;

Result<LogFilter> LogFilter::make(const LogOptions& options) {
  LogFilter filter;
  filter.since_ = options.since;
  filter.until_ = options.until;
  filter.text_ = options.filter;
  if (!options.stream.empty()) {
    filter.stream_ = stream_from_string(options.stream);
    if (!filter.stream_.has_value())
      return fail(ErrorId::GR0511, "stream: '{}' is neither stdout nor stderr", options.stream.substr(0, 64));
  }
  if (filter.since_ && filter.until_ && *filter.since_ > *filter.until_)
    return fail(ErrorId::GR0511, "since is after until ({} and {}): no line can match", format_time(*filter.since_),
                format_time(*filter.until_));
  if (!options.grep.empty()) {
    GANTRY_TRY(filter.pattern_, compile(options.grep));
  }
  return filter;
}

bool LogFilter::matches(const sandbox::LogLine& line) const {
  if (since_.has_value() && line.time < *since_) return false;
  if (until_.has_value() && line.time > *until_) return false;
  if (stream_.has_value() && line.stream != *stream_) return false;
  if (!text_.empty() && line.text.find(text_) == std::string::npos) return false;
  return pattern_ == nullptr || re2::RE2::PartialMatch(line.text, *pattern_);
}

bool LogFilter::is_past(const sandbox::LogLine& line) const {
  return since_.has_value() && line.time + clock_slack < *since_;
}

Result<LogInstance> parse_log_instance(std::string_view text) {
  LogInstance instance;
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    auto id = InstanceId::parse(text);
    if (id) instance.id = *id;
    if (id) return instance;
  } else {
    instance.agent = text.substr(0, slash);
    const std::string_view number = text.substr(slash + 1);
    auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), instance.replica);
    if (!instance.agent.empty() && error == std::errc() && end == number.data() + number.size()) return instance;
  }
  return std::unexpected(
      Error(ErrorId::GR0511, fmt::format("instance: '{}' is neither the id of an instance nor AGENT/REPLICA such as "
                                         "bot/0",
                                         text.substr(0, 100)))
          .with_hint("gantry inspect NAME shows the instances of an agent"));
}

}  // namespace gantry::agents
