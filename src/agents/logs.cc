#include "agents/logs.h"

#include <algorithm>
#include <deque>
#include <map>

#include "sandbox/sandbox.h"

namespace gantry::agents {
namespace {

/// Between two looks at the files while following.
constexpr Duration poll_interval = std::chrono::milliseconds(200);

struct Source {
  InstanceId instance;
  uint32_t replica = 0;
};

// Lines of one moment stay as they were written. (std::stable_sort of libstdc++ 12 uses what C++23 deprecates.)
std::vector<LogLine> by_time(std::vector<LogLine> lines) {
  std::vector<std::pair<Time, size_t>> order;
  order.reserve(lines.size());
  for (size_t i = 0; i < lines.size(); ++i) order.emplace_back(lines[i].time, i);
  std::ranges::sort(order);
  std::vector<LogLine> sorted;
  sorted.reserve(lines.size());
  for (const auto& [time, i] : order) sorted.push_back(std::move(lines[i]));
  return sorted;
}

class FileLogReader final : public LogReader {
 public:
  FileLogReader(std::shared_ptr<Actor> actor, ActorWorld& world, LogOptions options, size_t lines_at_once)
      : actor_(std::move(actor)), world_(world), options_(std::move(options)), lines_at_once_(lines_at_once) {}

  Task<Result<std::vector<LogLine>>> next(Duration patience) override;
  bool ended() const override { return ended_; }

 private:
  std::vector<Source> sources() const;
  /// One look at every file: what was written since the last one. Blocks.
  Result<std::vector<LogLine>> read();
  Result<> read_one(const Source& source, std::vector<LogLine>& lines);
  bool matches(const sandbox::LogLine& line) const;

  const std::shared_ptr<Actor> actor_;
  ActorWorld& world_;
  const LogOptions options_;
  const size_t lines_at_once_;
  std::map<InstanceId, sandbox::LogCursor> cursors_;
  bool first_ = true;
  bool more_ = false;
  bool ended_ = false;
};

std::vector<Source> FileLogReader::sources() const {
  std::vector<Source> all;
  for (const InstanceView& instance : actor_->published()->agent.instances)
    if (!options_.instance.has_value() || *options_.instance == instance.id)
      all.push_back({instance.id, instance.replica});
  return all;
}

bool FileLogReader::matches(const sandbox::LogLine& line) const {
  if (options_.since.has_value() && line.time < *options_.since) return false;
  if (!options_.stream.empty() && options_.stream != sandbox::to_string(line.stream)) return false;
  return options_.filter.empty() || line.text.find(options_.filter) != std::string::npos;
}

Result<> FileLogReader::read_one(const Source& source, std::vector<LogLine>& lines) {
  // With a tail the whole file is looked at once: its last lines are not its last matching lines.
  std::deque<LogLine> kept;
  const bool takes_tail = first_ && options_.tail.has_value();
  for (;;) {
    sandbox::LogQuery query{.since = options_.since, .max_lines = lines_at_once_};
    if (auto cursor = cursors_.find(source.instance); cursor != cursors_.end()) query.after = cursor->second;
    GANTRY_TRY(sandbox::LogChunk chunk, sandbox::read_logs(world_.places.instance(source.instance), query));
    cursors_[source.instance] = chunk.next;
    for (sandbox::LogLine& line : chunk.lines) {
      if (!matches(line)) continue;
      kept.push_back({line.time, source.instance, source.replica, std::string(sandbox::to_string(line.stream)),
                      std::move(line.text)});
      if (takes_tail && kept.size() > *options_.tail) kept.pop_front();
    }
    more_ |= chunk.more;
    if (!chunk.more || !takes_tail) break;
  }
  std::ranges::move(kept, std::back_inserter(lines));
  return {};
}

Result<std::vector<LogLine>> FileLogReader::read() {
  std::vector<LogLine> lines;
  more_ = false;
  for (const Source& source : sources()) GANTRY_TRY_VOID(read_one(source, lines));
  lines = by_time(std::move(lines));
  if (first_ && options_.tail.has_value()) {
    more_ = false;
    if (lines.size() > *options_.tail) lines.erase(lines.begin(), lines.end() - static_cast<int64_t>(*options_.tail));
  }
  first_ = false;
  return lines;
}

Task<Result<std::vector<LogLine>>> FileLogReader::next(Duration patience) {
  const SteadyTime deadline = world_.parts.clock.steady() + patience;
  while (!ended_) {
    auto looked = co_await world_.parts.blocking.run([this] { return read(); });
    if (!looked.has_value()) co_return std::unexpected(std::move(looked).error());
    if (!looked->has_value()) co_return std::unexpected(std::move(*looked).error());
    const bool follows = options_.follow == LogOptions::Follow::yes && !actor_->published()->gone;
    if (!follows && !more_) ended_ = true;
    if (!(*looked)->empty()) co_return std::move(**looked);
    if (more_) continue;
    if (ended_ || world_.parts.clock.steady() + poll_interval > deadline) break;
    co_await sleep_for(poll_interval);
  }
  co_return std::vector<LogLine>();
}

}  // namespace

std::unique_ptr<LogReader> make_log_reader(std::shared_ptr<Actor> actor, ActorWorld& world, LogOptions options,
                                           size_t lines_at_once) {
  return std::make_unique<FileLogReader>(std::move(actor), world, std::move(options), lines_at_once);
}

}  // namespace gantry::agents
