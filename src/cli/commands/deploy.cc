// deploy and validate: read, check everything, then send.
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <istream>
#include <iterator>

#include "cli/commands/agents.h"
#include "cli/deployment.h"
#include "cli/handlers.h"
#include "os/os.h"

namespace gantry::cli {
namespace {

/// A source and what it says.
struct Checked {
  core::Source source;
  core::Parsed parsed;
  std::filesystem::path base;
};

/// The client has the directories, so it says before anything is sent which one is missing.
core::ParseOptions options_for(const Environment& environment, std::filesystem::path base) {
  core::ParseOptions options{.environment = environment.variable};
  options.check_workdir = [base = std::move(base)](std::string_view workdir) -> std::optional<core::Complaint> {
    const std::filesystem::path place = (base / workdir).lexically_normal();
    std::error_code failure;
    if (std::filesystem::is_directory(place, failure)) return std::nullopt;
    const bool exists = std::filesystem::exists(place, failure);
    return core::Complaint{fmt::format("{} {}", workdir, exists ? "is no directory" : "does not exist"),
                           fmt::format("name a directory with the program; this one would be {}", place.string())};
  };
  return options;
}

Result<Checked> read_source(Session& session, const std::string& file) {
  Environment& environment = session.environment();
  Checked checked;
  if (file == "-") {
    checked.source.file = "stdin";
    std::string& text = checked.source.text;
    // One byte beyond the bound is enough for the parser to say so.
    text.resize(core::max_source_size.count + 1);
    environment.in->read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(environment.in->gcount()));
    checked.base = environment.working_directory;
  } else {
    std::filesystem::path path = environment.working_directory / file;
    GANTRY_TRY(checked.source.text, os::read_file(path, core::max_source_size));
    checked.source.file = file;
    checked.base = path.parent_path();
  }
  checked.parsed = core::parse_resources(checked.source, options_for(environment, checked.base));
  return checked;
}

Result<std::vector<Checked>> read_sources(Session& session, const std::vector<std::string>& files) {
  std::vector<Checked> all;
  for (const auto& file : files) {
    auto checked = read_source(session, file);
    if (!checked) {
      std::error_code ignored;
      const bool is_directory = std::filesystem::is_directory(session.environment().working_directory / file, ignored);
      return std::unexpected(std::move(checked).error().wrap(file).with_hint(
          is_directory
              ? fmt::format("name a file in it, such as {}", (std::filesystem::path(file) / "agents.yaml").string())
              : "name a YAML or JSON file that can be read, or - for standard input"));
    }
    all.push_back(std::move(*checked));
  }
  return all;
}

/// Prints what is wrong: drawn on stderr for people, as JSON on stdout for programs. True if there are
/// errors.
bool report(Session& session, const std::vector<Checked>& all, size_t* resources) {
  json::Array diagnostics;
  bool errors = false;
  for (const auto& checked : all) {
    const auto& found = checked.parsed.diagnostics;
    errors = errors || core::has_errors(found);
    *resources += checked.parsed.agents.size();
    if (session.for_people() && !found.empty()) session.say(core::render_all(found, checked.source));
    for (const auto& diagnostic : found) diagnostics.push_back(core::to_json(diagnostic, checked.source));
  }
  const bool validating = session.given().command().name == "validate";
  if (!session.for_people() && (errors || validating)) {
    json::Value result =
        json::Object{{"valid", !errors}, {"resources", *resources}, {"diagnostics", std::move(diagnostics)}};
    session.print(render_value(result, session.format(), "valid"));
  }
  return errors;
}

constexpr int validation_failed = 7;

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
  static constexpr std::string_view others[] = {"--config", "--no-wait", "--timeout", "--output"};
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

// ---- Sending and waiting ---------------------------------------------------------------------

json::Object result_row(const ApiClient& api, const json::Value& answer) {
  const json::Value* agent = json::find(answer, "agent");
  json::Value empty = json::Object();
  const json::Value& shown = agent == nullptr ? empty : *agent;
  std::string name = text_at(shown, "name");
  return {{"name", name},
          {"result", text_at(answer, "result")},
          {"url", fmt::format("{}/agent/{}/", api.url(), name)},
          {"agent", shown}};
}

/// An agent that was stopped or paused stays so when it is deployed again.
bool will_run(const json::Value& row) {
  std::string status = text_at(row, "agent.status");
  return status != "stopped" && status != "paused" && int_at(row, "agent.replicas") > 0;
}

Result<> wait_until_ready(Session& session, ApiClient& api, json::Array& rows) {
  std::vector<Goal> goals;
  for (const auto& row : rows) {
    if (!will_run(row)) continue;
    goals.push_back({text_at(row, "name"),
                     [revision = text_at(row, "agent.revision")](const json::Value& agent) {
                       const bool is_current = text_at(agent, "revision") == revision;
                       return is_ready(agent) && is_current && int_at(agent, "up_to_date") >= int_at(agent, "replicas");
                     },
                     "ready"});
  }
  if (goals.empty()) return {};
  GANTRY_TRY(json::Array agents, wait_for(session, api, goals, session.wait_timeout()));
  for (auto& row : rows)
    for (auto& agent : agents)
      if (text_at(agent, "name") == text_at(row, "name")) row.as_object()["agent"] = agent;
  return {};
}

Listing result_listing() {
  return {{text_column("NAME", "name"),
           text_column("RESULT", "result"),
           {"READY",
            [](const json::Value& row) {
              int64_t ready = int_at(row, "agent.ready"), wanted = int_at(row, "agent.replicas");
              return Cell{fmt::format("{}/{}", ready, wanted), ready < wanted ? Tint::warn : Tint::good};
            }},
           number_column("REVISION", "agent.revision_number"),
           text_column("ADDRESS", "url")},
          "name",
          "nothing to deploy"};
}

}  // namespace

