// What several commands do with agents: paths of the API, "did you mean" for names, waiting.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "cli/session.h"

namespace gantry::cli {

/// `/v1/agents/NAME` and `/v1/agents/NAME/REST`.
std::string agent_path(std::string_view name, std::string_view rest = {});

/// The error of a call about an agent; for one that does not exist the hint names the closest that does.
Error about_agent(ApiClient& api, std::string_view name, Error error);

/// An agent as it should become, and how to tell.
struct Goal {
  std::string agent;
  /// True once `agent` is as wanted.
  std::function<bool(const json::Value& agent)> reached;
  /// What the wait is for, such as `ready`.
  std::string_view word;
};

/// Polls until every goal is reached, with progress on stderr. GR0804 with the reasons of those that are
/// not when `timeout` passed, or when one has been in a crash loop for a while: more patience would not
/// help it. Returns the agents in the order of the goals.
Result<json::Array> wait_for(Session& session, ApiClient& api, const std::vector<Goal>& goals, Duration timeout);

/// All replicas are ready and the agent runs.
bool is_ready(const json::Value& agent);
/// `2/2 ready` and what is wrong, in a few words.
std::string state_in_words(const json::Value& agent);

/// Columns of `gantry list`.
Listing agent_listing(Time now);

}  // namespace gantry::cli
