// deploy: one agent from flags, or those of files.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "cli/commands/apply.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

// ---- The spec from flags ---------------------------------------------------------------------

Result<std::pair<std::string, std::string>> key_and_value(std::string_view flag, const std::string& text) {
  size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    return fail(ErrorId::GR0801, "{}: '{}' is not of the form K=V", flag, text);
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

Result<> read_pairs(const Invocation& given, std::string_view flag, std::map<std::string, std::string>& into) {
  for (const auto& text : given.list(flag)) {
    GANTRY_TRY(auto pair, key_and_value(flag, text));
    into.insert_or_assign(pair.first, pair.second);
  }
  return {};
}

/// A number of a flag in the type of its field; too large is refused here, the range by core.
template <class T>
Result<> read_number(const Invocation& given, std::string_view flag, T& into) {
  auto value = given.number(flag);
  if (!value) return {};
  if (*value > std::numeric_limits<T>::max())
    return fail(ErrorId::GR0801, "{}: {} is above {}", flag, *value, std::numeric_limits<T>::max());
  into = static_cast<T>(*value);
  return {};
}

Result<> read_limits(const Invocation& given, core::Resources& resources) {
  auto size = [&](std::string_view flag, Bytes& into) -> Result<> {
    if (auto text = given.text(flag)) {
      GANTRY_TRY(into, parse_bytes(*text));
    }
    return {};
  };
  GANTRY_TRY_VOID(size("--memory", resources.memory));
  GANTRY_TRY_VOID(size("--tmp", resources.tmp));
  GANTRY_TRY_VOID(size("--workspace", resources.workspace));
  if (auto text = given.text("--cpu")) {
    GANTRY_TRY(resources.cpu, parse_cpu(*text));
  }
  return read_number(given, "--pids", resources.pids);
}

Result<core::AgentSpec> spec_from_flags(const Invocation& given) {
  core::AgentSpec spec;
  spec.name = given.text_or("--name", "");
  spec.workdir = given.text_or("--workdir", "");
  auto command = core::split_command(given.text_or("--command", ""));
  if (!command) return fail(ErrorId::GR0801, "--command: {}", command.error().reason());
  spec.command = std::move(*command);
  GANTRY_TRY_VOID(read_pairs(given, "--env", spec.env));
  GANTRY_TRY_VOID(read_pairs(given, "--label", spec.labels));
  GANTRY_TRY_VOID(read_number(given, "--port", spec.port));
  GANTRY_TRY_VOID(read_number(given, "--replicas", spec.replicas));
  GANTRY_TRY_VOID(read_number(given, "--concurrency", spec.concurrency));
  GANTRY_TRY_VOID(read_number(given, "--retries", spec.persistence.retry.max));
  GANTRY_TRY_VOID(read_limits(given, spec.resources));
  if (auto path = given.text("--health")) {
    spec.health.kind = core::Health::Kind::http;
    spec.health.endpoint = *path;
  }
  spec.depends_on = given.list("--depends-on");
  spec.timeout = given.duration("--request-timeout").value_or(spec.timeout);
  spec.grace = given.duration("--grace").value_or(spec.grace);
  if (given.has("--public")) spec.exposure = core::Exposure::public_path;
  if (given.has("--no-persistence")) spec.persistence.enabled = false;
  return spec;
}

/// The flags that describe an agent, as far as they were given.
std::vector<std::string_view> given_spec_flags(const Invocation& given) {
  static constexpr std::string_view others[] = {"--config",  "--dry-run", "--prune", "--yes",
                                                "--no-wait", "--timeout", "--output"};
  std::vector<std::string_view> names;
  for (const auto& flag : given.command().flags)
    if (std::ranges::find(others, flag.name) == std::end(others) && given.has(flag.name)) names.push_back(flag.name);
  return names;
}

/// Checks the flags as a source of their own; its diagnostics have no place but name the flag.
Result<std::vector<Checked>> read_flags(Session& session) {
  const Invocation& given = session.given();
  for (std::string_view needed : {"--name", "--command"}) {
    if (given.has(needed)) continue;
    return std::unexpected(Error(ErrorId::GR0801, fmt::format("{} is missing", needed))
                               .with_hint("gantry deploy --name bot --command \"python3 app.py\" --workdir ./bot"));
  }
  GANTRY_TRY(core::AgentSpec spec, spec_from_flags(given));
  Checked checked;
  checked.parsed.diagnostics = core::validate_agent_spec(spec);
  checked.parsed.agents.push_back(std::move(spec));
  checked.base = session.environment().working_directory;
  std::vector<Checked> all;
  all.push_back(std::move(checked));
  return all;
}

Result<std::vector<Checked>> read_input(Session& session) {
  auto files = session.given().list("--config");
  if (files.empty()) return read_flags(session);
  auto flags = given_spec_flags(session.given());
  if (!flags.empty())
    return fail(ErrorId::GR0801, "--config and {} cannot be combined: the file describes the agents", flags.front());
  return read_sources(session, files);
}

}  // namespace

Result<int> run_deploy(Session& session) {
  if (session.given().has("--prune") && session.given().list("--config").empty())
    return fail(ErrorId::GR0801, "--prune needs --config: the file says which agents the stack has");
  GANTRY_TRY(auto inputs, read_input(session));
  return apply(session, std::move(inputs), Prune::as_given);
}

}  // namespace gantry::cli
