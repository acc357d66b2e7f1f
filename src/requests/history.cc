#include "requests/history.h"

#include <array>

#include "requests/history_removals.h"

namespace gantry::requests {
namespace {

// Times are Unix milliseconds, ids 16 bytes, `log` the attempts as encoded by pack_log.
const std::array<std::string_view, 5> steps{R"sql(
  CREATE TABLE requests (
    accept_seq INTEGER NOT NULL,
    final_seq INTEGER NOT NULL,
    scope INTEGER NOT NULL,
    id BLOB NOT NULL,
    agent_id BLOB NOT NULL,
    agent TEXT NOT NULL,
    method TEXT NOT NULL,
    target TEXT NOT NULL,
    status INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    response_status INTEGER NOT NULL,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    replay_of BLOB,
    accept_segment INTEGER NOT NULL, accept_offset INTEGER NOT NULL, accept_size INTEGER NOT NULL,
    final_segment INTEGER NOT NULL, final_offset INTEGER NOT NULL, final_size INTEGER NOT NULL,
    request_blob BLOB,
    answer_blob BLOB,
    log BLOB NOT NULL,
    PRIMARY KEY (accept_seq)
  );
  CREATE UNIQUE INDEX requests_by_id ON requests (id);
  CREATE INDEX requests_by_end ON requests (final_seq);
  CREATE INDEX requests_by_agent ON requests (scope, agent, accept_seq);
  CREATE INDEX requests_failed ON requests (scope, accept_seq) WHERE status = 3;
  CREATE INDEX requests_by_request_blob ON requests (request_blob) WHERE request_blob IS NOT NULL;
  CREATE INDEX requests_by_answer_blob ON requests (answer_blob) WHERE answer_blob IS NOT NULL;
  CREATE TABLE request_progress (
    scope INTEGER NOT NULL,
    reached INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    PRIMARY KEY (scope)
  );
)sql",
                                            R"sql(
  ALTER TABLE requests ADD COLUMN key TEXT;
  ALTER TABLE requests ADD COLUMN fingerprint BLOB;
  CREATE INDEX requests_by_key ON requests (scope, agent_id, key) WHERE key IS NOT NULL;
  ALTER TABLE request_progress ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;
)sql",
                                            R"sql(
  DROP INDEX requests_by_end;
  CREATE INDEX requests_by_end ON requests (final_seq) WHERE final_segment <> accept_segment;
)sql",
                                            requeue_schema,
                                            // What is kept beside the records, for retention by size.
                                            "ALTER TABLE requests ADD COLUMN blob_bytes INTEGER NOT NULL DEFAULT 0;"};

constexpr std::string_view insert_sql =
    "INSERT OR IGNORE INTO requests (accept_seq, final_seq, scope, id, agent_id, agent, method, target, status, "
    "attempts,"
    " failures, response_status, reason, created_at, ended_at, replay_of, accept_segment, accept_offset, accept_size,"
    " final_segment, final_offset, final_size, request_blob, answer_blob, log, key, fingerprint,"
    " blob_bytes)"
    " VALUES (?, ?, :scope, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

constexpr std::string_view columns =
    "accept_seq, id, agent_id, agent, method, target, status, attempts, failures, response_status, reason, created_at,"
    " ended_at, replay_of, accept_segment, accept_offset, accept_size, final_segment, final_offset, final_size, log,"
    " key, fingerprint, final_seq";

// Rows that one look at the history may pass over: some 40 ms.
constexpr size_t most_looked_at = 20'000;

// At one end of the scale of scopes there is always this one: it carries the position of the projection.
Scope home() { return Scope::standard(); }

std::string pack_log(const std::vector<Attempt>& log) {
  std::string bytes;
  Encoder out(bytes);
  out.varint(log.size());
  for (const Attempt& attempt : log) {
    out.varint(attempt.number);
    out.id(attempt.instance.bytes());
    out.varint(static_cast<uint64_t>(gantry::unix_ms(attempt.started_at)));
    out.varint(static_cast<uint64_t>(gantry::unix_ms(attempt.ended_at)));
    out.u8(static_cast<uint8_t>(attempt.outcome));
    out.bytes(attempt.detail);
  }
  return bytes;
}

std::vector<Attempt> unpack_log(std::span<const uint8_t> bytes) {
  // SAFETY: bytes seen as char.
  Decoder in(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  std::vector<Attempt> log;
  uint64_t count = in.varint();
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    Attempt attempt;
    attempt.number = static_cast<uint32_t>(in.varint());
    attempt.instance = InstanceId(in.id());
    attempt.started_at = time_from_unix_ms(static_cast<int64_t>(in.varint()));
    attempt.ended_at = time_from_unix_ms(static_cast<int64_t>(in.varint()));
    attempt.outcome = in.outcome();
    attempt.detail = in.bytes();
    log.push_back(std::move(attempt));
  }
  return log;
}

