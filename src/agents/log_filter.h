// Which lines of a log are wanted. Pure. Private to agents/.
#pragma once

#include <memory>

#include "agents/agents.h"
#include "sandbox/sandbox.h"

namespace re2 {
class RE2;
}

namespace gantry::agents {

/// The conditions on one line. Thread-safe once it is made.
class LogFilter {
 public:
  /// GR0511 for a pattern that RE2 refuses or that needs too much memory.
  static Result<LogFilter> make(const LogOptions& options);
  LogFilter(LogFilter&&) noexcept;
  ~LogFilter();

  bool matches(const sandbox::LogLine& line) const;
  /// True for lines that are so old that no line before them can be wanted, even with a clock that was set back a
  /// little.
  bool is_past(const sandbox::LogLine& line) const;
  const std::optional<Time>& since() const { return since_; }

 private:
  LogFilter() = default;

  std::optional<Time> since_, until_;
  std::optional<sandbox::Stream> stream_;
  std::string text_;
  std::unique_ptr<re2::RE2> pattern_;
};

/// One of `LogOptions::instances`: an id, or `AGENT/REPLICA` for whatever instance that replica has.
struct LogInstance {
  std::optional<InstanceId> id;
  std::string agent;
  uint32_t replica = 0;
};
/// GR0511 for anything else.
Result<LogInstance> parse_log_instance(std::string_view text);

}  // namespace gantry::agents
