// /healthz, /readyz and what the server tells about itself.
#include <unistd.h>

#include "os/os.h"
#include "server/api.h"
#include "server/openapi.h"

namespace gantry::server {
namespace {

// Resident memory from /proc/self/statm, in bytes; 0 if it cannot be read.
uint64_t resident_bytes() {
  auto text = os::read_file("/proc/self/statm", kibibytes(4));
  if (!text) return 0;
  size_t space = text->find(' ');
  if (space == text->npos) return 0;
  uint64_t pages = std::strtoull(text->c_str() + space + 1, nullptr, 10);
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

Task<Api::Handled> Api::healthz(Context&) { co_return Reply{.body = json::Object{{"status", "ok"}}}; }

Task<Api::Handled> Api::readyz(Context&) {
  Phase phase = server_.phase();
  if (phase != Phase::ready)
    co_return fail(Code::unavailable, "the server is {}", phase == Phase::starting ? "starting" : "draining");
  if (server_.journal().health() != journal::Health::ready)
    co_return std::unexpected(Error(ErrorId::GR0101, "the journal cannot write")
                                  .with_hint("gantry doctor --storage shows what uses the disk"));
  co_return Reply{.body = json::Object{{"status", "ok"}}};
}

Task<Api::Handled> Api::version(Context&) {
  const ServeOptions& options = server_.options();
  co_return Reply{.body = json::Object{{"version", options.version},
                                       {"commit", options.commit},
                                       {"build", options.build},
                                       {"journal_format", journal_format()}}};
}

Task<Api::Handled> Api::status(Context& context) {
  auto totals = server_.agents().totals();
  requests::Counts counts = server_.requests().counts();
  auto lag = server_.journal().lag();
  Time now = server_.clock().now();
  json::Object body{
      {"url", server_.url()},
      {"pid", static_cast<int64_t>(::getpid())},
      {"version", server_.options().version},
      {"started_at", format_time(server_.started_at())},
      {"uptime_ms", std::chrono::duration_cast<std::chrono::milliseconds>(now - server_.started_at()).count()},
      {"data_dir", server_.data().string()},
      {"scope", context.scope.path()},
      {"agents", json::Object{{"total", totals.agents},
                              {"running", totals.running},
                              {"degraded", totals.degraded},
                              {"stopped", totals.stopped}}},
      {"instances", json::Object{{"total", totals.instances}, {"ready", totals.ready}}},
      {"requests", json::Object{{"pending", counts.pending},
                                {"processing", counts.processing},
                                {"completed", counts.completed},
                                {"failed", counts.failed},
                                {"cancelled", counts.cancelled}}},
      {"journal", json::Object{{"durable_seq", server_.journal().durable_seq()},
                               {"projected_seq", lag.empty() ? 0 : lag.front().reached},
                               {"writable", server_.journal().health() == journal::Health::ready}}},
      {"rss_bytes", resident_bytes()}};
  co_return Reply{.body = std::move(body)};
}

Task<Api::Handled> Api::doctor(Context&) {
  json::Value report = co_await examine(server_);
  co_return Reply{.body = std::move(report)};
}

Task<Api::Handled> Api::doctor_storage(Context&) {
  GANTRY_CO_TRY(auto report, co_await server_.blocking().run([this] { return examine_storage(server_); }));
  if (!report) co_return std::unexpected(std::move(report).error());
  co_return Reply{.body = std::move(*report)};
}

Task<Api::Handled> Api::openapi(Context&) {
  GANTRY_CO_TRY(auto document, co_await server_.blocking().run([] { return openapi_document(); }));
  if (!document) co_return std::unexpected(std::move(document).error());
  co_return Reply{.body = std::move(*document)};
}

Task<Api::Handled> Api::shutdown(Context& context) {
  server_.log().info("shutdown asked for", telemetry::field("principal", context.principal));
  co_await answer(context.exchange, {.status = 202, .body = json::Object{{"status", "stopping"}}});
  server_.request_shutdown();
  co_return std::optional<Reply>{};
}

}  // namespace gantry::server