std::optional<std::span<const uint8_t>> blob_parameter(const std::optional<journal::BlobId>& blob) {
  if (!blob) return std::nullopt;
  return std::span<const uint8_t>(*blob);
}

journal::Location location(const store::Row& row, int column) {
  return {.segment = static_cast<uint64_t>(row.integer(column)),
          .offset = static_cast<uint32_t>(row.integer(column + 1)),
          .size = static_cast<uint32_t>(row.integer(column + 2))};
}

RequestView view_of(const store::Row& row, const Scope& scope) {
  RequestView view;
  view.scope = scope;
  view.accept_seq = static_cast<uint64_t>(row.integer(0));
  view.id = row.id<RequestId>(1);
  view.agent_id = row.id<AgentId>(2);
  view.agent = row.string(3);
  view.method = row.string(4);
  view.target = row.string(5);
  view.state.status = static_cast<Status>(row.integer(6));
  view.state.attempts = static_cast<uint32_t>(row.integer(7));
  view.state.failures = static_cast<uint32_t>(row.integer(8));
  view.state.response_status = static_cast<uint16_t>(row.integer(9));
  view.state.reason = row.string(10);
  view.created_at = row.time(11);
  view.state.ended_at = row.time(12);
  if (!row.is_null(13)) view.replay_of = row.id<RequestId>(13);
  view.accepted_at = location(row, 14);
  if (view.state.status == Status::completed) view.final_at = location(row, 17);
  view.state.log = unpack_log(row.blob(20));
  if (!row.is_null(21)) view.key = row.string(21);
  view.final_seq = static_cast<uint64_t>(row.integer(23));
  return view;
}

Traits traits_of(const store::Row& row) {
  return {.id = row.id<RequestId>(1),
          .agent = row.text(3),
          .target = row.text(5),
          .key = row.text(21),
          .reason = row.text(10),
          .status = static_cast<Status>(row.integer(6)),
          .created_at = row.time(11)};
}

Result<> insert(store::Statement& statement, const LiveTable::Finished& finished) {
  const RequestView& view = finished.view;
  const RequestState& state = view.state;
  journal::Location final_at = view.final_at.value_or(journal::Location{});
  std::string log = pack_log(state.log);
  std::optional<std::string_view> key;
  std::optional<std::span<const uint8_t>> fingerprint;
  if (!view.key.empty()) {
    key = view.key;
    fingerprint = finished.fingerprint;
  }
  auto done = statement.execute({view.accept_seq,
                                 finished.final_seq,
                                 view.id,
                                 view.agent_id,
                                 view.agent,
                                 view.method,
                                 view.target,
                                 static_cast<int>(state.status),
                                 state.attempts,
                                 state.failures,
                                 state.response_status,
                                 state.reason,
                                 view.created_at,
                                 state.ended_at,
                                 view.replay_of,
                                 view.accepted_at.segment,
                                 view.accepted_at.offset,
                                 view.accepted_at.size,
                                 final_at.segment,
                                 final_at.offset,
                                 final_at.size,
                                 blob_parameter(finished.request_blob),
                                 blob_parameter(finished.answer_blob),
                                 crypto::bytes_of(log),
                                 key,
                                 fingerprint,
                                 finished.blob_bytes});
  if (!done) return std::unexpected(std::move(done).error());
  return {};
}

uint64_t& total_of(Counts& counts, Status status) {
  if (status == Status::completed) return counts.completed;
  return status == Status::cancelled ? counts.cancelled : counts.failed;
}

}  // namespace

store::Migrations migrations() { return {.component = "requests", .steps = steps}; }

Result<uint64_t> History::reached() {
  auto row = database_.read_blocking(home(), [](store::Session& session) {
    return session.find<std::array<int64_t, 4>>(
        "SELECT reached, completed, failed, cancelled FROM request_progress WHERE scope = :scope", {},
        [](const store::Row& found) {
          return std::array<int64_t, 4>{found.integer(0), found.integer(1), found.integer(2), found.integer(3)};
        });
  });
  if (!row) return std::unexpected(std::move(row).error());
  if (!*row) return uint64_t{0};
  const auto& [reached, completed, failed, cancelled] = **row;
  {
    std::lock_guard lock(mutex_);
    totals_.completed = static_cast<uint64_t>(completed);
    totals_.failed = static_cast<uint64_t>(failed);
    totals_.cancelled = static_cast<uint64_t>(cancelled);
  }
  live_.forget_projected(static_cast<uint64_t>(reached));
  return static_cast<uint64_t>(reached);
}

