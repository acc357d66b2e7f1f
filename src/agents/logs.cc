#include "agents/logs.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "sandbox/sandbox.h"

namespace gantry::agents {
namespace {

/// Between two looks at the files while following.
constexpr Duration poll_interval = std::chrono::milliseconds(200);
/// Within this time after it was written a line is in its file.
constexpr Duration write_delay = std::chrono::milliseconds(50);
constexpr size_t smallest_chunk = size_t{64} << 10;
constexpr size_t largest_chunk = size_t{256} << 10;

/// One instance, and what was read of it but not handed out.
struct Source {
  std::string agent;
  uint32_t replica = 0;
  std::filesystem::path directory;
  sandbox::LogCursor cursor;
  std::deque<sandbox::LogLine> lines;
  uint64_t round = 0;  // in which `lines` were read
  bool hungry = true;  // its file may hold more
  bool listed = true;  // its agent still has this instance

  // While the tail is looked for, from the end backwards.
  struct Head {
    Time time;
    sandbox::LogCursor at;
  };
  std::optional<sandbox::LogCursor> before;
  std::deque<Head> heads;
  bool older = true;
};

/// Lines of equal time come in the order of agent and replica; the id tells an old instance from its successor.
using Key = std::tuple<std::string, uint32_t, InstanceId>;
using Sources = std::map<Key, Source>;

class FileLogReader final : public LogReader {
 public:
  FileLogReader(LogSources from, Scope scope, LogOptions options, LogFilter filter, std::vector<LogInstance> wanted)
      : from_(from),
        scope_(std::move(scope)),
        options_(std::move(options)),
        filter_(std::move(filter)),
        wanted_(std::move(wanted)),
        follows_(options_.follow == LogOptions::Follow::yes) {
    if (follows_) ++*from_.world.log_followers;
    if (!follows_ && options_.tail.has_value()) left_ = *options_.tail;
    tail_done_ = !options_.tail.has_value();
  }
  ~FileLogReader() override {
    if (follows_) --*from_.world.log_followers;
  }

  /// Finds the instances for the first time.
  Result<> open();
  Task<Result<std::vector<LogLine>>> next(Duration patience) override;
  bool ended() const override { return ended_; }

 private:
  Clock& clock() const { return from_.world.parts.clock; }
  std::vector<std::shared_ptr<Actor>> actors() const;
  bool is_wanted(const std::string& agent, const InstanceView& instance) const;
  void refresh();
  size_t chunk_bytes() const {
    return std::clamp(from_.limits.memory / std::max<size_t>(1, sources_.size()), smallest_chunk, largest_chunk);
  }

  /// One bounded look at the files. Blocks.
  Result<std::vector<LogLine>> look();
  void begin_round();
  Result<> seek_tail(size_t& budget);
  Result<> read_back(Source& source, size_t& budget);
  Result<bool> feed(size_t& budget);
  Result<> read_on(Source& source, size_t& budget);
  bool may_go(const Source& source) const;

  const LogSources from_;
  const Scope scope_;
  const LogOptions options_;
  const LogFilter filter_;
  const std::vector<LogInstance> wanted_;
  const bool follows_;

