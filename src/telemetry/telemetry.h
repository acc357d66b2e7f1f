// Logs: one JSON object a line, typed fields, secrets that cannot be printed, and no thread that waits.
//
// `LogWriter` owns the sinks, a bounded queue and the one thread that writes; the composition root owns
// it and stops it last. `Logger` is a cheap value that anybody copies; `with` makes a child that adds
// fixed fields to every line. A line is put together by the caller's thread (about 1 µs) and handed to
// the queue; if the queue is full the line is dropped and counted, because no I/O thread may wait for a
// disk. The next line that is written is preceded by `log lines were dropped` with their number.
//
// Nothing leaves the machine, and nothing here is global.
//
// Example:
//
//   LogWriter writer({.level = Level::info, .sinks = {stderr_sink()}}, clock);
//   Logger log = writer.logger().with(field("agent", "bot"));
//   log.info("instance started", field("replica", 2), field("took", clock.steady() - before));
//   // {"time":"2026-11-20T18:12:00.123Z","level":"info","message":"instance started","agent":"bot",…}
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/base.h"
#include "json/json.h"

namespace gantry::telemetry {

/// A text that logs, fmt and JSON print as `[redacted]`. The only way to the text is `reveal`. The
/// memory is overwritten when it is destroyed.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  Secret(const Secret&) = default;
  Secret& operator=(const Secret& other);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  /// The text itself. Each call site is a place to review.
  const std::string& reveal() const { return text_; }
  bool empty() const { return text_.empty(); }
  /// Compares in constant time.
  friend bool operator==(const Secret& a, const Secret& b);

 private:
  void wipe();
  std::string text_;
};
inline constexpr std::string_view redacted = "[redacted]";
/// For Boost.JSON's `value_from`.
void tag_invoke(const boost::json::value_from_tag&, json::Value& value, const Secret&);

/// How much a line matters; `off` is above all of them.
enum class Level { debug, info, warn, error, off };
std::string_view to_string(Level level);
/// `invalid` names the choices.
Result<Level> parse_level(std::string_view text);

/// How a line looks: one JSON object, or text for people.
enum class Format { json, text };
/// `json` or `text`; `invalid` names the choices.
Result<Format> parse_format(std::string_view text);

/// One named value of a line. Made by `field`; lives only during the call.
struct Field {
  std::string_view name;
  std::variant<std::string_view, int64_t, uint64_t, double, bool, std::string> value;
};
inline Field field(std::string_view name, std::string_view value) { return {name, value}; }
inline Field field(std::string_view name, const char* value) { return {name, std::string_view(value)}; }
inline Field field(std::string_view name, const std::string& value) { return {name, std::string_view(value)}; }
inline Field field(std::string_view name, bool value) { return {name, value}; }
inline Field field(std::string_view name, double value) { return {name, value}; }
template <std::signed_integral T>
Field field(std::string_view name, T value) {
  return {name, static_cast<int64_t>(value)};
}
template <std::unsigned_integral T>
Field field(std::string_view name, T value) {
  return {name, static_cast<uint64_t>(value)};
}
/// In milliseconds with three decimals: `field("took_ms", duration)`.
Field field(std::string_view name, Duration value);
/// In bytes.
inline Field field(std::string_view name, Bytes value) { return {name, value.count}; }
inline Field field(std::string_view name, const Secret&) { return {name, redacted}; }
/// The code, id and reason of an error in one text.
Field field(std::string_view name, const Error& error);
template <class Tag>
Field field(std::string_view name, const Id<Tag>& id) {
  return {name, id.to_string()};
}

/// Where lines go. `write` is only ever called by the writer's thread, with whole lines that end in a
/// newline.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual Result<> write(std::string_view lines) = 0;
  /// The format that this sink wants.
  virtual Format format() const = 0;
};

/// Standard error; `text` is coloured when `color` says so.
enum class Color { off, on };
std::unique_ptr<Sink> stderr_sink(Format format = Format::json, Color color = Color::off);

/// A file that is renamed to `<path>.1`, `.2`, … when it would grow above `max_size`.
struct FileSinkOptions {
  std::filesystem::path path;
  Bytes max_size = mebibytes(16);
  /// Old files that are kept.
  uint32_t keep = 4;
  Format format = Format::json;
};
/// Opens (0600, appended to). Children never inherit the descriptor.
Result<std::unique_ptr<Sink>> file_sink(FileSinkOptions options);

/// Sinks and bounds of a writer.
struct LogOptions {
  Level level = Level::info;
  std::vector<std::unique_ptr<Sink>> sinks;
  /// Lines that may wait for the writer; more are dropped and counted.
  size_t queue_lines = 8192;
  /// Bytes that may wait.
  Bytes queue_size = mebibytes(8);
  /// A longer message or text field is cut and ends in `…`.
  size_t max_text = 16384;
};

namespace detail {
struct LogState;
}

/// Writes lines. Cheap to copy, thread-safe, never blocks on a sink. A default Logger writes nothing.
/// Outlives its writer without harm: lines after `stop` are dropped.
class Logger {
 public:
  Logger() = default;
  /// A child whose lines all carry these fields too.
  template <std::same_as<Field>... Fields>
  Logger with(const Fields&... fields) const {
    return with_fields({fields...});
  }
  bool enabled(Level level) const;

  template <std::same_as<Field>... Fields>
  void debug(std::string_view message, const Fields&... fields) const {
    if (enabled(Level::debug)) write(Level::debug, message, {fields...});
  }
  template <std::same_as<Field>... Fields>
  void info(std::string_view message, const Fields&... fields) const {
    if (enabled(Level::info)) write(Level::info, message, {fields...});
  }
  template <std::same_as<Field>... Fields>
  void warn(std::string_view message, const Fields&... fields) const {
    if (enabled(Level::warn)) write(Level::warn, message, {fields...});
  }
  template <std::same_as<Field>... Fields>
  void error(std::string_view message, const Fields&... fields) const {
    if (enabled(Level::error)) write(Level::error, message, {fields...});
  }

 private:
  friend class LogWriter;
  explicit Logger(std::shared_ptr<detail::LogState> state) : state_(std::move(state)) {}
  Logger with_fields(std::initializer_list<Field> fields) const;
  void write(Level level, std::string_view message, std::initializer_list<Field> fields) const;

  std::shared_ptr<detail::LogState> state_;
  // The fixed fields, rendered once for each format.
  std::shared_ptr<const std::pair<std::string, std::string>> fixed_;
};

/// Owns the sinks and the thread that writes to them.
class LogWriter {
 public:
  LogWriter(LogOptions options, Clock& clock);
  ~LogWriter();  ///< stop()
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  /// The root logger.
  Logger logger() const;
  void set_level(Level level);
  /// Blocks until all lines that were queued before have reached the sinks.
  void flush();
  /// Writes what is queued and ends the thread. Idempotent.
  void stop();
  /// Lines that were dropped because the queue was full, since the start.
  uint64_t dropped() const;
  /// Writes that a sink refused, since the start.
  uint64_t failed_writes() const;

 private:
  std::shared_ptr<detail::LogState> state_;
};

}  // namespace gantry::telemetry

template <>
struct fmt::formatter<gantry::telemetry::Secret> : fmt::formatter<std::string_view> {
  auto format(const gantry::telemetry::Secret&, fmt::format_context& context) const {
    return fmt::formatter<std::string_view>::format(gantry::telemetry::redacted, context);
  }
};
