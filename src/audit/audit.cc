#include "audit/audit.h"

#include <array>

namespace gantry::audit {
namespace {

constexpr std::array<std::string_view, 1> steps{R"sql(
  CREATE TABLE audit_entries (
    seq INTEGER NOT NULL,
    scope INTEGER NOT NULL,
    at INTEGER NOT NULL,
    principal TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (seq)
  );
  CREATE INDEX audit_by_subject ON audit_entries (scope, subject, seq);
  CREATE INDEX audit_by_action ON audit_entries (scope, action, seq);
)sql"};

constexpr size_t reads_kept = 4096;
// How long a listing waits for a projection that is behind.
constexpr Duration list_patience = std::chrono::seconds(2);

}  // namespace

store::Migrations migrations() { return {.component = "audit", .steps = steps}; }

journal::Entry to_record(const Scope& scope, const Entry& entry) {
  json::Object payload{{"format", 1},
                       {"principal", entry.principal},
                       {"action", entry.action},
                       {"subject", entry.subject},
                       {"details", entry.details}};
  return {.kind = audit_entry, .scope = scope, .head = json::serialize(payload), .priority = journal::Priority::finish};
}

Result<Entry> from_payload(std::string_view payload) {
  auto value = json::parse(payload);
  if (!value || json::get_int_or(*value, "format", 0).value_or(0) != 1)
    return fail(Code::data_loss, "the journal holds a damaged audit record");
  Entry entry;
  GANTRY_TRY(entry.principal, json::get_string(*value, "principal"));
  GANTRY_TRY(entry.action, json::get_string(*value, "action"));
  GANTRY_TRY(entry.subject, json::get_string(*value, "subject"));
  GANTRY_TRY(const json::Object* details, json::get_object(*value, "details"));
  entry.details = *details;
  return entry;
}

Result<> write_row(store::Session& session, const Recorded& recorded, const Scope& scope) {
  GANTRY_TRY_VOID(session.enter(scope));
  const Entry& entry = recorded.entry;
  std::string details = json::serialize(entry.details);
  auto done = session.execute(
      "INSERT OR IGNORE INTO audit_entries (seq, scope, at, principal, action, subject, details)"
      " VALUES (?, :scope, ?, ?, ?, ?, ?)",
      {recorded.seq, recorded.at, entry.principal, entry.action, entry.subject, details});
  if (!done) return std::unexpected(std::move(done).error());
  return {};
}

Task<Result<void>> Trail::record(Scope scope, Entry entry) {
  journal::Entry record = to_record(scope, entry);
  auto done = co_await parts_.journal.append(std::move(record));
  if (!done) co_return std::unexpected(std::move(done).error().wrap("journal the audit entry"));
  // The entry is durable, whatever becomes of the old ones; they go the next time.
  if (must_prune()) static_cast<void>(co_await prune());
  co_return Result<void>{};
}

Task<Result<void>> Trail::record_read(Scope scope, Entry entry) {
  std::string what = fmt::format("{}\n{}\n{}\n{}", scope.path(), entry.principal, entry.action, entry.subject);
  if (was_read_lately(what)) co_return Result<void>{};
  co_return co_await record(std::move(scope), std::move(entry));
}

bool Trail::was_read_lately(const std::string& what) {
  Time now = parts_.clock.now();
  std::lock_guard lock(mutex_);
  auto [found, is_new] = reads_.try_emplace(what, now);
  if (!is_new && found->second + options_.read_window > now) return true;
  found->second = now;
  if (reads_.size() > reads_kept) reads_.clear();
  return false;
}

Task<Result<Page>> Trail::list(Scope scope, Filter filter) {
  co_await until_projected(parts_.journal.durable_seq());
  auto rows = co_await parts_.database.read(std::move(scope), [filter](store::Session& session) {
    // One more than asked for tells whether there is a next page.
    int64_t before = filter.before_seq == 0 ? INT64_MAX : static_cast<int64_t>(filter.before_seq);
    std::string sql =
        "SELECT seq, at, principal, action, subject, details FROM audit_entries WHERE scope = :scope"
        " AND seq < ? AND at >= ?";
    std::vector<store::Parameter> parameters{before, filter.since};
    for (auto [column, wanted] : {std::pair<std::string_view, const std::string&>{"action", filter.action},
                                  {"subject", filter.subject},
                                  {"principal", filter.principal}}) {
      if (wanted.empty()) continue;
      sql += fmt::format(" AND {} = ?", column);
      parameters.emplace_back(wanted);
    }
    sql += " ORDER BY seq DESC LIMIT ?";
    parameters.emplace_back(filter.limit + 1);
    return session.list<Recorded>(sql, parameters, [](const store::Row& row) {
      Recorded recorded{.seq = static_cast<uint64_t>(row.integer(0)), .at = row.time(1), .entry = {}};
      recorded.entry.principal = row.string(2);
      recorded.entry.action = row.string(3);
      recorded.entry.subject = row.string(4);
      if (auto details = json::parse(row.text(5)); details && details->is_object())
        recorded.entry.details = details->get_object();
      return recorded;
    });
  });
  if (!rows) co_return std::unexpected(std::move(rows).error());
  Page page{.entries = std::move(*rows)};
  if (page.entries.size() > filter.limit) {
    page.entries.resize(filter.limit);
    page.next = page.entries.back().seq;
  }
  co_return page;
}

Task<void> Trail::until_projected(uint64_t seq) {
  const SteadyTime deadline = parts_.clock.steady() + list_patience;
  while (parts_.clock.steady() < deadline) {
    bool behind = false;
    for (const journal::Lag& lag : parts_.journal.lag()) behind |= lag.projection == "requests" && lag.reached < seq;
    if (!behind) co_return;
    co_await sleep_for(std::chrono::milliseconds(10));
  }
}

bool Trail::must_prune() {
  const Time now = parts_.clock.now();
  std::lock_guard lock(mutex_);
  if (now - pruned_at_ < options_.prune_every) return false;
  pruned_at_ = now;
  return true;
}

// In one portion, so that projections do not wait long for the writer; the rest goes the next time.
Task<Result<void>> Trail::prune() {
  const Time cutoff = parts_.clock.now() - options_.retention;
  const uint64_t most = options_.max_entries;
  auto pruned = co_await parts_.database.write(Scope::standard(), [cutoff, most](store::Session& session) {
    return session.execute(
        "DELETE FROM audit_entries WHERE seq IN (SELECT seq FROM audit_entries"
        " WHERE :scope = :scope AND (at < ? OR seq <= (SELECT seq FROM audit_entries"
        " ORDER BY seq DESC LIMIT 1 OFFSET ?)) ORDER BY seq LIMIT 10000)",
        {cutoff, most});
  });
  if (!pruned) co_return std::unexpected(std::move(pruned).error().wrap("remove old audit entries"));
  co_return Result<void>{};
}

}  // namespace gantry::audit