  Sources sources_;
  std::set<std::pair<Time, Key>> heads_;  // the first line of each source that has one
  std::set<std::pair<Time, Key>> tails_;  // the same for the search of the tail
  bool tail_done_ = false;
  size_t tail_taken_ = 0;
  std::optional<size_t> left_;  // lines that may still be handed out
  uint64_t round_ = 0;
  Time horizon_;  // later lines wait for what others may still write before them
  bool last_round_ = false;
  bool more_ = false;  // the round is not finished
  bool ended_ = false;
};

// ---- Which instances ---------------------------------------------------------------------------

std::vector<std::shared_ptr<Actor>> FileLogReader::actors() const {
  std::vector<std::shared_ptr<Actor>> found;
  if (options_.agents.empty()) {
    from_.registry.each(scope_, "", [&](const std::shared_ptr<Actor>& actor) {
      found.push_back(actor);
      return true;
    });
    return found;
  }
  for (const std::string& name : options_.agents)
    if (auto actor = from_.registry.find(scope_, name); actor != nullptr) found.push_back(std::move(actor));
  return found;
}

bool FileLogReader::is_wanted(const std::string& agent, const InstanceView& instance) const {
  if (wanted_.empty()) return true;
  return std::ranges::any_of(wanted_, [&](const LogInstance& one) {
    return one.id.has_value() ? *one.id == instance.id : one.agent == agent && one.replica == instance.replica;
  });
}

void FileLogReader::refresh() {
  for (auto& [key, source] : sources_) source.listed = false;
  for (const std::shared_ptr<Actor>& actor : actors()) {
    const auto published = actor->published();
    for (const InstanceView& instance : published->agent.instances) {
      if (!is_wanted(published->agent.name, instance)) continue;
      const Key key{published->agent.name, instance.replica, instance.id};
      auto found = sources_.find(key);
      // Beyond the bound a follower goes on with those that it has; `open` refused to begin so.
      if (found == sources_.end() && sources_.size() >= from_.limits.max_instances && round_ > 0) continue;
      if (found == sources_.end()) {
        found = sources_.emplace(key, Source{.agent = published->agent.name, .replica = instance.replica}).first;
        found->second.directory = from_.world.places.instance(instance.id);
      }
      found->second.listed = true;
    }
  }
  // An instance that is gone is read until its files are.
  std::erase_if(sources_, [](const auto& entry) {
    const Source& source = entry.second;
    std::error_code ignored;
    return !source.listed && source.lines.empty() && !std::filesystem::exists(source.directory, ignored);
  });
}

Result<> FileLogReader::open() {
  refresh();
  for (const LogInstance& one : wanted_) {
    const bool is_there = std::ranges::any_of(sources_, [&](const auto& entry) {
      const auto& [agent, replica, id] = entry.first;
      return one.id.has_value() ? *one.id == id : one.agent == agent && one.replica == replica;
    });
    if (is_there) continue;
    const std::string name = one.id ? one.id->to_string() : fmt::format("{}/{}", one.agent, one.replica);
    return std::unexpected(
        Error(Code::not_found,
              fmt::format("there is no instance {} of {}", name,
                          options_.agents.empty() ? "any agent" : fmt::format("{}", fmt::join(options_.agents, ", "))))
            .with_hint("gantry inspect NAME shows the instances of an agent"));
  }
  if (sources_.size() > from_.limits.max_instances)
    return std::unexpected(Error(ErrorId::GR0511, fmt::format("{} instances cannot be merged at once, at most {} can",
                                                              sources_.size(), from_.limits.max_instances))
                               .with_hint("name some of the agents, or narrow it down with instance"));
  return {};
}

// ---- The last lines ----------------------------------------------------------------------------

Result<> FileLogReader::read_back(Source& source, size_t& budget) {
  while (source.heads.empty() && source.older && budget > 0) {
    GANTRY_TRY(sandbox::LogsBefore chunk, sandbox::read_logs_before(source.directory, source.before, chunk_bytes()));
    budget -= std::min(budget, chunk_bytes());
    if (!source.before.has_value()) source.cursor = chunk.end;
    source.before = chunk.next;
    source.older = chunk.more;
    for (const sandbox::LogLine& line : chunk.lines) {
      if (filter_.matches(line)) source.heads.push_back({line.time, line.at});
      if (filter_.is_past(line)) source.older = false;
    }
  }
  return {};
}

// Takes the newest of all heads until there are enough; where each source has its oldest one taken, reading begins.
Result<> FileLogReader::seek_tail(size_t& budget) {
  const auto offer = [&](const Key& key, const Source& source) {
    if (!source.heads.empty()) tails_.emplace(source.heads.front().time, key);
  };
  for (auto& [key, source] : sources_) {
    const bool was_empty = source.heads.empty();
    GANTRY_TRY_VOID(read_back(source, budget));
    if (source.heads.empty() && source.older) return {};
    if (was_empty) offer(key, source);
  }
  while (!tails_.empty() && tail_taken_ < *options_.tail) {
    auto newest = std::prev(tails_.end());
    const Key key = newest->second;
    tails_.erase(newest);
    Source& source = sources_.at(key);
    source.cursor = source.heads.front().at;
    source.heads.pop_front();
    ++tail_taken_;
    GANTRY_TRY_VOID(read_back(source, budget));
    if (source.heads.empty() && source.older) return {};
    offer(key, source);
  }
  tail_done_ = true;
  tails_.clear();
  for (auto& [key, source] : sources_) source.heads.clear();
  return {};
}

// ---- Forward -----------------------------------------------------------------------------------

Result<> FileLogReader::read_on(Source& source, size_t& budget) {
  while (source.lines.empty() && source.hungry && budget > 0) {
    const sandbox::LogQuery query{.after = source.cursor,
                                  .since = filter_.since(),
                                  .max_lines = from_.limits.lines_at_once,
                                  .max_bytes = chunk_bytes()};
    GANTRY_TRY(sandbox::LogChunk chunk, sandbox::read_logs(source.directory, query));
    size_t bytes = 1;
    for (sandbox::LogLine& line : chunk.lines) {
      bytes += line.text.size();
      if (filter_.matches(line)) source.lines.push_back(std::move(line));
    }
    budget -= std::min(budget, chunk.more && chunk.lines.size() < from_.limits.lines_at_once ? chunk_bytes() : bytes);
    source.cursor = chunk.next;
    source.hungry = chunk.more;
    source.round = round_;
  }
  return {};
}

// Reads for every source that has nothing; false if the budget did not suffice.
Result<bool> FileLogReader::feed(size_t& budget) {
  for (auto& [key, source] : sources_) {
    if (!source.lines.empty() || !source.hungry) continue;
    GANTRY_TRY_VOID(read_on(source, budget));
    if (source.lines.empty() && source.hungry) return false;
    if (!source.lines.empty()) heads_.emplace(source.lines.front().time, key);
  }
  return true;
}

// A line waits for at most one round, however wrong its clock is.
bool FileLogReader::may_go(const Source& source) const {
  return !follows_ || last_round_ || source.round < round_ || source.lines.front().time <= horizon_;
}

void FileLogReader::begin_round() {
  const Time now = clock().now();
  horizon_ = now - write_delay;
  last_round_ = !follows_ || (options_.until.has_value() && now > *options_.until + write_delay);
  if (!options_.agents.empty() && actors().empty()) last_round_ = true;
  if (round_ > 0) refresh();
  ++round_;
  for (auto& [key, source] : sources_)
    source.hungry = source.hungry || sandbox::has_newer_logs(source.directory, source.cursor);
  more_ = true;
}

Result<std::vector<LogLine>> FileLogReader::look() {
  std::vector<LogLine> answer;
  size_t budget = from_.limits.bytes_at_once;
  if (!more_) begin_round();
  if (!tail_done_) GANTRY_TRY_VOID(seek_tail(budget));
  if (!tail_done_) return answer;
  GANTRY_TRY(bool fed, feed(budget));
  while (fed && !heads_.empty() && answer.size() < from_.limits.lines_at_once && left_ != size_t{0}) {
    const Key key = heads_.begin()->second;
    Source& source = sources_.at(key);
    // What is behind the horizon stays for the next round, and so do all that are later.
    if (!may_go(source)) break;
    heads_.erase(heads_.begin());
    sandbox::LogLine& line = source.lines.front();
    answer.push_back({line.time, source.agent, std::get<InstanceId>(key), source.replica,
                      std::string(sandbox::to_string(line.stream)), std::move(line.text)});
    source.lines.pop_front();
    if (left_.has_value()) --*left_;
    if (source.lines.empty()) GANTRY_TRY_VOID(read_on(source, budget));
    if (source.lines.empty() && source.hungry) fed = false;
    if (!source.lines.empty()) heads_.emplace(source.lines.front().time, key);
  }
  const bool is_full = answer.size() == from_.limits.lines_at_once;
  more_ = !fed || (is_full && !heads_.empty());
  if (left_ == size_t{0} || (last_round_ && !more_)) ended_ = true;
  return answer;
}

Task<Result<std::vector<LogLine>>> FileLogReader::next(Duration patience) {
  const SteadyTime deadline = clock().steady() + patience;
  while (!ended_) {
    auto looked = co_await from_.world.parts.blocking.run([this] { return look(); });
    if (!looked.has_value()) co_return std::unexpected(std::move(looked).error());
    if (!looked->has_value()) co_return std::unexpected(std::move(*looked).error());
    if (!(*looked)->empty()) co_return std::move(**looked);
    if (ended_ || clock().steady() + (more_ ? Duration::zero() : poll_interval) > deadline) break;
    if (!more_) co_await sleep_for(poll_interval);
  }
  co_return std::vector<LogLine>();
}

}  // namespace

Result<std::unique_ptr<LogReader>> make_log_reader(LogSources sources, Scope scope, LogOptions options) {
  GANTRY_TRY(LogFilter filter, LogFilter::make(options));
  std::vector<LogInstance> wanted;
  for (const std::string& text : options.instances) {
    GANTRY_TRY(LogInstance one, parse_log_instance(text));
    wanted.push_back(std::move(one));
  }
  auto reader = std::make_unique<FileLogReader>(sources, std::move(scope), std::move(options), std::move(filter),
                                                std::move(wanted));
  GANTRY_TRY_VOID(reader->open());
  return reader;
}

}  // namespace gantry::agents
