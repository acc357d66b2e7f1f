// Programs beside those that agents run.
#include <algorithm>

#include "agents/state.h"

namespace gantry::agents {

Task<Result<std::unique_ptr<sandbox::Exec>>> Agents::exec(Scope scope, std::string name, ExecOptions options) {
  const std::shared_ptr<Actor> actor = state_->registry.find(scope, name);
  if (actor == nullptr) co_return std::unexpected(state_->no_agent(scope, name));
  const auto published = actor->published();
  const auto sandboxes = actor->sandboxes();
  std::shared_ptr<sandbox::Sandbox> chosen;
  std::vector<std::string> running;
  for (const InstanceView& instance : published->agent.instances) {
    auto found = std::ranges::find(sandboxes, instance.id, [](const auto& pair) { return pair.first; });
    if (found == sandboxes.end()) continue;
    running.push_back(instance.id.to_string());
    const bool is_wanted = options.instance  ? *options.instance == instance.id
                           : options.replica ? *options.replica == instance.replica
                                             : true;
    // One that is ready before one that is not, the first of those.
    const bool is_better = chosen == nullptr || instance.status == InstanceStatus::ready;
    if (is_wanted && is_better) chosen = found->second;
    if (is_wanted && instance.status == InstanceStatus::ready) break;
  }
  if (chosen == nullptr && running.empty()) {
    const AgentStatus status = published->agent.status;
    co_return std::unexpected(
        Error(Code::conflict, fmt::format("agent '{}' is {}: no instance runs", name, to_string(status)))
            .with_hint(fmt::format("gantry {} {}", status == AgentStatus::stopped ? "start" : "inspect", name)));
  }
  if (chosen == nullptr)
    co_return std::unexpected(Error(Code::not_found, fmt::format("agent '{}' has no such instance that runs", name))
                                  .with_hint(fmt::format("these run: {}", fmt::join(running, ", "))));
  auto started = co_await chosen->exec(std::move(options.program));
  if (started) co_return started;
  Error error = std::move(started).error().wrap(fmt::format("agent '{}'", name));
  if (error.id() == ErrorId::GR0302)
    error = std::move(error).with_hint(fmt::format("gantry exec {} -- ls /usr/bin shows the programs there are", name));
  if (error.code() == Code::conflict) error = std::move(error).with_hint(fmt::format("gantry resume {}", name));
  if (error.code() == Code::unsupported) error = std::move(error).with_hint(fmt::format("gantry restart {}", name));
  co_return std::unexpected(std::move(error));
}

}  // namespace gantry::agents
