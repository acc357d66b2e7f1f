#include "cli/commands/apply.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/commands/agents.h"
#include "cli/deployment.h"
#include "cli/plan.h"

namespace gantry::cli {
namespace {

/// The agents of all inputs, each behind those it depends on, and their stacks.
struct Wanted {
  std::vector<PlannedAgent> agents;
  std::vector<std::string> stacks;
};

// ---- Checks over all files -------------------------------------------------------------------

Result<Wanted> gather(std::vector<Checked> inputs) {
  std::vector<PlannedAgent> agents;
  std::map<std::string, std::string> files;
  Wanted wanted;
  for (Checked& input : inputs) {
    for (core::AgentSpec& spec : input.parsed.agents) {
      auto [first, is_new] = files.emplace(spec.name, input.source.file);
      if (!is_new)
        return fail(ErrorId::GR0801, "agent '{}' is described in {} and in {}", spec.name, first->second,
                    input.source.file);
      agents.push_back({std::move(spec), input.base});
    }
    for (std::string& stack : input.parsed.stacks)
      if (std::ranges::find(wanted.stacks, stack) == wanted.stacks.end()) wanted.stacks.push_back(std::move(stack));
  }
  std::vector<const core::AgentSpec*> specs;
  for (const PlannedAgent& agent : agents) specs.push_back(&agent.spec);
  for (size_t index : core::start_order(specs)) wanted.agents.push_back(std::move(agents[index]));
  return wanted;
}

/// Dependencies on agents that no input describes must be on the server; one that is not becomes a mistake with its
/// place.
Result<> check_outside(ApiClient& api, std::vector<Checked>& inputs) {
  std::vector<std::string> names;
  for (const Checked& input : inputs)
    for (const core::AgentSpec& spec : input.parsed.agents) names.push_back(spec.name);
  const auto is_known = [&](const std::string& name) { return std::ranges::find(names, name) != names.end(); };
  const bool asks = std::ranges::any_of(inputs, [&](const Checked& input) {
    return !std::ranges::all_of(input.parsed.outside, is_known, &core::OutsideDependency::name);
  });
  if (!asks) return {};
  GANTRY_TRY(json::Array rows, api.list("/v1/agents"));
  for (const json::Value& row : rows) names.push_back(text_at(row, "name"));
  const std::vector<std::string_view> known(names.begin(), names.end());
  for (Checked& input : inputs) {
    for (const core::OutsideDependency& dependency : input.parsed.outside) {
      if (is_known(dependency.name)) continue;
      core::Diagnostic diagnostic = core::unknown_dependency(dependency, known);
      diagnostic.file = input.source.file;
      input.parsed.diagnostics.push_back(std::move(diagnostic));
    }
  }
  return {};
}

// ---- The plan --------------------------------------------------------------------------------

/// What `--prune` removes belongs to one of these stacks.
Result<std::vector<std::string>> pruned_stacks(Session& session, const Wanted& wanted, Prune prune) {
  if (prune == Prune::never || !session.given().has("--prune")) return std::vector<std::string>();
  if (wanted.stacks.empty())
    return std::unexpected(
        Error(ErrorId::GR0801, "--prune removes agents of the same stack, and the files name none")
            .with_hint("a stack is the name of an AgentDeployment, or the label gantry/stack of an Agent"));
  return wanted.stacks;
}

Result<json::Array> make_plan(ApiClient& api, const Wanted& wanted, const std::vector<std::string>& prune) {
  std::string target = "/v1/plan", body;
  for (const std::string& stack : prune)
    target += fmt::format("{}prune={}", target.contains('?') ? "&" : "?", percent_encode(stack));
  // Documents of JSON are documents of YAML, and hold no reference that the server would have to know.
  for (const PlannedAgent& agent : wanted.agents)
    body += fmt::format("---\n{}\n", json::serialize(core::resource_json(agent.spec)));
  GANTRY_TRY(auto request, api.prepare("POST", target));
  request.headers.add("content-type", "application/yaml");
  request.body = std::move(body);
  GANTRY_TRY(auto answer, api.exchange(std::move(request)));
  if (answer.status >= 400) return std::unexpected(error_of(answer).wrap("plan"));
  GANTRY_TRY(json::Value plan, json::parse(answer.body));
  return array_at(plan, "data");
}

std::vector<std::string> removals_of(const json::Array& plan) {
  std::vector<std::string> names;
  for (const json::Value& step : plan)
    if (text_at(step, "action") == "remove") names.push_back(text_at(step, "name"));
  return names;
}

Result<> place_files(WorkdirUploader& uploader, Wanted& wanted) {
  for (PlannedAgent& agent : wanted.agents) {
    GANTRY_TRY_VOID(place_workdir(uploader, agent));
    place_volumes(agent);
  }
  return {};
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
              if (text_at(row, "result") == "removed") return Cell{"-"};
              int64_t ready = int_at(row, "agent.ready"), wanted = int_at(row, "agent.replicas");
              return Cell{fmt::format("{}/{}", ready, wanted), ready < wanted ? Tint::warn : Tint::good};
            }},
           number_column("REVISION", "agent.revision_number"),
           text_column("ADDRESS", "url")},
          "name",
          "nothing to deploy"};
}

