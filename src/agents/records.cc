#include "agents/records.h"

#include "agents/dependencies.h"

namespace gantry::agents {
namespace {

constexpr std::string_view steps[] = {R"sql(
  CREATE TABLE agents (
    scope      INTEGER NOT NULL REFERENCES store_scopes (id),
    id         BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    intent     TEXT NOT NULL,
    replicas   INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    revision   BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (scope, name)
  ) STRICT;
  CREATE TABLE agent_revisions (
    scope            INTEGER NOT NULL REFERENCES store_scopes (id),
    id               BLOB PRIMARY KEY,
    agent            BLOB NOT NULL REFERENCES agents (id),
    number           INTEGER NOT NULL,
    program_revision INTEGER NOT NULL,
    spec             TEXT NOT NULL,
    workdir          TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    UNIQUE (agent, number)
  ) STRICT;
  CREATE TABLE agent_instances (
    scope            INTEGER NOT NULL REFERENCES store_scopes (id),
    id               BLOB PRIMARY KEY,
    agent            BLOB NOT NULL REFERENCES agents (id),
    replica          INTEGER NOT NULL,
    program_revision INTEGER NOT NULL,
    restarts         INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX agent_instances_by_agent ON agent_instances (agent);
)sql",
                                      R"sql(
  CREATE TABLE agent_events (
    scope    INTEGER NOT NULL REFERENCES store_scopes (id),
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    type     TEXT NOT NULL,
    agent    TEXT NOT NULL,
    instance BLOB,
    replica  INTEGER,
    revision INTEGER NOT NULL,
    reason   TEXT NOT NULL
  ) STRICT;
  CREATE INDEX agent_events_by_agent ON agent_events (scope, agent, seq);
  CREATE INDEX agent_events_by_seq ON agent_events (scope, seq);
)sql",
                                      // What one replica asks for; NULL until the first start of a server that counts.
                                      R"sql(
  ALTER TABLE agents ADD COLUMN memory INTEGER;
  ALTER TABLE agents ADD COLUMN cpu INTEGER;
  ALTER TABLE agents ADD COLUMN storage INTEGER;
  CREATE TABLE agent_quotas (
    scope    INTEGER NOT NULL REFERENCES store_scopes (id),
    resource TEXT NOT NULL,
    amount   INTEGER,
    set_at   INTEGER NOT NULL,
    PRIMARY KEY (scope, resource)
  ) STRICT;
)sql"};

constexpr std::string_view select_agents =
    "SELECT a.id, a.name, a.intent, a.replicas, a.version, a.revision, a.created_at, a.updated_at, r.number, "
    "r.program_revision, r.spec FROM agents AS a JOIN agent_revisions AS r ON r.id = a.revision "
    "WHERE a.scope = :scope";

/// A row of `select_agents` and the text of its spec, which may turn out to be damaged.
struct ReadAgent {
  AgentRecord agent;
  std::string intent;
  std::string spec;
};

ReadAgent read_agent(const store::Row& row) {
  return {.agent = {.id = row.id<AgentId>(0),
                    .name = row.string(1),
                    .replicas = static_cast<uint32_t>(row.integer(3)),
                    .version = static_cast<uint64_t>(row.integer(4)),
                    .revision = row.id<RevisionId>(5),
                    .revision_number = static_cast<uint32_t>(row.integer(8)),
                    .program_revision = static_cast<uint64_t>(row.integer(9)),
                    .created_at = row.time(6),
                    .updated_at = row.time(7)},
          .intent = row.string(2),
          .spec = row.string(10)};
}

std::shared_ptr<const core::AgentSpec> with_replicas(core::AgentSpec spec, uint32_t replicas) {
  spec.replicas = replicas;
  return std::make_shared<const core::AgentSpec>(std::move(spec));
}

Result<AgentRecord> finish(ReadAgent read, const Scope& scope) {
  auto spec = core::spec_from_json(read.spec);
  const std::optional<Intent> intent = intent_from_string(read.intent);
  if (!spec.has_value() || !intent.has_value())
    return fail(ErrorId::GR0203, "the stored agent '{}' cannot be read: {}", read.agent.name,
                spec.has_value() ? "unknown intent" : spec.error().reason());
  read.agent.scope = scope;
  read.agent.intent = *intent;
  read.agent.spec = with_replicas(std::move(*spec), read.agent.replicas);
  return std::move(read.agent);
}

/// Writes down what a replica of it asks for, which quotas add up.
Result<> count_agent(store::Session& session, const AgentRecord& agent) {
  const core::Resources& one = agent.spec->resources;
  GANTRY_TRY_VOID(session.execute("UPDATE agents SET memory = ?, cpu = ?, storage = ? WHERE scope = :scope AND id = ?",
                                  {one.memory.count, one.cpu.count, one.workspace.count, agent.id}));
  return {};
}

/// Writes what changes in an agent after its creation.
Result<> update_agent(store::Session& session, AgentRecord& agent, Time now) {
  ++agent.version;
  agent.updated_at = now;
  agent.spec = with_replicas(*agent.spec, agent.replicas);
  GANTRY_TRY_VOID(
      session.execute("UPDATE agents SET intent = ?, replicas = ?, version = ?, revision = ?, updated_at = ? "
                      "WHERE scope = :scope AND id = ?",
                      {to_string(agent.intent), agent.replicas, agent.version, agent.revision, now, agent.id}));
  return count_agent(session, agent);
}

Result<> insert_revision(store::Session& session, const AgentRecord& agent, Time now) {
  GANTRY_TRY_VOID(session.execute(
      "INSERT INTO agent_revisions (scope, id, agent, number, program_revision, spec, workdir, created_at) "
      "VALUES (:scope, ?, ?, ?, ?, ?, ?, ?)",
      {agent.revision, agent.id, agent.revision_number, agent.program_revision, core::canonical_json(*agent.spec),
       agent.spec->workdir, now}));
  return {};
}

Result<DeployedRecord> create(store::Session& session, const core::AgentSpec& spec, const NewIds& ids,
                              const DeployLimits& limits) {
  GANTRY_TRY(const auto count, session.find<int64_t>("SELECT count(*) FROM agents WHERE scope = :scope", {},
                                                     [](const store::Row& row) { return row.integer(0); }));
  if (count.value_or(0) >= limits.max_agents) return fail(ErrorId::GR0506, "there are {} agents already", *count);
  GANTRY_TRY_VOID(check_quotas(session, limits.quotas, {.after = need_of(spec, spec.replicas)}));
  AgentRecord agent{.id = ids.agent,
                    .name = spec.name,
                    .scope = session.scope(),
                    .replicas = spec.replicas,
                    .revision = ids.revision,
                    .created_at = ids.now,
                    .updated_at = ids.now,
                    .spec = with_replicas(spec, spec.replicas)};
  GANTRY_TRY_VOID(session.execute(
      "INSERT INTO agents (scope, id, name, intent, replicas, version, revision, created_at, updated_at) "
      "VALUES (:scope, ?, ?, ?, ?, ?, ?, ?, ?)",
      {agent.id, agent.name, to_string(agent.intent), agent.replicas, agent.version, agent.revision, ids.now,
       ids.now}));
  GANTRY_TRY_VOID(count_agent(session, agent));
  GANTRY_TRY_VOID(insert_revision(session, agent, ids.now));
  return DeployedRecord{Deployed::Outcome::created, std::move(agent)};
}

/// Among the agents of the scope as they are stored; one that is being removed does not count.
Result<> check_stored_dependencies(store::Session& session, const core::AgentSpec& spec) {
  return check_dependencies(spec, [&](const std::string& name) -> Result<std::optional<std::vector<std::string>>> {
    GANTRY_TRY(const std::optional<AgentRecord> agent, find_agent(session, name));
    if (!agent.has_value() || agent->intent == Intent::remove) return std::nullopt;
    return agent->spec->depends_on;
  });
}

/// The agent for a verb: `not_found` without a name that is close, which only the registry knows.
Result<AgentRecord> get_changeable(store::Session& session, const std::string& name) {
  GANTRY_TRY(std::optional<AgentRecord> agent, find_agent(session, name));
  if (!agent.has_value()) return fail(ErrorId::GR0501, "there is no agent '{}'", name);
  if (agent->intent == Intent::remove) return fail(ErrorId::GR0507, "agent '{}' is being removed", name);
  return std::move(*agent);
}

}  // namespace

