// deploy: one agent from flags, or those of files.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "cli/commands/apply.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

// ---- The spec from flags ---------------------------------------------------------------------

/// Reads flags one after the other and keeps what is wrong with each: all mistakes in one pass. That sizes and
/// numbers are such, and pairs of the form K=V, was checked when the command line was taken apart.
class SpecFlags {
 public:
  explicit SpecFlags(const Invocation& given) : given_(given) {}

  Result<core::AgentSpec> read() {
    core::AgentSpec spec;
    for (std::string_view needed : {"--name", "--command"})
      if (!given_.has(needed)) refuse(fmt::format("{} is missing", needed));
    spec.name = given_.text_or("--name", "");
    spec.workdir = given_.text_or("--workdir", "");
    auto command = core::split_command(given_.text_or("--command", ""));
    if (command) {
      spec.command = std::move(*command);
    } else {
      refuse(fmt::format("--command: {}", command.error().reason()));
    }
    pairs("--env", spec.env);
    pairs("--label", spec.labels);
    number("--port", spec.port);
    number("--replicas", spec.replicas);
    number("--concurrency", spec.concurrency);
    number("--retries", spec.persistence.retry.max);
    spec.depends_on = given_.list("--depends-on");
    limits(spec.resources);
    if (auto path = given_.text("--health")) {
      spec.health.check.kind = core::Probe::Kind::http;
      spec.health.check.endpoint = *path;
    }
    spec.timeout = given_.duration("--request-timeout").value_or(spec.timeout);
    spec.grace = given_.duration("--grace").value_or(spec.grace);
    if (given_.has("--public")) spec.exposure = core::Exposure::public_path;
    if (given_.has("--no-persistence")) spec.persistence.enabled = false;
    if (!mistakes_.empty()) return std::unexpected(all_of(std::move(mistakes_), example));
    return spec;
  }

 private:
  static constexpr std::string_view example = "gantry deploy --name bot --command \"python3 app.py\" --workdir ./bot";

  void refuse(std::string reason) { mistakes_.emplace_back(ErrorId::GR0801, std::move(reason)); }

  void pairs(std::string_view flag, std::map<std::string, std::string>& into) {
    for (const auto& text : given_.list(flag)) {
      const size_t equals = text.find('=');
      into.insert_or_assign(text.substr(0, equals), text.substr(equals + 1));
    }
  }

  /// A number in the type of its field; too large is refused here, the range by core.
  template <class T>
  void number(std::string_view flag, T& into) {
    auto value = given_.number(flag);
    if (!value) return;
    if (*value > std::numeric_limits<T>::max())
      return refuse(fmt::format("{}: {} is above {}", flag, *value, std::numeric_limits<T>::max()));
    into = static_cast<T>(*value);
  }

  void limits(core::Resources& resources) {
    auto size = [&](std::string_view flag, Bytes& into) {
      if (auto text = given_.text(flag)) into = parse_bytes(*text).value_or(into);
    };
    size("--memory", resources.memory);
    size("--tmp", resources.tmp);
    size("--workspace", resources.workspace);
    if (auto text = given_.text("--cpu")) resources.cpu = parse_cpu(*text).value_or(resources.cpu);
    number("--pids", resources.pids);
  }

  const Invocation& given_;
  std::vector<Error> mistakes_;
};

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
  GANTRY_TRY(core::AgentSpec spec, SpecFlags(session.given()).read());
  Checked checked;
  checked.base = session.environment().working_directory;
  checked.parsed.diagnostics = core::validate_agent_spec(spec, options_for(session.environment(), checked.base));
  checked.parsed.agents.push_back(std::move(spec));
  std::vector<Checked> all;
  all.push_back(std::move(checked));
  return all;
}

Result<std::vector<Checked>> read_input(Session& session) {
  auto files = session.given().list("--config");
  if (files.empty()) return read_flags(session);
  auto flags = given_spec_flags(session.given());
  if (!flags.empty())
    return std::unexpected(
        Error(ErrorId::GR0801, fmt::format("--config and {} cannot be combined: the file describes "
                                           "the agents",
                                           flags.front()))
            .with_hint(fmt::format("leave out {}, or write it into {}", flags.front(), files.front())));
  return read_sources(session, files);
}

}  // namespace

Result<int> run_deploy(Session& session) {
  if (session.given().has("--prune") && session.given().list("--config").empty())
    return std::unexpected(Error(ErrorId::GR0801, "--prune needs --config: the file says which agents the stack has")
                               .with_hint("gantry deploy --config agents.yaml --prune"));
  GANTRY_TRY(auto inputs, read_input(session));
  return apply(session, std::move(inputs), Prune::as_given);
}

}  // namespace gantry::cli
