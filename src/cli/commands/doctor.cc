// doctor: what this machine can do, then what the server says of itself.
//
// A device node or a version proves nothing, so the sandbox check starts a real one. What only the
// server can try (its driver, its journal) comes from GET /v1/doctor.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "cli/handlers.h"
#include "cli/session.h"
#include "os/os.h"

namespace gantry::cli {
namespace {

namespace fs = std::filesystem;

constexpr Duration probe_timeout = std::chrono::seconds(5);
constexpr Bytes little_space = mebibytes(512);
constexpr rlim_t few_files = 4096;

/// One check in the form of the API.
json::Object check(std::string_view name, std::string_view status, std::string detail, std::string_view hint = {}) {
  return {{"name", name}, {"status", status}, {"detail", std::move(detail)}, {"hint", hint}};
}

json::Object check_kernel() {
  utsname name{};
  // SAFETY: fills one utsname; it cannot fail with a valid pointer.
  ::uname(&name);
  std::string_view release = name.release;
  int major = 0, minor = 0;
  auto [dot, no_major] = std::from_chars(release.data(), release.data() + release.size(), major);
  const char* after_dot = dot < release.data() + release.size() ? dot + 1 : dot;
  auto [end, no_minor] = std::from_chars(after_dot, release.data() + release.size(), minor);
  if (no_major != std::errc() || no_minor != std::errc()) return check("kernel", "warn", std::string(release));
  // openat2 (5.6), pidfd_getfd (5.6) and clone3 with CLONE_INTO_CGROUP (5.7) are used throughout.
  if (major > 5 || (major == 5 && minor >= 10)) return check("kernel", "ok", fmt::format("Linux {}", name.release));
  return check("kernel", "fail", fmt::format("Linux {} is too old", name.release), "5.10 or newer is needed");
}

json::Object check_cgroups() {
  std::error_code ignored;
  if (fs::exists("/sys/fs/cgroup/cgroup.controllers", ignored)) return check("control groups", "ok", "version 2");
  if (fs::exists("/sys/fs/cgroup/memory", ignored)) return check("control groups", "ok", "version 1");
  return check("control groups", "warn", "none; memory and CPU limits fall back to rlimits",
               "mount cgroup2 at /sys/fs/cgroup");
}

json::Object check_files() {
  rlimit limit{};
  // SAFETY: fills one rlimit.
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max >= few_files) return check("open files", "ok", fmt::format("up to {}", limit.rlim_max));
  return check("open files", "warn", fmt::format("only {}", limit.rlim_max), "ulimit -n 65536");
}

/// The first directory of `path` (as in $PATH) that holds the program.
std::optional<fs::path> find_program(std::string_view name, std::string_view path) {
  for (std::string_view rest = path; !rest.empty();) {
    size_t end = std::min(rest.find(':'), rest.size());
    fs::path candidate = fs::path(rest.substr(0, end)) / name;
    // SAFETY: asks the kernel; no pointer is kept.
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return std::nullopt;
}

/// Runs a program to its end; its wait status, nullopt if it did not end in time.
Result<std::optional<int>> run_to_end(const fs::path& program, std::vector<std::string> arguments) {
  GANTRY_TRY(os::Fd nothing, os::open_file("/dev/null", O_RDWR));
  arguments.insert(arguments.begin(), program.string());
  GANTRY_TRY(
      os::Process process,
      os::spawn_process(
          {.program = program,
           .arguments = std::move(arguments),
           .fds = {{nothing.get(), STDIN_FILENO}, {nothing.get(), STDOUT_FILENO}, {nothing.get(), STDERR_FILENO}}}));
  pollfd ended{process.pidfd.get(), POLLIN, 0};
  auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(probe_timeout).count();
  // SAFETY: waits on our own pidfd; a child that does not end is killed and reaped below.
  bool in_time = ::poll(&ended, 1, static_cast<int>(ms)) == 1;
  if (!in_time) {
    (void)os::signal_process(process.pidfd, SIGKILL);
    ::poll(&ended, 1, -1);
  }
  GANTRY_TRY(auto status, os::reap_process(process.pidfd));
  return in_time ? status : std::nullopt;
}

json::Object check_sandbox(Session& session) {
  auto program = find_program("bwrap", session.environment().variable("PATH").value_or("/usr/bin:/bin"));
  if (!program) return check("sandbox", "fail", "bubblewrap (bwrap) is not installed", "apt-get install bubblewrap");
  std::vector<std::string> arguments = {"--unshare-all", "--unshare-user", "--die-with-parent", "--cap-drop", "ALL"};
  for (std::string_view directory : {"/usr", "/bin", "/lib", "/lib64", "/sbin"}) {
    arguments.insert(arguments.end(), {"--ro-bind-try", std::string(directory), std::string(directory)});
  }
  arguments.insert(arguments.end(), {"--proc", "/proc", "--dev", "/dev", "/usr/bin/true"});
  auto status = run_to_end(*program, std::move(arguments));
  if (!status) return check("sandbox", "fail", status.error().reason(), "apt-get install bubblewrap");
  if (*status && WIFEXITED(**status) && WEXITSTATUS(**status) == 0)
    return check("sandbox", "ok", fmt::format("{} starts one with all namespaces", program->string()));
  return check(
      "sandbox", "fail", fmt::format("{} cannot start one", program->string()),
      "sysctl kernel.unprivileged_userns_clone=1 (Debian), kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)");
}

json::Object check_data(const fs::path& data) {
  // The directory is made by `up`; until then its nearest parent tells how much room there is.
  fs::path place = data;
  std::error_code ignored;
  while (!fs::exists(place, ignored) && place.has_parent_path() && place != place.parent_path())
    place = place.parent_path();
  // SAFETY: asks the kernel; no pointer is kept.
  if (::access(place.c_str(), W_OK) != 0)
    return check("data directory", "fail", fmt::format("{} cannot be written", place.string()), "gantry up --data DIR");
  auto space = os::disk_space(place);
  if (!space) return check("data directory", "warn", space.error().reason());
  std::string detail = fmt::format("{}, {} free", data.string(), format_bytes_short(space->available));
  if (space->available < little_space) return check("data directory", "warn", detail, "gantry doctor --storage");
  return check("data directory", "ok", std::move(detail));
}

/// The checks that need no server.
Result<json::Array> local_checks(Session& session) {
  GANTRY_TRY(const config::Config* settings, session.config());
  return json::Array{check_kernel(), check_cgroups(), check_files(), check_sandbox(session),
                     check_data(settings->text("data"))};
}

/// The server's own checks; that none runs is worth a word but no fault.
Result<> add_server_checks(Session& session, json::Array& checks) {
  auto api = session.api();
  auto answer = api ? (*api)->get("/v1/doctor") : Result<json::Value>(std::unexpected(api.error()));
  if (!answer && answer.error().code() == Code::unavailable) {
    checks.push_back(check("server", "warn", answer.error().reason(), "gantry up --detach"));
    return {};
  }
  if (!answer) return std::unexpected(std::move(answer).error());
  checks.push_back(check("server", "ok", fmt::format("answers at {}", (*api)->url())));
  // The server tried the sandbox with its own driver: that tells more than our try.
  auto ours = std::ranges::find_if(checks, [](const json::Value& row) { return text_at(row, "name") == "sandbox"; });
  if (ours != checks.end()) checks.erase(ours);
  for (const auto& row : array_at(*answer, "checks")) checks.push_back(row);
  return {};
}

Listing check_listing() {
  return {
      {text_column("CHECK", "name"), status_column("STATUS", "status"), text_column("DETAIL", "detail")}, "name", ""};
}

std::string render_checks(const json::Value& result, const Canvas& canvas) {
  const json::Array& checks = array_at(result, "checks");
  std::string out = render_table(check_listing(), checks, Format::wide, canvas);
  for (const auto& row : checks) {
    if (text_at(row, "status") == "ok" || text_at(row, "hint").empty()) continue;
    out += fmt::format("{} {}: {}\n", canvas.style.paint(Tint::accent, "hint:"), text_at(row, "name"),
                       text_at(row, "hint"));
  }
  return out;
}

// ---- --storage -------------------------------------------------------------------------------

/// What is in the data directory, seen from outside: for when no server runs.
Result<json::Value> local_storage(const fs::path& data) {
  json::Array rows;
  uint64_t total = 0;
  std::error_code failure;
  for (fs::directory_iterator it(data, failure), end; !failure && it != end; it.increment(failure)) {
    GANTRY_TRY(Bytes used, os::disk_usage(it->path()));
    total += used.count;
    rows.push_back(json::Object{{"what", it->path().filename().string()},
                                {"path", it->path().string()},
                                {"bytes", used.count},
                                {"detail", it->is_directory(failure) ? "directory" : "file"}});
  }
  if (failure) return fail(Code::not_found, "{}: {}", data.string(), failure.message());
  std::ranges::sort(rows,
                    [](const json::Value& a, const json::Value& b) { return int_at(a, "bytes") > int_at(b, "bytes"); });
  GANTRY_TRY(os::DiskSpace space, os::disk_space(data));
  return json::Value(
      json::Object{{"data", std::move(rows)}, {"total_bytes", total}, {"free_bytes", space.available.count}});
}

Result<json::Value> storage(Session& session) {
  auto api = session.api();
  auto answer = api ? (*api)->get("/v1/doctor/storage") : Result<json::Value>(std::unexpected(api.error()));
  if (answer || answer.error().code() != Code::unavailable) return answer;
  GANTRY_TRY(const config::Config* settings, session.config());
  session.say("no server runs; this is what the directory itself shows");
  return local_storage(settings->text("data"));
}

std::string render_storage(const json::Value& value, const Canvas& canvas) {
  Listing listing{{text_column("WHAT", "what"), bytes_column("SIZE", "bytes"), text_column("DETAIL", "detail"),
                   text_column("PATH", "path")},
                  "path",
                  ""};
  auto bytes = [&](std::string_view path) { return format_bytes_short({static_cast<uint64_t>(int_at(value, path))}); };
  return render_table(listing, array_at(value, "data"), Format::wide, canvas) +
         fmt::format("\n{} used, {} free\n", bytes("total_bytes"), bytes("free_bytes"));
}

Result<int> run_storage(Session& session) {
  GANTRY_TRY(json::Value value, storage(session));
  if (session.format() == Format::name) {
    for (const auto& row : array_at(value, "data")) session.print(text_at(row, "path") + "\n");
    return 0;
  }
  session.print_value(value, "path", [&](const json::Value& it) { return render_storage(it, session.canvas()); });
  return 0;
}

}  // namespace

Result<int> run_doctor(Session& session) {
  if (session.given().has("--storage")) return run_storage(session);
  GANTRY_TRY(json::Array checks, local_checks(session));
  GANTRY_TRY_VOID(add_server_checks(session, checks));
  bool failed = std::ranges::any_of(checks, [](const json::Value& row) { return text_at(row, "status") == "fail"; });
  json::Value result = json::Object{{"checks", std::move(checks)}};
  if (session.format() == Format::name) {
    for (const auto& row : array_at(result, "checks")) session.print(text_at(row, "name") + "\n");
  } else {
    session.print_value(result, "name", [&](const json::Value& it) { return render_checks(it, session.canvas()); });
  }
  return failed ? 1 : 0;
}

}  // namespace gantry::cli