Result<uint64_t> History::project(std::span<const journal::Record> batch) {
  if (batch.empty()) return uint64_t{0};
  std::vector<LiveTable::Finished> ended;
  Removals removals;
  for (const journal::Record& record : batch) {
    if (record.kind != request_completed && record.kind != request_failed && record.kind != request_cancelled) {
      // A requeue that the fold refused has no new life: the row of the old one stays.
      if (record.kind != request_requeued || live_.accept_seq(RequestId(record.entity)).value_or(0) >= record.seq)
        removals.note(record);
      continue;
    }
    auto finished = live_.finished(RequestId(record.entity));
    // A second end of the same request does not count: the fold refused it, too.
    if (finished && finished->final_seq == record.seq) ended.push_back(std::move(*finished));
  }
  uint64_t last_seq = batch.back().seq;
  // An error here only leaves look-ups slower; whatever it was, the write below meets it, too.
  static_cast<void>(known_keys_.read_some(database_));
  for (const LiveTable::Finished& finished : ended)
    if (!finished.view.key.empty()) known_keys_.add(finished.view.agent_id, finished.view.key);
  Counts added;
  auto written = database_.write_blocking(
      home(), [&](store::Session& session) { return write(session, ended, removals, last_seq, added); });
  if (!written) return written;
  live_.forget_projected(last_seq);
  std::lock_guard lock(mutex_);
  totals_.completed += added.completed;
  totals_.failed += added.failed;
  totals_.cancelled += added.cancelled;
  return written;
}

// `added` may be below zero: unsigned arithmetic carries that through every sum.
Result<uint64_t> History::write(store::Session& session, const std::vector<LiveTable::Finished>& ended,
                                const Removals& removals, uint64_t last_seq, Counts& added) {
  added = {};
  Gone gone{};
  GANTRY_TRY_VOID(take_requeued(session, removals, gone));
  // Runs of one scope share a statement; with one scope that is all of them.
  for (size_t i = 0; i < ended.size();) {
    const Scope& scope = ended[i].view.scope;
    GANTRY_TRY_VOID(session.enter(scope));
    GANTRY_TRY(auto statement, session.prepare(insert_sql));
    for (; i < ended.size() && ended[i].view.scope == scope; ++i) {
      ++total_of(added, ended[i].view.state.status);
      GANTRY_TRY_VOID(insert(statement, ended[i]));
      if (ended[i].view.requeued) GANTRY_TRY_VOID(insert_requeued(session, ended[i].view));
    }
  }
  GANTRY_TRY_VOID(take_purged(session, removals, gone));
  GANTRY_TRY_VOID(write_deeds(session, removals));
  for (Status status : {Status::completed, Status::failed, Status::cancelled})
    total_of(added, status) -= gone[static_cast<size_t>(status)];
  GANTRY_TRY_VOID(session.enter(home()));
  GANTRY_TRY(auto changed, session.execute("INSERT INTO request_progress (scope, reached, completed, failed, cancelled)"
                                           " VALUES (:scope, ?, ?, ?, ?) ON CONFLICT (scope) DO UPDATE SET"
                                           " reached = excluded.reached, completed = completed + excluded.completed,"
                                           " failed = failed + excluded.failed,"
                                           " cancelled = cancelled + excluded.cancelled",
                                           {last_seq, added.completed, added.failed, added.cancelled}));
  static_cast<void>(changed);
  return last_seq;
}

// The range is a whole segment: what ended in the segment in which it began is found by its beginning, so that most
// rows need no place in the index of ends.
Result<bool> History::needs(uint64_t first_seq, uint64_t last_seq) {
  GANTRY_TRY(auto scopes, database_.scopes());
  for (const Scope& scope : scopes) {
    auto found = database_.read_blocking(scope, [&](store::Session& session) -> Result<std::optional<int64_t>> {
      GANTRY_TRY(const bool original, has_original(session, first_seq, last_seq));
      if (original) return 1;
      return session.find<int64_t>(
          "SELECT 1 FROM requests WHERE scope = :scope AND accept_seq BETWEEN ? AND ? UNION ALL"
          " SELECT 1 FROM requests WHERE scope = :scope AND final_seq BETWEEN ? AND ?"
          " AND final_segment <> accept_segment LIMIT 1",
          {first_seq, last_seq, first_seq, last_seq}, [](const store::Row& row) { return row.integer(0); });
    });
    if (!found) return std::unexpected(std::move(found).error());
    if (found->has_value()) return true;
  }
  return false;
}

