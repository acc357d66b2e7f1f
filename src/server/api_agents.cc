// /v1/agents, /v1/workdirs, /v1/validate, /v1/stats: what is declared and what runs.
#include <algorithm>

#include "server/api.h"

namespace gantry::server {
namespace {

constexpr size_t spec_limit = size_t{1} << 20;

const std::string& name_of(const Context& context) { return context.parameters.at(0); }

json::Array diagnostics_json(const std::vector<core::Diagnostic>& diagnostics, const core::Source& source) {
  json::Array array;
  for (const core::Diagnostic& diagnostic : diagnostics) array.push_back(core::to_json(diagnostic, source));
  return array;
}

// The last segment of a path such as /v1/agents/bot/restart.
std::string_view last_segment(std::string_view path) { return path.substr(path.rfind('/') + 1); }

Task<Result<core::Source>> read_source(Context& context, std::string file) {
  GANTRY_CO_TRY(std::string text, co_await context.exchange.read_all(spec_limit));
  co_return core::Source{std::move(file), std::move(text)};
}

}  // namespace

json::Value Api::agent_json(const agents::AgentView& view, agents::Detail detail) const {
  requests::Counts counts = server_.requests().counts(view.id);
  return agents::to_json(view, {.pending = counts.pending, .processing = counts.processing}, detail);
}

Task<Api::Handled> Api::validate(Context& context) {
  std::string file(context.find("file").value_or("request"));
  GANTRY_CO_TRY(core::Source source, co_await read_source(context, std::move(file)));
  core::Parsed parsed = core::parse_resources(source);
  co_return Reply{.body = json::Object{{"valid", !core::has_errors(parsed.diagnostics)},
                                       {"resources", parsed.agents.size()},
                                       {"diagnostics", diagnostics_json(parsed.diagnostics, source)}}};
}

// What is read lives in the frame of the handler that waits for this.
Task<Api::Handled> Api::refuse_source(Context& context, const core::Source& source, const core::Parsed& parsed) {
  std::string members = "\"diagnostics\":" + json::serialize(diagnostics_json(parsed.diagnostics, source));
  co_await refuse(context.exchange,
                  Error(Code::invalid, "the spec of the agent has errors")
                      .with_hint("correct what `diagnostics` names; POST /v1/validate checks and changes nothing"),
                  members);
  co_return std::optional<Reply>{};
}

// Changes nothing. An empty body plans for no agent: only what `prune` removes.
Task<Api::Handled> Api::plan(Context& context) {
  GANTRY_CO_TRY(core::Source source, co_await read_source(context, "request"));
  core::Parsed parsed;
  if (!trim(source.text).empty()) parsed = core::parse_resources(source);
  if (core::has_errors(parsed.diagnostics)) co_return co_await refuse_source(context, source, parsed);
  agents::PlanOptions options;
  for (const auto& [name, value] : context.query)
    if (name == "prune") options.prune.push_back(value);
  GANTRY_CO_TRY(auto steps, server_.agents().plan(context.scope, parsed.agents, options));
  json::Array data;
  for (const agents::PlanStep& step : steps) data.push_back(agents::to_json(step));
  co_return Reply{.body = listing(std::move(data), "")};
}

Task<Api::Handled> Api::put_workdir(Context& context) {
  GANTRY_CO_TRY(auto upload, co_await server_.agents().workdirs().begin());
  while (!context.exchange.body_complete()) {
    GANTRY_CO_TRY(std::string_view piece, co_await context.exchange.read_some());
    if (piece.empty()) break;
    GANTRY_CO_TRY_VOID(co_await upload->write(std::string(piece)));
  }
  GANTRY_CO_TRY(agents::Workdir workdir, co_await upload->finish());
  co_return Reply{
      .status = 201,
      .body = json::Object{{"digest", workdir.digest}, {"files", workdir.files}, {"bytes", workdir.bytes.count}}};
}

Task<Api::Handled> Api::head_workdir(Context& context) {
  GANTRY_CO_TRY(auto workdir, co_await server_.agents().workdirs().find(context.parameters.at(0)));
  if (!workdir) co_return fail(Code::not_found, "no workdir {} was uploaded", context.parameters.at(0).substr(0, 100));
  co_return Reply{
      .body = json::Object{{"digest", workdir->digest}, {"files", workdir->files}, {"bytes", workdir->bytes.count}}};
}

Task<Api::Handled> Api::put_agent(Context& context) {
  GANTRY_CO_TRY(core::Source source, co_await read_source(context, "request"));
  core::Parsed parsed = core::parse_resources(source);
  if (core::has_errors(parsed.diagnostics)) co_return co_await refuse_source(context, source, parsed);
  if (parsed.agents.size() != 1)
    co_return fail(Code::invalid, "the body holds {} agents; this path takes one", parsed.agents.size());
  core::AgentSpec& spec = parsed.agents.front();
  if (spec.name != name_of(context))
    co_return fail(Code::invalid, "the path names agent '{}' and the spec '{}'", name_of(context).substr(0, 64),
                   spec.name);
  GANTRY_CO_TRY(agents::Deployed deployed, co_await server_.agents().deploy(context.scope, spec));
  server_.log().info("agent deployed", telemetry::field("agent", spec.name),
                     telemetry::field("result", agents::to_string(deployed.outcome)),
                     telemetry::field("principal", context.principal));
  co_return Reply{.status = deployed.outcome == agents::Deployed::Outcome::created ? 201 : 200,
                  .body = json::Object{{"agent", agent_json(deployed.agent, agents::Detail::full)},
                                       {"result", agents::to_string(deployed.outcome)}}};
}

Task<Api::Handled> Api::list_agents(Context& context) {
  agents::ListOptions options;
  GANTRY_CO_TRY(options.limit, limit_of(context));
  options.after = context.find("after").value_or("");
  if (auto text = context.find("status")) {
    options.status = agents::agent_status_from_string(*text);
    if (!options.status)
      co_return fail(Code::invalid, "status: '{}' is none of running, starting, degraded, crash_loop, paused, stopped",
                     text->substr(0, 64));
  }
  agents::AgentPage page = server_.agents().list(context.scope, options);
  json::Array data;
  for (const agents::AgentView& view : page.agents) data.push_back(agent_json(view, agents::Detail::brief));
  co_return Reply{.body = listing(std::move(data), page.next)};
}

Task<Api::Handled> Api::get_agent(Context& context) {
  GANTRY_CO_TRY(agents::AgentView view, server_.agents().get(context.scope, name_of(context)));
  co_return Reply{.body = agent_json(view, agents::Detail::full)};
}

Task<Api::Handled> Api::delete_agent(Context& context) {
  GANTRY_CO_TRY_VOID(co_await server_.agents().remove(context.scope, name_of(context)));
  server_.log().info("agent removed", telemetry::field("agent", name_of(context)),
                     telemetry::field("principal", context.principal));
  co_return Reply{.body = json::Object{{"removed", name_of(context)}}};
}

Task<Api::Handled> Api::apply_verb(Context& context) {
  auto verb = agents::verb_from_string(last_segment(context.exchange.request().path));
  GANTRY_CHECK(verb.has_value());
  agents::VerbOptions options;
  GANTRY_CO_TRY(options.wait, duration_of(context, "wait"));
  GANTRY_CO_TRY(agents::AgentView view,
                co_await server_.agents().apply(context.scope, name_of(context), *verb, options));
  server_.log().info("agent verb", telemetry::field("agent", name_of(context)),
                     telemetry::field("verb", last_segment(context.exchange.request().path)),
                     telemetry::field("principal", context.principal));
  co_return Reply{.body = agent_json(view, agents::Detail::full)};
}

Task<Api::Handled> Api::scale_agent(Context& context) {
  GANTRY_CO_TRY(std::string text, co_await context.exchange.read_all(spec_limit));
  GANTRY_CO_TRY(json::Value body, json::parse(text));
  GANTRY_CO_TRY(uint64_t replicas, json::get_uint(body, "replicas"));
  agents::VerbOptions options;
  GANTRY_CO_TRY(options.wait, duration_of(context, "wait"));
  uint32_t count = static_cast<uint32_t>(std::min<uint64_t>(replicas, UINT32_MAX));
  GANTRY_CO_TRY(agents::AgentView view,
                co_await server_.agents().scale(context.scope, name_of(context), count, options));
  server_.log().info("agent scaled", telemetry::field("agent", name_of(context)), telemetry::field("replicas", count),
                     telemetry::field("principal", context.principal));
  co_return Reply{.body = agent_json(view, agents::Detail::full)};
}

Task<Api::Handled> Api::agent_health(Context& context) {
  GANTRY_CO_TRY(agents::AgentHealth health, server_.agents().health(context.scope, name_of(context)));
  co_return Reply{.body = agents::to_json(health)};
}

Task<Api::Handled> Api::agent_stats(Context& context) { co_return co_await stats_of(context, {name_of(context)}); }

Task<Api::Handled> Api::all_stats(Context& context) {
  std::vector<std::string> names;
  for (const auto& [name, value] : context.query)
    if (name == "agent") names.push_back(value);
  co_return co_await stats_of(context, std::move(names));
}

Task<Api::Handled> Api::stats_of(Context& context, std::vector<std::string> names) {
  GANTRY_CO_TRY(agents::StatsReport report, co_await server_.agents().stats(context.scope, std::move(names)));
  json::Array data, agents;
  for (const agents::StatsView& row : report.instances) data.push_back(agents::to_json(row));
  for (const agents::AgentStatsView& row : report.agents) agents.push_back(agents::to_json(row));
  json::Value body = listing(std::move(data), "");
  body.as_object()["agents"] = std::move(agents);
  co_return Reply{.body = std::move(body)};
}

}  // namespace gantry::server
