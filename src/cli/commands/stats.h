// What `stats` and `top` show of agents and instances.
#pragma once

#include "cli/session.h"
#include "cli/spark.h"

namespace gantry::cli {

/// Blocks of a history in a live table.
inline constexpr size_t history_length = 12;

/// Histories of CPU and of requests per second.
struct Trends {
  Histories cpu{history_length};
  Histories requests{history_length};
  /// Takes over a look; `key` names a row.
  void look_at(const json::Array& rows, const std::function<std::string(const json::Value&)>& key);
};

/// Columns of both tables; those that do not fit the terminal are left out from the right.
std::vector<Column> use_columns(const Trends* trends, std::function<std::string(const json::Value&)> key);

/// `GET /v1/stats` of these agents, or of all.
Result<json::Value> get_stats(ApiClient& api, const std::vector<std::string>& names);

}  // namespace gantry::cli
