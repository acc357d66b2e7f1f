#include "server/composition.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "json/json.h"
#include "os/os.h"
#include "server/api.h"

namespace gantry::server {
namespace {

// How long requests in flight may go on after a stop was asked for.
constexpr Duration drain_time = std::chrono::seconds(10);
// How long a start waits for the lock of a server that ends.
constexpr Duration lock_patience = std::chrono::seconds(1);

template <class Part>
Result<void> named(std::string_view what, Result<Part> result) {
  if (result) return {};
  return std::unexpected(std::move(result).error().wrap(what));
}

// Runs one task on an I/O thread and waits for it: for start-up, on the main thread.
Task<void> hand_over(Task<Result<void>> task, Result<void>& result) { result = co_await std::move(task); }

Result<void> run_blocking(IoThreads& threads, Task<Result<void>> task) {
  Result<void> result;
  TaskGroup group;
  group.spawn(threads.executor(0), hand_over(std::move(task), result));
  group.join();
  return result;
}

}  // namespace

Composition::Composition(ServeOptions options)
    : options_(std::move(options)), data_(options_.config.text("data")), started_at_(clock_.now()) {}

Composition::~Composition() { stop(); }

Result<void> Composition::start() {
  GANTRY_TRY_VOID(lock_data());
  GANTRY_TRY_VOID(open_log());
  // Before any thread: the driver starts the spawn process, which must be a child of a quiet process.
  GANTRY_TRY_VOID(open_sandbox());
  threads_ = std::make_unique<IoThreads>(static_cast<size_t>(options_.config.integer("io_threads")));
  threads_->start();
  blocking_ = std::make_unique<BlockingPool>(4, 65'536);
  GANTRY_TRY_VOID(open_store());
  GANTRY_TRY_VOID(open_vault());
  make_journal();
  GANTRY_TRY_VOID(make_features());
  GANTRY_TRY_VOID(start_features());
  GANTRY_TRY_VOID(listen());
  GANTRY_TRY_VOID(write_server_file());
  phase_ = Phase::ready;
  log_.info("server ready", telemetry::field("url", url()), telemetry::field("data", data_.string()),
            telemetry::field("took_ms", clock_.now() - started_at_));
  return {};
}

Result<void> Composition::lock_data() {
  std::error_code error;
  data_ = std::filesystem::absolute(data_, error);
  if (auto made = named("create the data directory", os::make_directories(data_)); !made)
    return std::unexpected(std::move(made).error().with_hint("--data names a directory that this user can write to"));
  // A server that was killed a moment ago may not be gone yet: its memory is given back before its lock.
  auto lock = os::lock_file(data_ / "lock");
  for (SteadyTime patience = clock_.steady() + lock_patience;
       !lock && lock.error().code() == Code::conflict && clock_.steady() < patience;
       lock = os::lock_file(data_ / "lock"))
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  if (!lock && lock.error().code() == Code::conflict) {
    std::string who = "another process";
    if (auto text = os::read_file(data_ / "server.json", kibibytes(64)))
      if (auto file = json::parse(*text))
        who = fmt::format("the server with pid {}", json::get_int_or(*file, "pid", 0).value_or(0));
    return std::unexpected(
        Error(ErrorId::GR0001, fmt::format("{} already uses {}", who, data_.string()))
            .with_hint("gantry status shows it and gantry down stops it; --data DIR runs a second one"));
  }
  if (!lock)
    return std::unexpected(std::move(lock)
                               .error()
                               .wrap("lock the data directory " + data_.string())
                               .with_hint("--data names a directory that this user can write to"));
  lock_ = std::move(*lock);
  return {};
}

Result<void> Composition::open_log() {
  GANTRY_TRY(auto level, telemetry::parse_level(options_.config.text("log_level")));
  GANTRY_TRY(auto format, telemetry::parse_format(options_.config.text("log_format")));
  telemetry::LogOptions log_options{.level = level};
  GANTRY_TRY_VOID(os::make_directories(data_ / "logs"));
  GANTRY_TRY(auto file, telemetry::file_sink({.path = data_ / "logs" / "server.log"}));
  log_options.sinks.push_back(std::move(file));
  if (options_.stderr_log == StderrLog::on) {
    auto color = ::isatty(STDERR_FILENO) ? telemetry::Color::on : telemetry::Color::off;
    log_options.sinks.push_back(telemetry::stderr_sink(format, color));
  }
  log_writer_ = std::make_unique<telemetry::LogWriter>(std::move(log_options), clock_);
  log_ = log_writer_->logger();
  return {};
}

Result<void> Composition::open_sandbox() {
  for (const char* name : {"instances", "revisions", "workspaces"}) GANTRY_TRY_VOID(os::make_directories(data_ / name));
  sandbox_ = sandbox::make_bubblewrap_driver(
      {.clock = clock_, .random = random_},
      {.run_dir = data_ / "run", .shared_dirs = {data_ / "instances", data_ / "revisions", data_ / "workspaces"}});
  return named("open the sandbox driver", sandbox_->open());
}

Result<void> Composition::open_store() {
  const std::array migrations{identity::migrations(), agents::migrations(), requests::migrations(),
                              audit::migrations(),    vault::migrations(),  webhooks::migrations()};
  auto database = store::open_sqlite(data_ / "store.db", migrations);
  if (!database) return std::unexpected(std::move(database).error().wrap("open the store"));
  database_ = std::move(*database);
  auto identity = identity::Identity::open(*database_, clock_, random_);
  if (!identity) return std::unexpected(std::move(identity).error().wrap("load the keys"));
  identity_ = std::move(*identity);
  return named("create the root key", identity_->ensure_root_key(data_ / "root.key", scope()));
}

Result<void> Composition::open_vault() {
  const config::Config& config = options_.config;
  auto vault =
      vault::Vault::open({*database_, *blocking_, clock_, random_},
                         {.file = config.text("encryption_key_file"), .text = config.secret("encryption_key")});
  if (!vault) return std::unexpected(std::move(vault).error().wrap("open the encryption keys"));
  vault_ = std::move(*vault);
  return {};
}

void Composition::make_journal() {
  journal::Options journal_options;
  journal_options.directory = data_ / "journal";
  journal_options.cipher = vault_->cipher();
  journal_options.segment_size = options_.config.size("journal_segment_size");
  journal_options.notify = [log = log_](journal::Severity severity, std::string_view text) {
    if (severity == journal::Severity::error)
      log.error("journal", telemetry::field("detail", text));
    else if (severity == journal::Severity::warning)
      log.warn("journal", telemetry::field("detail", text));
    else
      log.info("journal", telemetry::field("detail", text));
  };
  journal_ = journal::make_segments(std::move(journal_options), clock_, random_);
}

Result<agents::Limits> Composition::configured_quotas() const {
  agents::Limits limits;
  for (agents::Resource resource : agents::all_resources) {
    const std::string option = fmt::format("quota_{}", agents::to_string(resource));
    auto limit = agents::parse_limit(resource, options_.config.text(option));
    if (!limit)
      return std::unexpected(Error(ErrorId::GR0701, fmt::format("quota_{}", limit.error().reason()))
                                 .with_hint("gantry config view --origin"));
    limits[static_cast<size_t>(resource)] = *limit;
  }
  return limits;
}

Result<void> Composition::make_features() {
  GANTRY_TRY(agents::Limits quotas, configured_quotas());
  audit_ = std::make_unique<audit::Trail>(audit::Parts{*journal_, *database_, clock_},
                                          audit::Options{.retention = options_.config.duration("audit_retention")});
  requests_ = std::make_unique<requests::Requests>(
      requests::Parts{*journal_, *database_, *blocking_, clock_, random_, log_},
      requests::Options{.orphan_retention = options_.config.duration("retention")});
  agents_ = std::make_unique<agents::Agents>(
      agents::Parts{*database_, *sandbox_, *threads_, *blocking_, clock_, random_, log_},
      agents::Options{.data = data_, .quota_scope = scope(), .quotas = quotas});
  proxy_ = std::make_unique<proxy::Proxy>(
      proxy::Parts{*agents_, *requests_, *threads_, *blocking_, clock_, random_, log_},
      proxy::Options{.request_body_limit = options_.config.size("request_body_limit"),
                     .max_in_flight = static_cast<size_t>(options_.config.integer("max_in_flight")),
                     .housekeeping_every = options_.config.duration("housekeeping_interval")});
  return make_webhooks();
}

Result<void> Composition::make_webhooks() {
  auto hosts = webhooks::AllowedHosts::parse(options_.config.text("webhook_allowed_hosts"));
  if (!hosts)
    return std::unexpected(Error(ErrorId::GR0701, fmt::format("webhook_allowed_hosts: {}", hosts.error().reason()))
                               .with_hint("gantry config view --origin"));
  const std::string ca_file = options_.config.text("webhook_ca_file");
  // A file that cannot be read must stop the start and not every delivery.
  if (!ca_file.empty())
    if (auto trusted = net::load_tls_client({.ca_file = ca_file}); !trusted)
      return std::unexpected(Error(ErrorId::GR0701, fmt::format("webhook_ca_file: {}", trusted.error().reason()))
                                 .with_hint("gantry config view --origin"));
  webhooks_ = std::make_unique<webhooks::Webhooks>(
      webhooks::Parts{*journal_, *database_, *requests_, *threads_, *blocking_, clock_, random_, log_},
      webhooks::Options{.hosts = std::move(*hosts), .ca_file = ca_file});
  return named("load the webhooks", webhooks_->load());
}

Result<void> Composition::start_features() {
  GANTRY_TRY_VOID(journal_->open());
  GANTRY_TRY_VOID(run_blocking(*threads_, requests_->start()));
  GANTRY_TRY_VOID(named("start the agents", agents_->start()));
  proxy_->start();
  webhooks_->start();
  return {};
}

Result<void> Composition::listen() {
  auto parsed = net::Endpoint::parse(options_.config.text("listen"));
  if (!parsed)
    return std::unexpected(std::move(parsed).error().wrap("listen").with_hint(
        "give HOST:PORT, such as --listen 127.0.0.1:8081; port 0 lets the kernel pick"));
  const net::Endpoint endpoint = std::move(*parsed);
  GANTRY_TRY(Operations operations, Operations::load());
  api_ = std::make_unique<Api>(*this, std::move(operations));
  net::ServerOptions server_options{.listen = endpoint};
  server_options.limits.max_body_bytes = options_.config.size("request_body_limit").count;
  server_ = std::make_unique<net::Server>(server_options, net::ServerParts{*threads_, clock_, *api_});
  return server_->start();
}

Result<void> Composition::write_server_file() {
  json::Object file{{"url", url()},
                    {"pid", static_cast<int64_t>(::getpid())},
                    {"key_file", (data_ / "root.key").string()},
                    {"started_at", format_time(started_at_)}};
  return named("write server.json", os::replace_file(data_ / "server.json", json::pretty(file) + "\n"));
}

std::string Composition::url() const { return "http://" + server_->local_endpoint().to_string(); }

Ready Composition::ready() const {
  return {.url = url(), .key_file = (data_ / "root.key").string(), .pid = static_cast<int>(::getpid())};
}

void Composition::request_shutdown() {
  // SAFETY: kill(2) on ourselves; SIGTERM is blocked in every thread and taken by sigwait in serve().
  ::kill(::getpid(), SIGTERM);
}

void Composition::stop() {
  if (stopped_) return;
  stopped_ = true;
  phase_ = Phase::draining;
  if (proxy_ && server_) proxy_->close(drain_time);
  if (webhooks_ && server_) webhooks_->close(drain_time);
  if (server_) server_->stop(drain_time);
  if (proxy_ && server_) proxy_->join();
  if (webhooks_ && server_) webhooks_->join();
  if (agents_) agents_->stop(agents::AtStop::stop_instances);
  if (journal_) journal_->stop();
  if (database_) database_->stop();
  if (sandbox_) sandbox_->close();
  if (blocking_) blocking_->stop();
  if (threads_) threads_->stop();
  std::error_code ignored;
  if (server_) std::filesystem::remove(data_ / "server.json", ignored);
  log_.info("server stopped");
  if (log_writer_) log_writer_->stop();
}

}  // namespace gantry::server
