#include <sys/stat.h>
#include <unistd.h>

#include "os/os.h"
#include "telemetry/telemetry.h"

namespace gantry::telemetry {
namespace {

std::string_view color_of(std::string_view line) {
  // A text line is the time (24 characters), a space and the level.
  std::string_view level = line.size() > 25 ? line.substr(25) : std::string_view();
  if (level.starts_with("error")) return "\x1b[31m";
  if (level.starts_with("warn")) return "\x1b[33m";
  if (level.starts_with("debug")) return "\x1b[2m";
  return "\x1b[32m";
}

std::string colored(std::string_view lines) {
  std::string out;
  while (!lines.empty()) {
    size_t size = std::min(lines.find('\n'), lines.size() - 1) + 1;
    std::string_view line = lines.substr(0, size);
    if (line.size() > 30)
      out.append(line.substr(0, 25))
          .append(color_of(line))
          .append(line.substr(25, 5))
          .append("\x1b[0m")
          .append(line.substr(30));
    else
      out += line;
    lines.remove_prefix(size);
  }
  return out;
}

// Colours are added here and not by the renderer: one rendering serves several text sinks.
class StderrSink final : public Sink {
 public:
  StderrSink(Format format, Color color) : stderr_(STDERR_FILENO), format_(format), color_(color) {}
  // Standard error belongs to the process and stays open.
  ~StderrSink() override { (void)stderr_.release(); }
  Result<> write(std::string_view lines) override {
    bool plain = color_ == Color::off || format_ == Format::json;
    return os::write_all(stderr_, plain ? lines : std::string_view(colored(lines)));
  }
  Format format() const override { return format_; }

 private:
  os::Fd stderr_;
  Format format_;
  Color color_;
};

// Not spdlog's rotating file: its descriptor is not close-on-exec in Debian's build, and every sandbox
// would inherit the log.
class FileSink final : public Sink {
 public:
  explicit FileSink(FileSinkOptions options) : options_(std::move(options)) {}

  Result<> open() {
    // O_APPEND, so that a second writer does not write over the first.
    GANTRY_TRY(fd_, os::open_file(options_.path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY, 0600));
    struct stat status{};
    // SAFETY: fills a struct of ours.
    size_ = ::fstat(fd_.get(), &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
    return {};
  }

  Result<> write(std::string_view lines) override {
    // Parts of whole lines, so that a file ends where a line does.
    while (!lines.empty()) {
      GANTRY_TRY_VOID(make_room(lines));
      std::string_view part = lines.substr(0, part_size(lines));
      GANTRY_TRY_VOID(os::write_all(fd_, part));
      size_ += part.size();
      lines.remove_prefix(part.size());
    }
    return {};
  }
  Format format() const override { return options_.format; }

 private:
  uint64_t room() const { return size_ < options_.max_size.count ? options_.max_size.count - size_ : 0; }

  // The whole lines that fit into the file; a line longer than a file goes into one of its own.
  size_t part_size(std::string_view lines) const {
    if (lines.size() <= room()) return lines.size();
    size_t end = lines.substr(0, room()).rfind('\n');
    return end != lines.npos ? end + 1 : std::min(lines.find('\n'), lines.size() - 1) + 1;
  }

  Result<> make_room(std::string_view lines) {
    size_t first_line = std::min(lines.find('\n'), lines.size() - 1) + 1;
    if (fd_ && (size_ == 0 || first_line <= room())) return {};
    if (fd_) rotate();
    return open();
  }

  // x.2 → x.3, x.1 → x.2, x → x.1; the oldest is written over.
  void rotate() {
    fd_.reset();
    auto numbered = [&](uint32_t n) {
      return n == 0 ? options_.path.string() : fmt::format("{}.{}", options_.path.string(), n);
    };
    for (uint32_t n = options_.keep; n > 0; --n) ::rename(numbered(n - 1).c_str(), numbered(n).c_str());
    if (options_.keep == 0) ::unlink(options_.path.c_str());
  }

  FileSinkOptions options_;
  os::Fd fd_;
  uint64_t size_ = 0;
};

}  // namespace

std::unique_ptr<Sink> stderr_sink(Format format, Color color) { return std::make_unique<StderrSink>(format, color); }

Result<std::unique_ptr<Sink>> file_sink(FileSinkOptions options) {
  auto sink = std::make_unique<FileSink>(std::move(options));
  GANTRY_TRY_VOID(sink->open());
  return sink;
}

}  // namespace gantry::telemetry
