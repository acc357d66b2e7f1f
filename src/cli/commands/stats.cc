#include "cli/commands/stats.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/commands/agents.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

/// A history with less than this is drawn low: the noise of an idle program is no mountain.
constexpr double cpu_ceiling = 10;
constexpr double requests_ceiling = 1;

enum class Unit { count, bytes };

std::string short_bytes(const json::Value& row, std::string_view path) {
  return format_bytes_short({static_cast<uint64_t>(std::max<int64_t>(0, int_at(row, path)))});
}

Cell share_cell(const json::Value& row, std::string_view used, std::string_view limit, Unit unit) {
  auto spelled = [&](std::string_view path) {
    return unit == Unit::bytes ? short_bytes(row, path) : std::to_string(int_at(row, path));
  };
  int64_t have = int_at(row, used), most = int_at(row, limit);
  if (most <= 0) return {spelled(used)};
  // Nine tenths is where a person should look.
  return {fmt::format("{} / {}", spelled(used), spelled(limit)), have * 10 >= most * 9 ? Tint::warn : Tint::plain};
}

/// `0.4ms`, `12ms`, `1.5s`; `-` if there were no requests.
std::string short_ms(const json::Value& row, std::string_view path) {
  if (int_at(row, "recent.requests") == 0) return "-";
  const double ms = double_at(row, path);
  if (ms < 10) return fmt::format("{:.1f}ms", ms);
  if (ms < 1000) return fmt::format("{:.0f}ms", ms);
  return fmt::format("{:.1f}s", ms / 1000);
}

Column latency_column(std::string_view title, std::string path) {
  return {title, [path = std::move(path)](const json::Value& row) { return Cell{short_ms(row, path)}; },
          Detail::if_fits, Align::right};
}

Column trend_column(const Histories& histories, double ceiling, std::function<std::string(const json::Value&)> key) {
  return {"TREND",
          [&histories, ceiling, key = std::move(key)](const json::Value& row) {
            return Cell{histories.draw(key(row), ceiling), Tint::accent};
          },
          Detail::if_fits};
}

std::string instance_of(const json::Value& row) { return text_at(row, "instance"); }

Listing stats_listing(const Trends* trends) {
  Listing listing{
      {text_column("AGENT", "agent"), number_column("REPLICA", "replica")}, "instance", "no instances are running"};
  for (Column& column : use_columns(trends, instance_of)) listing.columns.push_back(std::move(column));
  listing.columns.push_back({"BREAKER",
                             [](const json::Value& row) {
                               std::string state = text_at(row, "breaker");
                               const Tint tint = state == "closed" ? Tint::plain : Tint::warn;
                               return Cell{std::move(state), tint};
                             },
                             Detail::if_fits});
  listing.columns.push_back({"CPU TIME",
                             [](const json::Value& row) {
                               return Cell{format_duration_short(std::chrono::milliseconds(int_at(row, "cpu_ms")))};
                             },
                             Detail::wide, Align::right});
  listing.columns.push_back(text_column("INSTANCE", "instance", Detail::wide));
  return listing;
}

}  // namespace

void Trends::look_at(const json::Array& rows, const std::function<std::string(const json::Value&)>& key) {
  cpu.begin_look();
  requests.begin_look();
  for (const auto& row : rows) {
    cpu.add(key(row), double_at(row, "cpu_percent"));
    requests.add(key(row), double_at(row, "recent.per_second"));
  }
  cpu.end_look();
  requests.end_look();
}

std::vector<Column> use_columns(const Trends* trends, std::function<std::string(const json::Value&)> key) {
  std::vector<Column> columns;
  columns.push_back(
      {"CPU", [](const json::Value& row) { return Cell{fmt::format("{:.1f} %", double_at(row, "cpu_percent"))}; },
       Detail::always, Align::right});
  if (trends != nullptr) columns.push_back(trend_column(trends->cpu, cpu_ceiling, key));
  columns.push_back(
      {"MEMORY",
       [](const json::Value& row) { return share_cell(row, "memory_bytes", "memory_limit_bytes", Unit::bytes); },
       Detail::always, Align::right});
  columns.push_back(
      {"REQ/S", [](const json::Value& row) { return Cell{fmt::format("{:.1f}", double_at(row, "recent.per_second"))}; },
       Detail::if_fits, Align::right});
  if (trends != nullptr) columns.push_back(trend_column(trends->requests, requests_ceiling, key));
  columns.push_back(latency_column("P50", "recent.p50_ms"));
  columns.push_back(latency_column("P95", "recent.p95_ms"));
  columns.push_back(latency_column("P99", "recent.p99_ms"));
  columns.push_back(number_column("IN FLIGHT", "in_flight", Detail::if_fits));
  columns.push_back({"PIDS", [](const json::Value& row) { return share_cell(row, "pids", "pids_limit", Unit::count); },
                     Detail::if_fits, Align::right});
  columns.push_back({"DISK", [](const json::Value& row) { return Cell{short_bytes(row, "workspace_bytes")}; },
                     Detail::if_fits, Align::right});
  columns.push_back({"NET IN / OUT",
                     [](const json::Value& row) {
                       return Cell{fmt::format("{} / {}", short_bytes(row, "bytes_in"), short_bytes(row, "bytes_out"))};
                     },
                     Detail::if_fits, Align::right});
  columns.push_back(number_column("REQUESTS", "requests_total", Detail::wide));
  columns.push_back(number_column("RESTARTS", "restarts", Detail::if_fits));
  return columns;
}

Result<json::Value> get_stats(ApiClient& api, const std::vector<std::string>& names) {
  std::string target = "/v1/stats";
  for (const std::string& name : names)
    target += fmt::format("{}agent={}", target.contains('?') ? "&" : "?", percent_encode(name));
  auto stats = api.get(target);
  if (stats || names.size() != 1) return stats;
  return std::unexpected(about_agent(api, names.front(), std::move(stats).error()));
}

Result<int> run_stats(Session& session) {
  const std::vector<std::string> names = session.given().arguments("NAME");
  if (!names.empty() && session.given().has("--all"))
    return std::unexpected(Error(ErrorId::GR0801, "names and --all: it is either some agents or all of them")
                               .with_hint("gantry help stats"));
  const bool is_live =
      session.given().has("--watch") && session.for_people() && session.environment().out_device == Device::terminal;
  Trends trends;
  return watch(session, [&]() -> Result<Frame> {
    GANTRY_TRY(ApiClient * api, session.api());
    GANTRY_TRY(json::Value stats, get_stats(*api, names));
    const json::Array& rows = array_at(stats, "data");
    trends.look_at(rows, instance_of);
    return listing_frame(session, stats_listing(is_live ? &trends : nullptr), rows);
  });
}

}  // namespace gantry::cli
