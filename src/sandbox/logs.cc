#include "sandbox/logs.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>

#include "os/os.h"

namespace gantry::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t most_files = 100;
constexpr size_t block_bytes = size_t{256} << 10;
// The shim cuts lines at 16 KiB; a longer one is not its work.
constexpr size_t longest_line = size_t{17} << 10;

// One file of the rotation.
struct LogFile {
  os::Fd fd;
  uint64_t id = 0;
  uint64_t born = 0;
  uint64_t size = 0;
  Time written;  // the last time
};

std::optional<LogFile> open_log(const os::Fd& directory, const std::string& name) {
  auto fd = os::open_beneath(directory, name, O_RDONLY, os::Beneath::regular_file);
  if (!fd) return std::nullopt;
  struct statx status{};
  if (::statx(fd->get(), "", AT_EMPTY_PATH, STATX_INO | STATX_SIZE | STATX_BTIME | STATX_MTIME, &status) != 0)
    return std::nullopt;
  uint64_t born = static_cast<uint64_t>(status.stx_btime.tv_sec) * 1'000'000'000 + status.stx_btime.tv_nsec;
  return LogFile{*std::move(fd), status.stx_ino, born, status.stx_size,
                 Time(std::chrono::seconds(status.stx_mtime.tv_sec + 1))};
}

LogCursor place_in(const LogFile& file, uint64_t offset) { return {file.id, file.born, offset}; }

// Oldest first. A rotation meanwhile may show one file twice or not at all; twice is seen by its id.
std::vector<LogFile> open_logs(const os::Fd& directory) {
  std::vector<LogFile> files;
  auto add = [&](const std::string& name) {
    auto file = open_log(directory, name);
    if (!file) return false;
    bool seen = std::ranges::any_of(files, [&](const LogFile& other) { return other.id == file->id; });
    if (!seen) files.push_back(*std::move(file));
    return true;
  };
  add("current.log");
  for (uint32_t number = 1; number < most_files && add(std::to_string(number) + ".log"); ++number) {
  }
  std::ranges::reverse(files);
  return files;
}

// `<unix_ms> <o|e> <text>`; nullopt for anything else.
std::optional<LogLine> parse_line(std::string_view line) {
  int64_t ms = 0;
  auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), ms);
  if (error != std::errc{}) return std::nullopt;
  line.remove_prefix(static_cast<size_t>(end - line.data()));
  bool shaped = line.size() >= 3 && line[0] == ' ' && (line[1] == 'o' || line[1] == 'e') && line[2] == ' ';
  if (!shaped) return std::nullopt;
  return LogLine{time_from_unix_ms(ms), line[1] == 'o' ? Stream::out : Stream::err, std::string(line.substr(3)), {}};
}

// Collects the lines that a query wants.
class Collector {
 public:
  explicit Collector(const LogQuery& query) : query_(query) {}

  /// False if the answer is full; the line is then not part of it.
  bool add(std::string_view text, const LogCursor& at) {
    if (looked_at_ >= query_.max_bytes) return false;
    looked_at_ += text.size() + 1;
    auto line = parse_line(text);
    if (line) line->at = at;
    if (!line || (query_.since && line->time < *query_.since)) return true;
    if (lines_.size() == query_.max_lines) return false;
    lines_.push_back(*std::move(line));
    return true;
  }
  std::vector<LogLine> take() && { return std::move(lines_); }

 private:
  const LogQuery& query_;
  std::vector<LogLine> lines_;
  size_t looked_at_ = 0;  // bytes
};

// Where the next complete line of the file begins after all that was collected.
struct Scanned {
  uint64_t offset = 0;
  bool full = false;
};

Result<Scanned> scan(const LogFile& file, uint64_t offset, Collector& collector) {
  std::string buffer(std::min<uint64_t>(block_bytes, file.size - std::min(offset, file.size)), '\0');
  while (offset < file.size) {
    GANTRY_TRY(size_t got, os::pread_all(file.fd, buffer, offset));
    std::string_view rest(buffer.data(), got);
    while (true) {
      size_t feed = rest.find('\n');
      if (feed == std::string_view::npos) break;
      if (!collector.add(rest.substr(0, feed), place_in(file, offset))) return Scanned{offset, true};
      rest.remove_prefix(feed + 1);
      offset += feed + 1;
    }
    // The rest is the beginning of a line: of the next block, or one that is being written.
    if (rest.size() > longest_line)
      offset += rest.size();
    else if (got < buffer.size() || offset + rest.size() >= file.size)
      break;
  }
  return Scanned{offset, false};
}

}  // namespace

std::string_view to_string(Stream stream) { return stream == Stream::out ? "stdout" : "stderr"; }

