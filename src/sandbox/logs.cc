#include "sandbox/logs.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <deque>

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
};

std::optional<LogFile> open_log(const os::Fd& directory, const std::string& name) {
  auto fd = os::open_beneath(directory, name, O_RDONLY, os::Beneath::regular_file);
  if (!fd) return std::nullopt;
  struct statx status{};
  if (::statx(fd->get(), "", AT_EMPTY_PATH, STATX_INO | STATX_SIZE | STATX_BTIME, &status) != 0) return std::nullopt;
  uint64_t born = static_cast<uint64_t>(status.stx_btime.tv_sec) * 1'000'000'000 + status.stx_btime.tv_nsec;
  return LogFile{*std::move(fd), status.stx_ino, born, status.stx_size};
}

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
  return LogLine{time_from_unix_ms(ms), line[1] == 'o' ? Stream::out : Stream::err, std::string(line.substr(3))};
}

// Collects the lines that a query wants.
class Collector {
 public:
  explicit Collector(const LogQuery& query) : query_(query) {}

  /// False if the answer is full; the line is then not part of it.
  bool add(std::string_view text) {
    auto line = parse_line(text);
    if (!line || (query_.since && line->time < *query_.since)) return true;
    if (query_.tail) {
      if (*query_.tail == 0) return true;
      if (lines_.size() == std::min(*query_.tail, query_.max_lines)) lines_.pop_front();
    } else if (lines_.size() == query_.max_lines) {
      return false;
    }
    lines_.push_back(*std::move(line));
    return true;
  }
  std::vector<LogLine> take() && {
    return {std::make_move_iterator(lines_.begin()), std::make_move_iterator(lines_.end())};
  }

 private:
  const LogQuery& query_;
  std::deque<LogLine> lines_;
};

// Where the next complete line of the file begins after all that was collected.
struct Scanned {
  uint64_t offset = 0;
  bool full = false;
};

// Whether `offset` is at the start of a line or anywhere.
enum class Begin { at_line, anywhere };

Result<Scanned> scan(const LogFile& file, uint64_t offset, Begin begin, Collector& collector) {
  std::string buffer(block_bytes, '\0');
  while (offset < file.size) {
    GANTRY_TRY(size_t got, os::pread_all(file.fd, buffer, offset));
    std::string_view rest(buffer.data(), got);
    while (true) {
      size_t feed = rest.find('\n');
      if (feed == std::string_view::npos) break;
      // The end of a line that began before is not a line.
      if (begin == Begin::at_line && !collector.add(rest.substr(0, feed))) return Scanned{offset, true};
      begin = Begin::at_line;
      rest.remove_prefix(feed + 1);
      offset += feed + 1;
    }
    // The rest is the beginning of a line: of the next block, or one that is being written.
    if (rest.size() > longest_line)
      offset += rest.size();
    else if (got < block_bytes)
      break;
  }
  return Scanned{offset, false};
}

// A tail needs only the end of the newest files: `longest_line` bytes a line are always enough, and a
// bounded number of lines is asked for.
uint64_t tail_start(const LogFile& file, size_t lines) {
  uint64_t enough = (static_cast<uint64_t>(lines) + 1) * longest_line;
  return file.size > enough ? file.size - enough : 0;
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
    uint64_t start = i == first ? offset : 0;
    uint64_t tail = query.tail ? tail_start(file, std::min(*query.tail, query.max_lines)) : 0;
    Begin begin = tail > start ? Begin::anywhere : Begin::at_line;
    GANTRY_TRY(Scanned scanned, scan(file, std::max(start, tail), begin, collector));
    chunk.next = {file.id, file.born, scanned.offset};
    chunk.more = scanned.full;
    if (scanned.full) break;
  }
  chunk.lines = std::move(collector).take();
  return chunk;
}

}  // namespace gantry::sandbox
