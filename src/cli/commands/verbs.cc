// start, stop, restart, pause, resume, remove, scale.
#include <fmt/format.h>

#include "cli/commands/agents.h"
#include "cli/handlers.h"

namespace gantry::cli {
namespace {

/// What a verb does and what it leads to.
struct VerbText {
  std::string_view verb;  ///< as in the path of the API
  std::string_view past;  ///< `stopped`
  std::string_view asks;  ///< for the question of `--all`: `Stop`
};

/// The names that were given, or with `--all` every name after a question.
Result<std::vector<std::string>> chosen_agents(Session& session, std::string_view question_verb) {
  auto names = session.given().arguments("NAME");
  const bool all = session.given().has("--all");
  if (all == !names.empty()) {
    return std::unexpected(Error(ErrorId::GR0801, all ? "give either names or --all, not both" : "NAME is missing")
                               .with_hint(fmt::format("gantry help {}", session.given().command().name)));
  }
  if (!all) return names;
  GANTRY_TRY(ApiClient * api, session.api());
  GANTRY_TRY(json::Array rows, api->list("/v1/agents"));
  for (const auto& row : rows) names.push_back(text_at(row, "name"));
  if (names.size() == 1)
    GANTRY_TRY_VOID(session.confirm(fmt::format("{} {}, the only agent?", question_verb, names[0])));
  if (names.size() > 1)
    GANTRY_TRY_VOID(
        session.confirm(fmt::format("{} all {} agents ({})?", question_verb, names.size(), fmt::join(names, ", "))));
  return names;
}

void print_agents(Session& session, const json::Array& agents, std::string_view past) {
  if (!session.for_people()) return session.print_listing(agent_listing(session.now()), agents);
  for (const auto& agent : agents) session.print(fmt::format("{} {}\n", text_at(agent, "name"), past));
}

Result<json::Value> call_verb(Session& session, const std::string& name, std::string_view verb,
                              const std::optional<json::Value>& body) {
  GANTRY_TRY(ApiClient * api, session.api());
  std::string target = agent_path(name, verb);
  std::optional<Duration> patience;
  if (!session.given().has("--no-wait")) {
    Duration timeout = session.wait_timeout();
    target += "?wait=" + format_duration(timeout);
    // The server answers when the time is up; the connection must outlast that.
    patience = timeout + ApiClient::call_timeout;
  }
  auto agent = api->post(target, body, patience);
  if (agent) return agent;
  Error error = about_agent(*api, name, std::move(agent).error());
  if (error.code() == Code::timeout) error = std::move(error).with_hint(fmt::format("gantry inspect {}", name));
  return std::unexpected(std::move(error).wrap(name));
}

/// Why there is nothing to resume; nullopt if there is. An agent that is not there is told by the verb itself.
Result<std::optional<std::string>> not_paused(Session& session, const std::string& name) {
  GANTRY_TRY(ApiClient * api, session.api());
  auto agent = api->get(agent_path(name));
  if (!agent || text_at(*agent, "status") == "paused") return std::nullopt;
  return fmt::format("{} is {}, not paused: nothing to resume", name, text_at(*agent, "status"));
}

Result<int> run_verb(Session& session, const VerbText& text) {
  GANTRY_TRY(auto names, chosen_agents(session, text.asks));
  json::Array agents;
  std::optional<Error> first;
  Progress progress(session);
  for (const auto& name : names) {
    // Without a terminal the line that says that it is done is enough.
    if (session.environment().err_device == Device::terminal) progress.show(fmt::format("{} {}", text.verb, name));
    std::optional<std::string> in_vain;
    if (text.verb == "resume") {
      GANTRY_TRY(in_vain, not_paused(session, name));
    }
    auto agent = call_verb(session, name, text.verb, {});
    progress.clear();
    if (agent) {
      if (in_vain)
        session.say(*in_vain);
      else if (session.for_people())
        print_agents(session, {*agent}, text.past);
      agents.push_back(std::move(*agent));
    } else if (!first) {
      // The others are still worth trying; the first reason is told at the end.
      first = std::move(agent).error();
    }
  }
  if (!session.for_people()) print_agents(session, agents, text.past);
  if (first) return std::unexpected(std::move(*first));
  if (names.empty()) session.say("no agents");
  return 0;
}

}  // namespace

Result<int> run_start(Session& session) { return run_verb(session, {"start", "started", "Start"}); }
Result<int> run_stop(Session& session) { return run_verb(session, {"stop", "stopped", "Stop"}); }
Result<int> run_restart(Session& session) { return run_verb(session, {"restart", "restarted", "Restart"}); }
Result<int> run_pause(Session& session) { return run_verb(session, {"pause", "paused", "Pause"}); }
Result<int> run_resume(Session& session) { return run_verb(session, {"resume", "resumed", "Resume"}); }

Result<int> run_scale(Session& session) {
  const std::string& name = session.given().required("NAME");
  const uint64_t replicas = session.given().argument_number("REPLICAS");
  GANTRY_TRY(json::Value agent, call_verb(session, name, "scale", json::Object{{"replicas", replicas}}));
  print_agents(session, {agent}, fmt::format("scaled to {}", replicas));
  return 0;
}

Result<int> run_remove(Session& session) {
  GANTRY_TRY(auto names, chosen_agents(session, "Remove"));
  if (!session.given().has("--all") && !session.given().has("--yes")) {
    // A question about what is not there would have to be answered for nothing.
    GANTRY_TRY(ApiClient * known, session.api());
    for (const auto& name : names)
      if (auto agent = known->get(agent_path(name)); !agent)
        return std::unexpected(about_agent(*known, name, std::move(agent).error()));
    GANTRY_TRY_VOID(
        session.confirm(fmt::format("Remove {}? Unfinished requests become dead letters.", fmt::join(names, ", "))));
  }
  GANTRY_TRY(ApiClient * api, session.api());
  json::Array removed;
  std::optional<Error> first;
  for (const auto& name : names) {
    auto answer = api->remove(agent_path(name));
    if (!answer) {
      Error error = about_agent(*api, name, std::move(answer).error()).wrap(name);
      if (!first) first = std::move(error);
      continue;
    }
    if (session.for_people()) session.print(fmt::format("{} removed\n", name));
    removed.push_back(json::Object{{"removed", name}});
  }
  if (!session.for_people()) session.print_listing({{}, "removed", ""}, removed);
  if (first) return std::unexpected(std::move(*first));
  return 0;
}

}  // namespace gantry::cli