Result<LogChunk> read_logs(const fs::path& instance_dir, const LogQuery& query) {
  LogChunk chunk;
  if (query.after) chunk.next = *query.after;
  auto directory = os::open_directory(instance_dir / "logs");
  if (!directory) {
    if (directory.error().code() == Code::not_found) return chunk;
    return std::unexpected(std::move(directory).error());
  }
  std::vector<LogFile> files = open_logs(*directory);
  size_t first = 0;
  uint64_t offset = 0;
  if (query.after && query.after->file != 0) {
    auto at = std::ranges::find_if(files, [&](const LogFile& file) {
      return file.id == query.after->file && file.born == query.after->file_time;
    });
    chunk.skipped = at == files.end() && !files.empty();
    if (at != files.end()) {
      first = static_cast<size_t>(at - files.begin());
      offset = query.after->offset;
    }
  }
  Collector collector(query);
  for (size_t i = first; i < files.size(); ++i) {
    const LogFile& file = files[i];
    // What was written for the last time before that holds no line that is wanted.
    if (query.since && file.written < *query.since && i + 1 < files.size()) continue;
    GANTRY_TRY(Scanned scanned, scan(file, i == first ? offset : 0, collector));
    chunk.next = place_in(file, scanned.offset);
    chunk.more = scanned.full;
    if (scanned.full) break;
  }
  chunk.lines = std::move(collector).take();
  return chunk;
}

namespace {

// Adds the whole lines of `file` that end at or before `end`, newest first, out of one block. Where the oldest begins.
Result<uint64_t> scan_back(const LogFile& file, uint64_t end, size_t max_bytes, LogsBefore& answer) {
  const uint64_t begin = end - std::min<uint64_t>(end, max_bytes);
  std::string buffer(end - begin, '\0');
  GANTRY_TRY(size_t got, os::pread_all(file.fd, buffer, begin));
  std::string_view rest(buffer.data(), got);
  // Behind the last line feed is the beginning of a line that is being written.
  rest = rest.substr(0, rest.rfind('\n') + 1);
  if (answer.end == LogCursor()) answer.end = place_in(file, begin + rest.size());
  if (rest.empty()) return begin;
  while (true) {
    const std::string_view without_end = rest.substr(0, rest.size() - 1);
    const size_t feed = without_end.rfind('\n');
    // The first line of the block is whole only at the start of the file.
    if (feed == std::string_view::npos && begin > 0) return begin + rest.size();
    const size_t start = feed == std::string_view::npos ? 0 : feed + 1;
    if (auto line = parse_line(without_end.substr(start))) {
      line->at = place_in(file, begin + start);
      answer.lines.push_back(*std::move(line));
    }
    rest = rest.substr(0, start);
    if (rest.empty()) return begin;
  }
}

}  // namespace

Result<LogsBefore> read_logs_before(const fs::path& instance_dir, const std::optional<LogCursor>& before,
                                    size_t max_bytes) {
  LogsBefore answer;
  if (before) answer.next = *before;
  auto directory = os::open_directory(instance_dir / "logs");
  if (!directory) {
    if (directory.error().code() == Code::not_found) return answer;
    return std::unexpected(std::move(directory).error());
  }
  std::vector<LogFile> files = open_logs(*directory);
  size_t last = files.size();
  if (before) {
    auto at = std::ranges::find_if(
        files, [&](const LogFile& file) { return file.id == before->file && file.born == before->file_time; });
    // Rotated away, and with it all that is older.
    if (at == files.end()) return answer;
    last = static_cast<size_t>(at - files.begin()) + 1;
  }
  // A block must hold more than one line, or reading would stand still.
  const size_t block = std::max(max_bytes, 2 * longest_line);
  for (size_t i = last; i-- > 0;) {
    const bool is_named = before && i + 1 == last;
    const uint64_t end = is_named ? std::min(before->offset, files[i].size) : files[i].size;
    if (end == 0) continue;
    GANTRY_TRY(uint64_t begin, scan_back(files[i], end, block, answer));
    // A block of nothing but one long line is no work of the shim.
    if (begin == end) begin = end - std::min<uint64_t>(end, block);
    answer.next = place_in(files[i], begin);
    answer.more = begin > 0 || i > 0;
    return answer;
  }
  return answer;
}

bool has_newer_logs(const fs::path& instance_dir, const LogCursor& after) {
  auto directory = os::open_directory(instance_dir / "logs");
  if (!directory) return false;
  auto newest = open_log(*directory, "current.log");
  return !newest || newest->id != after.file || newest->born != after.file_time || newest->size > after.offset;
}

}  // namespace gantry::sandbox