Result<int> run_deploy(Session& session) {
  GANTRY_TRY(auto inputs, read_input(session));
  size_t resources = 0;
  if (report(session, inputs, &resources)) return validation_failed;

  GANTRY_TRY(ApiClient * api, session.api());
  Progress progress(session);
  WorkdirUploader uploader(*api, [&](const std::string& words) { progress.show(words); });
  json::Array rows;
  for (auto& input : inputs) {
    for (auto& spec : input.parsed.agents) {
      GANTRY_TRY(json::Value answer, deploy_agent(*api, uploader, {std::move(spec), input.base}));
      rows.push_back(result_row(*api, answer));
    }
  }
  progress.clear();
  // What was deployed is told even if it does not become ready.
  Result<> ready = session.given().has("--no-wait") ? Result<>() : wait_until_ready(session, *api, rows);
  session.print_listing(result_listing(), rows);
  if (!ready) return std::unexpected(std::move(ready).error());
  // Which paths and methods the program has, only its author knows.
  if (!rows.empty())
    session.suggest(fmt::format("gantry inspect {}", text_at(rows.front(), "name")),
                    fmt::format("gantry invoke {} PATH sends it a request", text_at(rows.front(), "name")));
  return 0;
}

Result<int> run_validate(Session& session) {
  auto files = session.given().list("--file");
  for (auto& file : session.given().arguments("FILE")) files.push_back(file);
  if (files.empty())
    return std::unexpected(Error(ErrorId::GR0801, "FILE is missing").with_hint("gantry validate -f agents.yaml"));
  GANTRY_TRY(auto inputs, read_sources(session, files));
  size_t resources = 0;
  if (report(session, inputs, &resources)) return validation_failed;
  if (session.for_people()) {
    session.print(fmt::format("valid: {} {}\n", resources, resources == 1 ? "resource" : "resources"));
    session.suggest(fmt::format("gantry deploy --config {}", files.front()));
  }
  return 0;
}

}  // namespace gantry::cli