std::string left_in_words(const Wanted& wanted, size_t done) {
  std::vector<std::string> names;
  for (size_t i = done; i < wanted.agents.size(); ++i) names.push_back(wanted.agents[i].spec.name);
  return fmt::format("{} of {} agents were deployed; as before: {}", done, wanted.agents.size(),
                     fmt::join(names, ", "));
}

/// One after the other: each agent is either as before or as it should be, whatever happens in between.
Result<json::Array> put_all(Session& session, ApiClient& api, Progress& progress, const Wanted& wanted) {
  json::Array rows;
  for (const PlannedAgent& agent : wanted.agents) {
    auto answer = put_agent(api, agent.spec);
    if (answer) {
      rows.push_back(result_row(api, *answer));
      continue;
    }
    progress.clear();
    if (wanted.agents.size() > 1) {
      session.print_listing(result_listing(), rows);
      session.say(left_in_words(wanted, rows.size()));
    }
    return std::unexpected(std::move(answer).error());
  }
  return rows;
}

Result<> remove_all(ApiClient& api, const std::vector<std::string>& names, json::Array& rows) {
  for (const std::string& name : names) {
    auto removed = api.remove(agent_path(name));
    // Somebody else was quicker.
    if (!removed && removed.error().code() != Code::not_found)
      return std::unexpected(std::move(removed).error().wrap(name));
    rows.push_back(json::Object{{"name", name}, {"result", "removed"}, {"url", nullptr}, {"agent", json::Object()}});
  }
  return {};
}

Result<> confirm_removals(Session& session, const std::vector<std::string>& names) {
  if (names.empty()) return {};
  return session.confirm(fmt::format("Remove {}? Unfinished requests become dead letters.", fmt::join(names, ", ")));
}

Result<int> deploy_all(Session& session, ApiClient& api, Progress& progress, const Wanted& wanted,
                       const std::vector<std::string>& stacks) {
  std::vector<std::string> removals;
  if (!stacks.empty()) {
    GANTRY_TRY(json::Array plan, make_plan(api, wanted, stacks));
    removals = removals_of(plan);
    progress.clear();
    GANTRY_TRY_VOID(confirm_removals(session, removals));
  }
  GANTRY_TRY(json::Array rows, put_all(session, api, progress, wanted));
  progress.clear();
  // What was deployed is told even if it does not become ready. Nothing is removed then: the old agents may be all
  // that serves.
  Result<> done = session.given().has("--no-wait") ? Result<>() : wait_until_ready(session, api, rows);
  if (done) done = remove_all(api, removals, rows);
  session.print_listing(result_listing(), rows);
  if (!done) return std::unexpected(std::move(done).error());
  // Which paths and methods the program has, only its author knows.
  if (!wanted.agents.empty())
    session.suggest(fmt::format("gantry inspect {}", text_at(rows.front(), "name")),
                    fmt::format("gantry invoke {} PATH sends it a request", text_at(rows.front(), "name")));
  return 0;
}

/// What both commands know before they differ.
struct Prepared {
  ApiClient* api;
  Wanted wanted;
  std::vector<std::string> stacks;  ///< of which agents beside the wanted ones go
};

/// nullopt if there are mistakes, which are told then.
Result<std::optional<Prepared>> prepare(Session& session, std::vector<Checked> inputs, Prune prune) {
  if (has_errors(inputs)) return tell_mistakes(session, inputs), std::nullopt;
  GANTRY_TRY(ApiClient * api, session.api());
  GANTRY_TRY_VOID(check_outside(*api, inputs));
  tell_mistakes(session, inputs);
  if (has_errors(inputs)) return std::nullopt;
  GANTRY_TRY(Wanted wanted, gather(std::move(inputs)));
  GANTRY_TRY(auto stacks, pruned_stacks(session, wanted, prune));
  return Prepared{api, std::move(wanted), std::move(stacks)};
}

/// What a deploy would do, printed.
Result<json::Array> show_plan(Session& session, Prepared& prepared, Shown shown) {
  Progress progress(session);
  WorkdirUploader uploader(*prepared.api, [&](const std::string& words) { progress.show(words); }, Upload::measure);
  GANTRY_TRY_VOID(place_files(uploader, prepared.wanted));
  GANTRY_TRY(json::Array plan, make_plan(*prepared.api, prepared.wanted, prepared.stacks));
  progress.clear();
  print_plan(session, plan, shown);
  return plan;
}

}  // namespace

Result<int> apply(Session& session, std::vector<Checked> inputs, Prune prune) {
  GANTRY_TRY(auto prepared, prepare(session, std::move(inputs), prune));
  if (!prepared) return validation_failed;
  if (session.given().has("--dry-run")) {
    GANTRY_TRY_VOID(show_plan(session, *prepared, Shown::all));
    return 0;
  }
  Progress progress(session);
  WorkdirUploader uploader(*prepared->api, [&](const std::string& words) { progress.show(words); }, Upload::send);
  GANTRY_TRY_VOID(place_files(uploader, prepared->wanted));
  return deploy_all(session, *prepared->api, progress, prepared->wanted, prepared->stacks);
}

Result<int> print_differences(Session& session, std::vector<Checked> inputs) {
  GANTRY_TRY(auto prepared, prepare(session, std::move(inputs), Prune::as_given));
  if (!prepared) return validation_failed;
  GANTRY_TRY(json::Array plan, show_plan(session, *prepared, Shown::changes));
  return plans_changes(plan) ? 1 : 0;
}

}  // namespace gantry::cli
