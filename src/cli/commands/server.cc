// up, down, status, version.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "cli/child.h"
#include "cli/handlers.h"
#include "cli/session.h"
#include "os/os.h"

namespace gantry::cli {
namespace {

constexpr Duration poll_interval = std::chrono::milliseconds(50);

/// The settings that were given as flags, for a child that must decide the same.
std::vector<std::string> flags_for_child(const Session& session) {
  std::vector<std::string> words;
  for (const auto& option : config::schema()) {
    std::string name = config::flag_name(option);
    for (const auto& flag : session.given().command().flags)
      if (flag.name == name && name != "--output" && session.given().has(name))
        words.push_back(fmt::format("{}={}", name, *session.given().text(name)));
  }
  if (auto data = session.given().text("--data")) words.push_back("--data=" + *data);
  return words;
}

std::string ready_line(const json::Value& ready) {
  return fmt::format("gantry is ready at {} (pid {})\n", text_at(ready, "url"), text_at(ready, "pid"));
}

Result<int> run_detached(Session& session, const std::filesystem::path& data) {
  if (auto made = os::make_directories(data); !made)
    return std::unexpected(std::move(made).error().with_hint("--data names a directory that this user can write to"));
  ServerChild::Options options{.program = session.environment().self,
                               .flags = flags_for_child(session),
                               .log = data / "server.log",
                               .ready_timeout = session.given().duration_or_fallback("--timeout")};
  auto child = ServerChild::start(options);
  if (!child) return std::unexpected(std::move(child).error());
  const json::Value& ready = child->ready();
  const bool as_json = session.given().choice("--output") == "json";
  session.print(as_json ? json::serialize(ready) + "\n" : ready_line(ready));
  if (!as_json) {
    session.say(fmt::format("log: {}", (data / "logs" / "server.log").string()));
    session.suggest("gantry help deploy", "how to run a program of yours");
  }
  child->release();
  return 0;
}

/// Starting a server is no advice for who wants to stop one.
Error nothing_to_stop(const Error& error) {
  return Error(error.id(), error.reason())
      .with_hint("no server is to be stopped there; gantry config view --origin shows where this command looked");
}

/// The process of the server if it runs on this machine with this data directory.
std::optional<os::ProcessIdentity> local_server(const std::filesystem::path& data, int64_t pid) {
  auto text = os::read_file(data / "server.json", kibibytes(64));
  if (!text) return std::nullopt;
  auto value = json::parse(*text);
  if (!value || int_at(*value, "pid") != pid) return std::nullopt;
  auto identity = os::identify_process(static_cast<pid_t>(pid));
  return identity ? std::optional(*identity) : std::nullopt;
}

/// A server elsewhere is gone when it does not answer; one on this machine when its process is.
Result<bool> is_gone(ApiClient& api, const std::optional<os::ProcessIdentity>& local) {
  if (local) {
    auto now = os::identify_process(local->pid);
    if (!now || *now != *local) return true;
    // Where nobody reaps it (a container whose pid 1 is no init) an ended server keeps its identity as a zombie.
    auto pidfd = os::open_pidfd(local->pid);
    return pidfd ? os::process_ended(*pidfd) : Result<bool>(true);
  }
  auto answer = api.get("/v1/status");
  return !answer && answer.error().code() == Code::unavailable;
}

Result<> kill_server(const std::optional<os::ProcessIdentity>& local) {
  if (!local) return fail(Code::unsupported, "--kill works on the machine of the server only");
  GANTRY_TRY(os::Fd pidfd, os::open_pidfd(local->pid));
  // The pid could have been given away between the look and the open: the descriptor cannot.
  auto now = os::identify_process(local->pid);
  if (!now || *now != *local) return {};
  auto sent = os::signal_process(pidfd, SIGKILL);
  if (!sent && sent.error().code() != Code::not_found) return sent;
  return {};
}

/// Whoever can reach the port reads keys and bodies on their way: HTTP is not encrypted.
void warn_if_exposed(Session& session, const std::string& listen) {
  auto endpoint = net::Endpoint::parse(listen);
  if (!endpoint || !endpoint->unix_path.empty()) return;
  const std::string& host = endpoint->host;
  if (host == "localhost" || host == "::1" || host.starts_with("127.")) return;
  session.say(
      fmt::format("warning: {} is reachable from other machines, and keys and bodies travel over plain HTTP", listen));
  session.say("hint: listen on 127.0.0.1 and put a proxy with TLS in front of it");
}

std::string render_status(const json::Value& status, const Style& style) {
  auto count = [&](std::string_view path) { return int_at(status, path); };
  bool writable = bool_at(status, "journal.writable");
  int64_t degraded = count("agents.degraded");
  return render_pairs(
      {{"Server", {text_at(status, "url"), Tint::bold}},
       {"Version", {text_at(status, "version")}},
       {"Process",
        {fmt::format("pid {}, up {}, {} resident", text_at(status, "pid"),
                     count("uptime_ms") < 1000
                         ? "less than 1s"
                         : format_duration_short(std::chrono::milliseconds(count("uptime_ms")) / 1000 * 1000),
                     format_bytes_short({static_cast<uint64_t>(count("rss_bytes"))}))}},
       {"Data", {text_at(status, "data_dir")}},
       {"Scope", {text_at(status, "scope")}},
       {"Agents",
        {fmt::format("{} ({} running, {} degraded, {} stopped)", count("agents.total"), count("agents.running"),
                     degraded, count("agents.stopped")),
         degraded > 0 ? Tint::warn : Tint::plain}},
       {"Instances", {fmt::format("{} of {} ready", count("instances.ready"), count("instances.total"))}},
       {"Requests",
        {fmt::format("{} pending, {} processing, {} completed, {} failed, {} cancelled", count("requests.pending"),
                     count("requests.processing"), count("requests.completed"), count("requests.failed"),
                     count("requests.cancelled"))}},
       {"Journal",
        {fmt::format("durable to {}, projected to {}, {}", count("journal.durable_seq"), count("journal.projected_seq"),
                     writable ? "writable" : "NOT WRITABLE"),
         writable ? Tint::plain : Tint::bad}}},
      style);
}

/// The status without what changes by itself, so that --watch prints a block for a real change only.
std::string status_identity(json::Value status) {
  if (status.is_object()) {
    status.get_object().erase("uptime_ms");
    status.get_object().erase("rss_bytes");
  }
  return json::serialize(status);
}

}  // namespace

Result<int> run_up(Session& session) {
  GANTRY_TRY(const config::Config* settings, session.config());
  const bool is_child = session.environment().variable(child_variable).has_value();
  if (!is_child) warn_if_exposed(session, settings->text("listen"));
  if (session.given().has("--detach")) return run_detached(session, settings->text("data"));
  UpOptions options{*settings, session.given().choice("--output") == "json" ? Announce::json : Announce::text,
                    is_child ? StartedBy::command : StartedBy::person};
  auto code = session.environment().run_server(options);
  if (!code && is_child) session.print(failure_line(code.error()));
  return code;
}

Result<int> run_down(Session& session) {
  GANTRY_TRY(const config::Config* settings, session.config());
  auto reached = session.api();
  if (!reached && reached.error().id() == ErrorId::GR0002) return std::unexpected(nothing_to_stop(reached.error()));
  GANTRY_TRY(ApiClient * api, std::move(reached));
  auto found = api->get("/v1/status");
  if (!found && found.error().id() == ErrorId::GR0002) return std::unexpected(nothing_to_stop(found.error()));
  GANTRY_TRY(json::Value status, std::move(found));
  auto local = local_server(settings->text("data"), int_at(status, "pid"));
  GANTRY_TRY_VOID(api->post("/v1/server/shutdown"));

  const Duration timeout = session.given().duration_or_fallback("--timeout");
  SteadyTime deadline = session.steady() + timeout;
  bool killed = false;
  Progress progress(session);
  for (;;) {
    GANTRY_TRY(bool gone, is_gone(*api, local));
    if (gone) break;
    if (session.steady() >= deadline) {
      if (!session.given().has("--kill") || killed)
        return std::unexpected(
            Error(ErrorId::GR0808, fmt::format("the server still drains after {}", format_duration_short(timeout)))
                .with_hint("gantry requests list --status processing"));
      GANTRY_TRY_VOID(kill_server(local));
      killed = true;
      deadline = session.steady() + ApiClient::call_timeout;
    }
    progress.show(fmt::format("waiting for the server at {} to stop", api->url()));
    GANTRY_TRY_VOID(session.pause(poll_interval));
  }
  progress.clear();
  json::Value result =
      json::Object{{"url", api->url()}, {"pid", int_at(status, "pid")}, {"stopped", true}, {"killed", killed}};
  session.print_value(result, "url", [&](const json::Value&) {
    return fmt::format("gantry at {} {}\n", api->url(), killed ? "was killed" : "has stopped");
  });
  return 0;
}

Result<int> run_status(Session& session) {
  return watch(session, [&]() -> Result<Frame> {
    GANTRY_TRY(ApiClient * api, session.api());
    GANTRY_TRY(json::Value status, api->get("/v1/status"));
    std::string text = session.for_people() ? render_status(status, session.out_style())
                                            : render_value(status, session.format(), "url");
    return Frame{std::move(text), status_identity(std::move(status))};
  });
}

Result<int> run_version(Session& session) {
  const BuildInfo& build = session.environment().build;
  json::Object value{{"version", build.version},
                     {"commit", build.commit},
                     {"build", build.build},
                     {"journal_format", build.journal_format},
                     {"server", nullptr}};
  // No server, or one that does not answer, is no error here: the version of this binary stands by itself.
  auto api = session.api();
  auto server = api ? (*api)->get("/v1/version") : Result<json::Value>(std::unexpected(api.error()));
  if (server) value["server"] = *server;
  session.print_value(value, "version", [&](const json::Value&) {
    std::string out = fmt::format("gantry {} (commit {}, {} build)\n", build.version, build.commit, build.build);
    if (server)
      out += fmt::format("server {} (commit {}, {} build) at {}\n", text_at(*server, "version"),
                         text_at(*server, "commit"), text_at(*server, "build"), (*api)->url());
    if (session.format() == Format::wide)
      out += fmt::format("journal: reads formats up to {0} and writes {0}\n", build.journal_format);
    return out;
  });
  return 0;
}

}  // namespace gantry::cli
