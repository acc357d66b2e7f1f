#include "agents/event_log.h"

#include <algorithm>
#include <array>
#include <utility>

namespace gantry::agents {
namespace {

using telemetry::field;

constexpr std::array<std::string_view, 17> all_types = {
    "agent.deploy",  "agent.rollout",    "agent.rolled_out",      "agent.scale",    "agent.start",
    "agent.stop",    "agent.restart",    "agent.pause",           "agent.resume",   "agent.crash_loop",
    "agent.remove",  "instance.start",   "instance.start_failed", "instance.ready", "instance.unhealthy",
    "instance.exit", "instance.restart",
};

constexpr size_t batch_size = 256;

// `?, ?, ?`
std::string marks(size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += i == 0 ? "?" : ", ?";
  return out;
}

struct Query {
  std::string sql =
      "SELECT seq, at, type, agent, instance, replica, revision, reason FROM agent_events WHERE scope = :scope";
  std::vector<store::Parameter> parameters;
};

EventView read_event(const store::Row& row) {
  EventView view{.seq = static_cast<uint64_t>(row.integer(0)), .at = row.time(1)};
  view.event = {.type = row.string(2),
                .agent = row.string(3),
                .revision = static_cast<uint32_t>(row.integer(6)),
                .reason = row.string(7)};
  if (!row.is_null(4)) view.event.instance = row.id<InstanceId>(4);
  if (!row.is_null(5)) view.event.replica = static_cast<uint32_t>(row.integer(5));
  return view;
}

Result<std::vector<std::string>> types_of(const EventFilter& filter) {
  std::vector<std::string> types;
  for (const std::string& word : filter.types) {
    const auto named = event_types_named(word);
    if (named.empty()) {
      const auto near = closest(word, all_types);
      return std::unexpected(
          Error(Code::invalid, fmt::format("type: there is no event '{}'", word.substr(0, 64)))
              .with_hint(near ? fmt::format("did you mean '{}'?", *near)
                              : fmt::format("there are {}; 'agent', 'instance' and 'exit' name several",
                                            fmt::join(all_types, ", "))));
    }
    types.insert(types.end(), named.begin(), named.end());
  }
  return types;
}

}  // namespace

std::vector<std::string_view> event_types() { return {all_types.begin(), all_types.end()}; }

std::vector<std::string_view> event_types_named(std::string_view word) {
  if (word.ends_with(".*")) word.remove_suffix(2);
  std::vector<std::string_view> named;
  for (std::string_view type : all_types) {
    const size_t dot = type.find('.');
    if (word == type || word == type.substr(0, dot) || word == type.substr(dot + 1)) named.push_back(type);
  }
  return named;
}

json::Value to_json(const EventView& view) {
  const Event& event = view.event;
  json::Object object{{"seq", view.seq}, {"at", format_time(view.at)}, {"type", event.type}, {"agent", event.agent}};
  object["instance"] = event.instance ? json::Value(event.instance->to_string()) : json::Value(nullptr);
  object["replica"] = event.replica ? json::Value(*event.replica) : json::Value(nullptr);
  object["revision"] = event.revision > 0 ? json::Value(event.revision) : json::Value(nullptr);
  object["reason"] = event.reason.empty() ? json::Value(nullptr) : json::Value(event.reason);
  return object;
}

void EventLog::record(const Scope& scope, Event event) {
  if (!enqueue({scope, parts_.clock.now(), std::move(event)})) return;
  // Not under the lock: on its own thread the task begins inside this call.
  if (parts_.tasks.spawn(parts_.threads.executor(0), write())) return;
  std::lock_guard lock(mutex_);
  writes_ = false;
}

// True if nobody writes yet: the caller has to begin.
bool EventLog::enqueue(Waiting waiting) {
  std::lock_guard lock(mutex_);
  if (waiting_.size() >= limits_.waiting) {
    if (dropped_++ == 0) parts_.logger.warn("events are dropped: the store does not keep up");
    return false;
  }
  waiting_.push_back(std::move(waiting));
  return !std::exchange(writes_, true);
}

// The oldest ones of one scope; none left: nobody writes any more.
std::vector<EventLog::Waiting> EventLog::take_batch() {
  std::lock_guard lock(mutex_);
  std::vector<Waiting> batch;
  while (!waiting_.empty() && batch.size() < batch_size &&
         (batch.empty() || waiting_.front().scope == batch[0].scope)) {
    batch.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  if (batch.empty()) {
    writes_ = false;
    dropped_ = 0;
  }
  return batch;
}

Task<void> EventLog::write() {
  for (std::vector<Waiting> batch = take_batch(); !batch.empty(); batch = take_batch()) {
    auto written = co_await parts_.database.write(
        batch[0].scope,
        [&](store::Session& session) -> Result<> {
          for (const Waiting& one : batch) GANTRY_TRY_VOID(insert(session, one.event, one.at));
          return {};
        },
        store::Durability::deferred);
    // A full disk costs events, not the supervision of agents.
    if (!written)
      parts_.logger.warn("events not written", field("events", batch.size()), field("error", written.error()));
    committed();
  }
}

Result<> EventLog::insert(store::Session& session, const Event& event, Time at) const {
  GANTRY_TRY_VOID(
      session.execute("INSERT INTO agent_events (scope, at, type, agent, instance, replica, revision, reason) "
                      "VALUES (:scope, ?, ?, ?, ?, ?, ?, ?)",
                      {at, event.type, event.agent, event.instance, event.replica, event.revision, event.reason}));
  // The newest is `kept` ahead of what goes; numbers are shared by all scopes, so that a scope keeps at most so many.
  GANTRY_TRY_VOID(session.execute("DELETE FROM agent_events WHERE scope = :scope AND seq <= last_insert_rowid() - ?",
                                  {limits_.kept}));
  return {};
}

Task<Result<std::vector<EventView>>> EventLog::read(Scope scope, EventFilter filter) {
  GANTRY_CO_TRY(std::vector<std::string> types, types_of(filter));
  co_return co_await parts_.database.read(scope, [&](store::Session& session) -> Result<std::vector<EventView>> {
    Query query;
    const auto also = [&](std::string_view condition, store::Parameter value) {
      query.sql += fmt::format(" AND {}", condition);
      query.parameters.push_back(value);
    };
    if (filter.after_seq) also("seq > ?", static_cast<int64_t>(*filter.after_seq));
    if (!filter.after_seq && filter.before_seq > 0) also("seq < ?", static_cast<int64_t>(filter.before_seq));
    if (filter.since) also("at >= ?", *filter.since);
    if (filter.until) also("at <= ?", *filter.until);
    if (!filter.agents.empty()) query.sql += fmt::format(" AND agent IN ({})", marks(filter.agents.size()));
    for (const std::string& agent : filter.agents) query.parameters.push_back(agent);
    if (!types.empty()) query.sql += fmt::format(" AND type IN ({})", marks(types.size()));
    for (const std::string& type : types) query.parameters.push_back(type);
    query.sql += fmt::format(" ORDER BY seq {} LIMIT ?", filter.after_seq ? "ASC" : "DESC");
    query.parameters.push_back(filter.limit);
    return session.list<EventView>(query.sql, query.parameters, read_event);
  });
}

Task<Result<std::vector<EventView>>> EventLog::wait(Scope scope, EventFilter filter, Duration patience) {
  const SteadyTime deadline = parts_.clock.steady() + patience;
  for (;;) {
    const Notifier::Ticket ticket = changed_.ticket();
    GANTRY_CO_TRY(std::vector<EventView> events, co_await read(scope, filter));
    if (!events.empty() || parts_.clock.steady() >= deadline) co_return events;
    co_await changed_.wait(ticket, deadline);
  }
}

}  // namespace gantry::agents