store::Migrations migrations() { return {"agents", steps}; }

bool same_program(const core::AgentSpec& a, const core::AgentSpec& b) {
  return a.command == b.command && a.workdir == b.workdir && a.env == b.env && a.port == b.port &&
         a.resources == b.resources && a.volumes == b.volumes;
}

Result<std::optional<AgentRecord>> find_agent(store::Session& session, const std::string& name) {
  GANTRY_TRY(auto read, session.find<ReadAgent>(std::string(select_agents) + " AND a.name = ?", {name}, read_agent));
  if (!read.has_value()) return std::nullopt;
  GANTRY_TRY(AgentRecord agent, finish(std::move(*read), session.scope()));
  return agent;
}

Result<std::vector<AgentRecord>> list_agents(store::Session& session) {
  GANTRY_TRY(auto all, session.list<ReadAgent>(select_agents, {}, read_agent));
  std::vector<AgentRecord> agents;
  agents.reserve(all.size());
  for (ReadAgent& read : all) {
    GANTRY_TRY(AgentRecord agent, finish(std::move(read), session.scope()));
    agents.push_back(std::move(agent));
  }
  return agents;
}

Result<DeployedRecord> deploy(store::Session& session, const core::AgentSpec& spec, const NewIds& ids,
                              const DeployLimits& limits) {
  GANTRY_TRY_VOID(check_stored_dependencies(session, spec));
  GANTRY_TRY(std::optional<AgentRecord> found, find_agent(session, spec.name));
  if (!found.has_value()) return create(session, spec, ids, limits);
  AgentRecord& agent = *found;
  if (agent.intent == Intent::remove) return fail(ErrorId::GR0507, "agent '{}' is being removed", spec.name);
  const QuotaStep step{.before = need_of(*agent.spec, agent.replicas), .after = need_of(spec, spec.replicas)};
  const bool same_replicas = agent.replicas == spec.replicas;
  agent.replicas = spec.replicas;
  // How many replicas there are is no property of a revision.
  const bool same_spec = core::canonical_json(*with_replicas(*agent.spec, spec.replicas)) == core::canonical_json(spec);
  if (same_spec && same_replicas) return DeployedRecord{Deployed::Outcome::unchanged, std::move(agent)};
  GANTRY_TRY_VOID(check_quotas(session, limits.quotas, step));
  if (!same_spec) {
    ++agent.revision_number;
    if (!same_program(*agent.spec, spec)) agent.program_revision = agent.revision_number;
    agent.revision = ids.revision;
    agent.spec = with_replicas(spec, spec.replicas);
    GANTRY_TRY_VOID(insert_revision(session, agent, ids.now));
    GANTRY_TRY_VOID(session.execute("DELETE FROM agent_revisions WHERE scope = :scope AND agent = ? AND number <= ?",
                                    {agent.id, int64_t{agent.revision_number} - int64_t{limits.revisions_kept}}));
  }
  GANTRY_TRY_VOID(update_agent(session, agent, ids.now));
  return DeployedRecord{Deployed::Outcome::updated, std::move(agent)};
}

