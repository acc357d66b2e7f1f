#include <pthread.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "telemetry/render.h"

namespace gantry::telemetry {
namespace {

constexpr std::array<std::string_view, 5> level_names{"debug", "info", "warn", "error", "off"};

}  // namespace

std::string_view to_string(Level level) { return level_names[static_cast<size_t>(level)]; }

Result<Level> parse_level(std::string_view text) {
  for (size_t i = 0; i < level_names.size(); ++i)
    if (level_names[i] == text) return static_cast<Level>(i);
  return fail(Code::invalid, "'{}' is not a log level: debug, info, warn, error or off", text.substr(0, 64));
}

Result<Format> parse_format(std::string_view text) {
  if (text == "json") return Format::json;
  if (text == "text") return Format::text;
  return fail(Code::invalid, "'{}' is not a log format: json or text", text.substr(0, 64));
}

Field field(std::string_view name, Duration value) {
  return {name, std::round(static_cast<double>(value.count()) / 1e3) / 1e3};
}

Field field(std::string_view name, const Error& error) {
  std::string_view id = to_string(error.id());
  return {name, fmt::format("{}{}{}: {}", to_string(error.code()), id.empty() ? "" : " ", id, error.reason())};
}

// What loggers and the writer's thread share.
struct detail::LogState {
  LogState(LogOptions its_options, Clock& its_clock)
      : clock(its_clock), options(std::move(its_options)), level(options.level), sinks(std::move(options.sinks)) {
    for (const auto& sink : sinks) (sink->format() == Format::json ? wants_json : wants_text) = true;
  }

  // One line in the formats that some sink wants.
  struct Line {
    std::string json;
    std::string text;
    size_t size() const { return json.size() + text.size(); }
  };

  Line render(const LineHead& head, std::string_view json_fields, std::string_view text_fields) const {
    Line line;
    if (wants_json) line.json = json_line(head, json_fields, options.max_text);
    if (wants_text) line.text = text_line(head, text_fields, options.max_text);
    return line;
  }

  // Takes a line if there is room and never waits for a sink: the lock is held for a few moves only.
  void push(Line line) {
    std::lock_guard lock(mutex);
    if (stopped) return;
    if (queue.size() >= options.queue_lines || queued_bytes + line.size() > options.queue_size.count) {
      ++dropped;
      ++unreported;
      return;
    }
    queued_bytes += line.size();
    queue.push_back(std::move(line));
    ++pushed;
    filled.notify_one();
  }

  // Takes everything that waits at once, so that a burst costs one write for each sink.
  void run() {
    std::unique_lock lock(mutex);
    while (true) {
      filled.wait(lock, [&] { return !queue.empty() || stopped; });
      if (queue.empty()) return;
      std::vector<Line> batch = std::exchange(queue, {});
      uint64_t lost = std::exchange(unreported, 0);
      queued_bytes = 0;
      lock.unlock();
      deliver(batch, lost);
      lock.lock();
      written += batch.size();
      drained.notify_all();
    }
  }

  // Without the lock: sinks may be slow, callers must not notice.
  void deliver(const std::vector<Line>& batch, uint64_t lost) {
    std::string json, text;
    for (const Line& line : batch) {
      json += line.json;
      text += line.text;
    }
    if (lost > 0) {
      Field count = field("lines", lost);
      std::span<const Field> fields(&count, 1);
      Line line = render({clock.now(), Level::warn, "log lines were dropped"}, render_json_fields(fields, 64),
                         render_text_fields(fields, 64));
      json += line.json;
      text += line.text;
    }
    for (const auto& sink : sinks)
      if (!sink->write(sink->format() == Format::json ? json : text)) ++failed_writes;
  }

  Clock& clock;
  LogOptions options;
  std::atomic<Level> level;
  std::vector<std::unique_ptr<Sink>> sinks;
  bool wants_json = false;
  bool wants_text = false;
  std::atomic<uint64_t> dropped = 0;
  std::atomic<uint64_t> failed_writes = 0;

  std::mutex mutex;
  std::condition_variable filled;
  std::condition_variable drained;
  std::vector<Line> queue;
  size_t queued_bytes = 0;
  uint64_t unreported = 0;  // dropped since the last batch
  uint64_t pushed = 0;
  uint64_t written = 0;
  bool stopped = false;
  std::thread thread;
};

bool Logger::enabled(Level level) const { return state_ && level >= state_->level.load(std::memory_order_relaxed); }

// Fixed fields are rendered once, in both formats, because children outlive the question which is wanted.
Logger Logger::with_fields(std::initializer_list<Field> fields) const {
  if (!state_) return *this;
  Logger child = *this;
  std::span<const Field> span(fields.begin(), fields.size());
  auto rendered = std::make_shared<std::pair<std::string, std::string>>();
  if (fixed_) *rendered = *fixed_;
  rendered->first += render_json_fields(span, state_->options.max_text);
  rendered->second += render_text_fields(span, state_->options.max_text);
  child.fixed_ = std::move(rendered);
  return child;
}

void Logger::write(Level level, std::string_view message, std::initializer_list<Field> fields) const {
  std::span<const Field> span(fields.begin(), fields.size());
  std::string json_fields, text_fields;
  if (fixed_) {
    json_fields = fixed_->first;
    text_fields = fixed_->second;
  }
  if (state_->wants_json) json_fields += render_json_fields(span, state_->options.max_text);
  if (state_->wants_text) text_fields += render_text_fields(span, state_->options.max_text);
  state_->push(state_->render({state_->clock.now(), level, message}, json_fields, text_fields));
}

LogWriter::LogWriter(LogOptions options, Clock& clock)
    : state_(std::make_shared<detail::LogState>(std::move(options), clock)) {
  // SAFETY: the thread inherits the mask: signals are for the threads that expect them.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  state_->thread = std::thread([state = state_.get()] { state->run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_setname_np(state_->thread.native_handle(), "log");
}

LogWriter::~LogWriter() { stop(); }

Logger LogWriter::logger() const { return Logger(state_); }
void LogWriter::set_level(Level level) { state_->level = level; }

// Lines that were dropped are not waited for: they never entered the queue.
void LogWriter::flush() {
  std::unique_lock lock(state_->mutex);
  uint64_t wanted = state_->pushed;
  state_->drained.wait(lock, [&] { return state_->written >= wanted; });
}

void LogWriter::stop() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopped = true;
    state_->level = Level::off;
    state_->filled.notify_all();
  }
  if (state_->thread.joinable()) state_->thread.join();
}

uint64_t LogWriter::dropped() const { return state_->dropped; }
uint64_t LogWriter::failed_writes() const { return state_->failed_writes; }

}  // namespace gantry::telemetry