Task<Result<std::optional<RequestView>>> History::find(Scope scope, RequestId id) {
  co_return co_await database_.read(scope, [scope, id](store::Session& session) -> Result<std::optional<RequestView>> {
    auto view =
        session.find<RequestView>(fmt::format("SELECT {} FROM requests WHERE scope = :scope AND id = ?", columns), {id},
                                  [&](const store::Row& row) { return view_of(row, scope); });
    if (!view || !*view) return view;
    GANTRY_TRY((*view)->requeued, find_requeued(session, (*view)->accept_seq));
    return view;
  });
}

Task<Result<std::optional<KeyHolder>>> History::find_key(KeyName name) {
  if (!known_keys_.may_hold(name)) co_return std::nullopt;
  co_return co_await database_.read(name.scope, [name](store::Session& session) {
    return session.find<KeyHolder>(
        fmt::format("SELECT {} FROM requests WHERE scope = :scope AND agent_id = ? AND key = ?", columns),
        {name.agent, name.key}, [&](const store::Row& row) {
          KeyHolder holder{view_of(row, name.scope), {}};
          auto bytes = row.blob(22);
          if (bytes.size() == holder.fingerprint.size())
            std::copy(bytes.begin(), bytes.end(), holder.fingerprint.begin());
          return holder;
        });
  });
}

Task<Result<History::Found>> History::list(Scope scope, Filter filter) {
  // Only finished requests are here.
  if (filter.status == Status::pending || filter.status == Status::processing) co_return Found{};
  co_return co_await database_.read(scope, [scope, filter](store::Session& session) -> Result<Found> {
    const bool newest_first = filter.sequence == Filter::Sequence::newest_first;
    int64_t cursor = static_cast<int64_t>(newest_first ? filter.before_seq : filter.after_seq);
    if (newest_first && cursor == 0) cursor = INT64_MAX;
    std::string sql = fmt::format("SELECT {} FROM requests WHERE scope = :scope AND accept_seq {} ?", columns,
                                  newest_first ? "<" : ">");
    std::vector<store::Parameter> parameters{cursor};
    if (!filter.agent.empty()) {
      sql += " AND agent = ?";
      parameters.emplace_back(filter.agent);
    }
    // As text, so that the partial index over failed requests is taken.
    if (filter.status) sql += fmt::format(" AND status = {}", static_cast<int>(*filter.status));
    sql += fmt::format(" ORDER BY accept_seq {} LIMIT {}", newest_first ? "DESC" : "ASC", most_looked_at);
    // The other conditions have no index: each row is looked at, and so many at most.
    Found found;
    size_t looked_at = 0;
    GANTRY_TRY_VOID(session.each(sql, parameters, [&](const store::Row& row) {
      ++looked_at;
      if (matches(filter, traits_of(row))) found.views.push_back(view_of(row, scope));
      if (looked_at == most_looked_at) found.scanned_to = static_cast<uint64_t>(row.integer(0));
      return found.views.size() < filter.limit;
    }));
    if (found.views.size() == filter.limit) found.scanned_to = 0;
    return found;
  });
}

Task<Result<std::vector<std::string>>> History::agents(Scope scope) {
  co_return co_await database_.read(scope, [](store::Session& session) {
    return session.list<std::string>("SELECT DISTINCT agent FROM requests WHERE scope = :scope", {},
                                     [](const store::Row& row) { return row.string(0); });
  });
}

Result<bool> History::refers_to(const journal::BlobId& blob) {
  GANTRY_TRY(auto scopes, database_.scopes());
  std::span<const uint8_t> bytes(blob);
  for (const Scope& scope : scopes) {
    auto found = database_.read_blocking(scope, [&](store::Session& session) -> Result<std::optional<int64_t>> {
      GANTRY_TRY(const bool original, has_original(session, blob));
      if (original) return 1;
      return session.find<int64_t>(
          "SELECT 1 FROM requests WHERE scope = :scope AND (request_blob = ? OR answer_blob = ?)"
          " LIMIT 1",
          {bytes, bytes}, [](const store::Row& row) { return row.integer(0); });
    });
    if (!found) return std::unexpected(std::move(found).error());
    if (found->has_value()) return true;
  }
  return false;
}

Counts History::counts() const {
  std::lock_guard lock(mutex_);
  return totals_;
}

}  // namespace gantry::requests
