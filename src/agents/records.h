// What the store holds of agents: specs in revisions, the wish of the user, and the instances that
// must be found again after a restart. Private to agents/.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agents/agents.h"
#include "agents/quota_records.h"
#include "agents/supervisor.h"

namespace gantry::agents {

/// An agent with its current revision.
struct AgentRecord {
  AgentId id;
  std::string name;
  Scope scope;
  Intent intent = Intent::run;
  uint32_t replicas = 1;
  /// Grows with every change: of two records the one with the higher version is newer.
  uint64_t version = 1;
  RevisionId revision;
  uint32_t revision_number = 1;
  /// The first revision whose programs run in the same way: only if it changes, instances are replaced.
  uint64_t program_revision = 1;
  Time created_at, updated_at;
  /// With `replicas` as above.
  std::shared_ptr<const core::AgentSpec> spec;
};

struct InstanceRecord {
  InstanceId id;
  AgentId agent;
  uint32_t replica = 0;
  uint64_t program_revision = 0;
  uint32_t restarts = 0;
};

/// What a deploy needs besides the spec.
struct NewIds {
  AgentId agent;
  RevisionId revision;
  Time now;
};
struct DeployLimits {
  uint32_t max_agents = 0;
  uint32_t revisions_kept = 0;
  Limits quotas = {};
};
struct DeployedRecord {
  Deployed::Outcome outcome = Deployed::Outcome::created;
  AgentRecord agent;
};

/// Creates or changes the agent that `spec` names; GR0507 while it is being removed, GR0512 above a quota.
Result<DeployedRecord> deploy(store::Session& session, const core::AgentSpec& spec, const NewIds& ids,
                              const DeployLimits& limits);
Result<AgentRecord> set_intent(store::Session& session, const std::string& name, Intent intent, Time now);
Result<AgentRecord> set_replicas(store::Session& session, const std::string& name, uint32_t replicas,
                                 const Limits& quotas, Time now);
/// Whether agents of an earlier version are not counted for quotas; `count_agents` writes down what they ask for.
Result<bool> has_uncounted_agents(store::Session& session);
Result<> count_agents(store::Session& session, const std::vector<AgentRecord>& agents);
/// nullopt if there is none in the session's scope.
Result<std::optional<AgentRecord>> find_agent(store::Session& session, const std::string& name);
Result<std::vector<AgentRecord>> list_agents(store::Session& session);
/// The agent with its revisions and instances.
Result<> delete_agent(store::Session& session, AgentId agent);

Result<std::vector<InstanceRecord>> list_instances(store::Session& session);
Result<> save_instance(store::Session& session, const InstanceRecord& instance);
Result<> delete_instance(store::Session& session, InstanceId instance);
/// The digests that any kept revision names.
Result<std::vector<std::string>> list_workdirs(store::Session& session);

/// True if a program started from `a` runs in the same way as one started from `b`: then a change is taken
/// over by the running instances.
bool same_program(const core::AgentSpec& a, const core::AgentSpec& b);

}  // namespace gantry::agents
