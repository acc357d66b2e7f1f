#include "cli/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace gantry::cli {
namespace {

constexpr size_t ready_line_limit = 64 * 1024;
constexpr size_t shown_log_lines = 15;

struct Pipe {
  os::Fd read_end;
  os::Fd write_end;
};

Result<Pipe> make_pipe() {
  int ends[2];
  // SAFETY: pipe2 fills both or fails; each descriptor gets one owner.
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("create a pipe");
  return Pipe{os::Fd(ends[0]), os::Fd(ends[1])};
}

enum class Readable { data, ended, timeout };

/// Appends what can be read within `patience`.
Result<Readable> read_more(const os::Fd& fd, std::string& into, Duration patience) {
  pollfd wait{fd.get(), POLLIN, 0};
  auto ms = std::chrono::ceil<std::chrono::milliseconds>(patience).count();
  // SAFETY: poll and read on a descriptor that we own; both report by errno.
  int found = ::poll(&wait, 1, static_cast<int>(std::clamp<int64_t>(ms, 0, 1'000'000)));
  if (found == 0) return Readable::timeout;
  if (found < 0) return errno == EINTR ? Result<Readable>(Readable::timeout) : fail_errno("wait for the server");
  char buffer[4096];
  ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
  if (got < 0) return fail_errno("read from the server");
  into.append(buffer, static_cast<size_t>(got));
  return got == 0 ? Readable::ended : Readable::data;
}

/// The first line that the child prints.
Result<std::string> first_line(const os::Fd& fd, SteadyTime deadline, Clock& clock) {
  std::string text;
  for (;;) {
    Duration left = deadline - clock.steady();
    if (left <= Duration::zero()) return fail(ErrorId::GR0807, "it said nothing in time");
    GANTRY_TRY(Readable state, read_more(fd, text, left));
    if (size_t end = text.find('\n'); end != std::string::npos) return text.substr(0, end);
    if (state == Readable::ended) return fail(ErrorId::GR0807, "it ended");
    if (text.size() > ready_line_limit) return fail(ErrorId::GR0807, "its first line does not end");
  }
}

/// The last lines that were written to the log after `from`.
std::string end_of_log(const std::filesystem::path& path, uint64_t from) {
  auto text = os::read_file(path, mebibytes(64));
  if (!text || text->size() <= from) return "";
  std::string_view fresh = std::string_view(*text).substr(from);
  size_t start = fresh.size();
  for (size_t lines = 0; start > 0 && lines <= shown_log_lines; ++lines) {
    size_t newline = fresh.rfind('\n', start - 1);
    start = newline == std::string_view::npos ? 0 : newline;
  }
  std::string out;
  for (std::string_view rest = fresh.substr(start); !rest.empty();) {
    size_t end = rest.find('\n');
    if (std::string_view line = rest.substr(0, end); !line.empty()) out += fmt::format("\n  {}", line);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  return out;
}

/// The longest file of stderr; before a start that finds more, it makes room.
constexpr uint64_t stderr_limit = uint64_t{1} << 20;

Result<os::Fd> open_stderr_file(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::file_size(path, ignored) > stderr_limit && !ignored)
    std::filesystem::rename(path, path.string() + ".1", ignored);
  return os::open_file(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
}

std::vector<std::string> environment_of_child() {
  std::vector<std::string> variables;
  // SAFETY: `environ` is a list of C strings that ends with a null pointer; nothing changes it here.
  for (char** one = ::environ; *one != nullptr; ++one) variables.emplace_back(*one);
  variables.push_back(fmt::format("{}=1", child_variable));
  return variables;
}

/// The error that the child told instead of its ready line.
std::optional<Error> failure_in(const json::Value& line) {
  const json::Value* told = json::find(line, "error");
  if (told == nullptr) return std::nullopt;
  auto text = [&](std::string_view name) { return json::get_string_or(*told, name, "").value_or(""); };
  const ErrorId id = error_id_from_string(text("id"));
  Error error =
      id == ErrorId::none ? Error(code_from_string(text("code")), text("message")) : Error(id, text("message"));
  return std::move(error).with_hint(text("hint"));
}

}  // namespace

std::string failure_line(const Error& error) {
  json::Object told{{"code", to_string(error.code())},
                    {"message", error.reason()},
                    {"hint", error.hint()},
                    {"id", to_string(error.id())}};
  return json::serialize(json::Object{{"error", std::move(told)}}) + "\n";
}

Result<ServerChild> ServerChild::start(const Options& options) {
  GANTRY_TRY(os::Fd log, open_stderr_file(options.log));
  const auto log_start = static_cast<uint64_t>(std::max<off_t>(0, ::lseek(log.get(), 0, SEEK_END)));
  GANTRY_TRY(os::Fd nothing, os::open_file("/dev/null", O_RDONLY));
  GANTRY_TRY(Pipe pipe, make_pipe());

  std::vector<std::string> arguments = {options.program.filename().string(), "up", "--output=json"};
  arguments.insert(arguments.end(), options.flags.begin(), options.flags.end());
  GANTRY_TRY(
      os::Process process,
      os::spawn_process(
          {.program = options.program,
           .arguments = std::move(arguments),
           .environment = environment_of_child(),
           .fds = {{nothing.get(), STDIN_FILENO}, {pipe.write_end.get(), STDOUT_FILENO}, {log.get(), STDERR_FILENO}},
           .session = os::Session::own}));
  ServerChild child(std::move(process));
  pipe.write_end.reset();

  SystemClock clock;  // real time: the other side is a real process
  auto line = first_line(pipe.read_end, clock.steady() + options.ready_timeout, clock);
  auto ready = line ? json::parse(*line) : Result<json::Value>(std::unexpected(line.error()));
  if (!ready) {
    return std::unexpected(
        Error(ErrorId::GR0807, fmt::format("the server did not become ready: {}{}", ready.error().reason(),
                                           end_of_log(options.log, log_start)))
            .with_hint("gantry doctor"));
  }
  if (auto failure = failure_in(*ready)) return std::unexpected(std::move(*failure));
  child.ready_ = std::move(*ready);
  return child;
}

ServerChild& ServerChild::operator=(ServerChild&& other) noexcept {
  if (this != &other) {
    end();
    process_ = std::move(other.process_);
    ready_ = std::move(other.ready_);
  }
  return *this;
}

ServerChild::~ServerChild() { end(); }

void ServerChild::signal(int number) {
  if (process_.pidfd) (void)os::signal_process(process_.pidfd, number);
}

bool ServerChild::wait(Duration patience) {
  if (!process_.pidfd) return true;
  pollfd ended{process_.pidfd.get(), POLLIN, 0};
  auto ms = std::chrono::ceil<std::chrono::milliseconds>(patience).count();
  // SAFETY: a pidfd is readable once its process has ended (pidfd_open(2)).
  if (::poll(&ended, 1, static_cast<int>(std::clamp<int64_t>(ms, 0, 1'000'000))) <= 0) return false;
  (void)os::reap_process(process_.pidfd);
  process_ = {};
  return true;
}

void ServerChild::end() {
  signal(SIGKILL);
  (void)wait(std::chrono::seconds(10));
}

}  // namespace gantry::cli