Result<AgentRecord> set_intent(store::Session& session, const std::string& name, Intent intent, Time now) {
  GANTRY_TRY(AgentRecord agent, get_changeable(session, name));
  if (agent.intent == intent) return agent;
  agent.intent = intent;
  GANTRY_TRY_VOID(update_agent(session, agent, now));
  return agent;
}

Result<AgentRecord> set_replicas(store::Session& session, const std::string& name, uint32_t replicas,
                                 const Limits& quotas, Time now) {
  GANTRY_TRY(AgentRecord agent, get_changeable(session, name));
  if (agent.replicas == replicas) return agent;
  GANTRY_TRY_VOID(check_quotas(
      session, quotas, {.before = need_of(*agent.spec, agent.replicas), .after = need_of(*agent.spec, replicas)}));
  agent.replicas = replicas;
  GANTRY_TRY_VOID(update_agent(session, agent, now));
  return agent;
}

Result<> count_agents(store::Session& session, const std::vector<AgentRecord>& agents) {
  for (const AgentRecord& agent : agents) GANTRY_TRY_VOID(count_agent(session, agent));
  return {};
}

Result<bool> has_uncounted_agents(store::Session& session) {
  GANTRY_TRY(const auto found,
             session.find<bool>("SELECT 1 FROM agents WHERE scope = :scope AND memory IS NULL LIMIT 1", {},
                                [](const store::Row&) { return true; }));
  return found.has_value();
}

Result<> delete_agent(store::Session& session, AgentId agent) {
  GANTRY_TRY_VOID(session.execute("DELETE FROM agent_instances WHERE scope = :scope AND agent = ?", {agent}));
  GANTRY_TRY_VOID(session.execute("DELETE FROM agent_revisions WHERE scope = :scope AND agent = ?", {agent}));
  GANTRY_TRY_VOID(session.execute("DELETE FROM agents WHERE scope = :scope AND id = ?", {agent}));
  return {};
}

Result<std::vector<InstanceRecord>> list_instances(store::Session& session) {
  return session.list<InstanceRecord>(
      "SELECT id, agent, replica, program_revision, restarts FROM agent_instances WHERE scope = :scope ORDER BY id", {},
      [](const store::Row& row) {
        return InstanceRecord{.id = row.id<InstanceId>(0),
                              .agent = row.id<AgentId>(1),
                              .replica = static_cast<uint32_t>(row.integer(2)),
                              .program_revision = static_cast<uint64_t>(row.integer(3)),
                              .restarts = static_cast<uint32_t>(row.integer(4))};
      });
}

Result<> save_instance(store::Session& session, const InstanceRecord& instance) {
  GANTRY_TRY_VOID(
      session.execute("INSERT INTO agent_instances (scope, id, agent, replica, program_revision, restarts) "
                      "VALUES (:scope, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET restarts = excluded.restarts",
                      {instance.id, instance.agent, instance.replica, instance.program_revision, instance.restarts}));
  return {};
}

Result<> delete_instance(store::Session& session, InstanceId instance) {
  GANTRY_TRY_VOID(session.execute("DELETE FROM agent_instances WHERE scope = :scope AND id = ?", {instance}));
  return {};
}

Result<std::vector<std::string>> list_workdirs(store::Session& session) {
  return session.list<std::string>(
      "SELECT DISTINCT workdir FROM agent_revisions WHERE scope = :scope AND workdir <> ''", {},
      [](const store::Row& row) { return row.string(0); });
}

}  // namespace gantry::agents
