// validate, diff, import, export: files of agents beside what the server has.
#include <fmt/format.h>

#include <algorithm>

#include "cli/commands/agents.h"
#include "cli/commands/apply.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

/// Files from arguments and `--file`; an error with an example if there are none.
Result<std::vector<std::string>> given_files(Session& session, std::string_view example) {
  auto files = session.given().list("--file");
  for (auto& file : session.given().arguments("FILE")) files.push_back(file);
  if (files.empty()) return std::unexpected(Error(ErrorId::GR0801, "FILE is missing").with_hint(std::string(example)));
  return files;
}

void print_sarif(Session& session, const std::vector<Checked>& inputs) {
  std::vector<core::Finding> findings;
  for (const Checked& input : inputs) findings.push_back({input.source, input.parsed.diagnostics});
  const json::Value log = core::to_sarif(findings, session.environment().build.version);
  session.print(render_value(log, Format::json, ""));
}

// ---- Export ----------------------------------------------------------------------------------

/// The names to export, in the order of the alphabet.
Result<std::vector<std::string>> exported_names(Session& session, ApiClient& api) {
  auto names = session.given().arguments("NAME");
  auto stack = session.given().text("--stack");
  const int ways = (names.empty() ? 0 : 1) + (session.given().has("--all") ? 1 : 0) + (stack ? 1 : 0);
  if (ways != 1)
    return std::unexpected(
        Error(ErrorId::GR0801, ways == 0 ? "NAME is missing" : "give one of names, --all and --stack")
            .with_hint("gantry export --all > agents.yaml"));
  if (names.empty()) {
    GANTRY_TRY(json::Array rows, api.list("/v1/agents"));
    for (const json::Value& row : rows) {
      const json::Value* labels = json::find(row, "labels");
      const json::Value* label = labels ? labels->get_object().if_contains(core::stack_label) : nullptr;
      if (!stack || (label && label->is_string() && label->get_string() == *stack))
        names.push_back(text_at(row, "name"));
    }
    if (stack && names.empty()) return fail(Code::not_found, "there is no agent of the stack '{}'", *stack);
  }
  std::ranges::sort(names);
  const auto doubles = std::ranges::unique(names);
  names.erase(doubles.begin(), doubles.end());
  return names;
}

Result<core::AgentSpec> fetch_spec(ApiClient& api, const std::string& name) {
  auto agent = api.get(agent_path(name));
  if (!agent) return std::unexpected(about_agent(api, name, std::move(agent).error()));
  json::Object metadata{{"name", name}};
  const json::Value* labels = json::find(*agent, "labels");
  if (labels != nullptr && !labels->get_object().empty()) metadata["labels"] = *labels;
  const json::Value* spec = json::find(*agent, "spec");
  if (spec == nullptr) return fail(ErrorId::GR0803, "agent '{}' came without its spec", name);
  const json::Object resource{
      {"apiVersion", "gantry/v1"}, {"kind", "Agent"}, {"metadata", std::move(metadata)}, {"spec", *spec}};
  auto read = core::spec_from_json(json::serialize(resource));
  if (!read) return fail(ErrorId::GR0803, "agent '{}': {}", name, read.error().reason());
  return read;
}

}  // namespace

Result<int> run_validate(Session& session) {
  GANTRY_TRY(auto files, given_files(session, "gantry validate -f agents.yaml"));
  GANTRY_TRY(auto inputs, read_sources(session, files));
  const bool errors = has_errors(inputs);
  if (session.format() == Format::sarif) {
    print_sarif(session, inputs);
  } else if (!session.for_people()) {
    session.print(render_value(verdict(inputs), session.format(), "valid"));
  } else {
    tell_mistakes(session, inputs);
    size_t resources = 0;
    for (const Checked& input : inputs) resources += input.parsed.agents.size();
    if (!errors) session.print(fmt::format("valid: {} {}\n", resources, resources == 1 ? "resource" : "resources"));
    if (!errors) session.suggest(fmt::format("gantry deploy --config {}", files.front()));
  }
  return errors ? validation_failed : 0;
}

Result<int> run_diff(Session& session) {
  GANTRY_TRY(auto files, given_files(session, "gantry diff agents.yaml"));
  GANTRY_TRY(auto inputs, read_sources(session, files));
  return print_differences(session, std::move(inputs));
}

Result<int> run_import(Session& session) {
  auto files = session.given().arguments("FILE");
  if (files.empty()) files.emplace_back("-");
  GANTRY_TRY(auto inputs, read_sources(session, files));
  return apply(session, std::move(inputs), Prune::never);
}

Result<int> run_export(Session& session) {
  GANTRY_TRY(ApiClient * api, session.api());
  GANTRY_TRY(auto names, exported_names(session, *api));
  std::string text;
  json::Array resources;
  for (const std::string& name : names) {
    GANTRY_TRY(core::AgentSpec spec, fetch_spec(*api, name));
    text += (text.empty() ? "" : "---\n") + core::to_yaml(spec);
    resources.push_back(core::file_json(spec));
  }
  if (names.empty()) session.say("no agents");
  session.print(session.given().choice("--output") == "json" ? json::serialize(resources) + "\n" : text);
  return 0;
}

}  // namespace gantry::cli
