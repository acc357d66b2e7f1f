// Which finished requests are beyond what is kept, and their removal.
#include "requests/history.h"

namespace gantry::requests {
namespace {

// In portions, so that projections do not wait long for the writer.
constexpr int64_t portion = 1'000;
// More are not counted before they are removed.
constexpr int64_t most_counted = 1'000'000;

Result<int64_t> first_number(store::Session& session, std::string_view sql,
                             std::initializer_list<store::Parameter> values) {
  GANTRY_TRY(auto found, session.find<int64_t>(sql, values, [](const store::Row& row) { return row.integer(0); }));
  return found.value_or(0);
}

// Rows accepted at or before this are too many, or too large together; 0 for none.
Result<int64_t> last_beyond(store::Session& session, const std::string& agent, const Keep& keep) {
  int64_t last = 0;
  if (keep.count != 0) {
    GANTRY_TRY(last, first_number(session,
                                  "SELECT accept_seq FROM requests WHERE scope = :scope AND agent = ?"
                                  " ORDER BY accept_seq DESC LIMIT 1 OFFSET ?",
                                  {agent, keep.count}));
  }
  if (keep.bytes.count != 0) {
    GANTRY_TRY(int64_t by_size,
               first_number(session,
                            "SELECT accept_seq FROM (SELECT accept_seq, SUM(accept_size + final_size + blob_bytes)"
                            " OVER (ORDER BY accept_seq DESC) AS total FROM requests"
                            " WHERE scope = :scope AND agent = ?) WHERE total > ? ORDER BY accept_seq DESC LIMIT 1",
                            {agent, keep.bytes.count}));
    last = std::max(last, by_size);
  }
  return last;
}

}  // namespace

Task<Result<History::Expired>> History::find_expired(Scope scope, std::string agent, Keep keep) {
  auto found = co_await database_.read(scope, [agent, keep](store::Session& session) -> Result<Expired> {
    Expired expired;
    GANTRY_TRY(expired.last_beyond, last_beyond(session, agent, keep));
    GANTRY_TRY(expired.count, first_number(session,
                                           "SELECT COUNT(*) FROM (SELECT 1 FROM requests WHERE scope = :scope"
                                           " AND agent = ? AND (ended_at < ? OR accept_seq <= ?) LIMIT ?)",
                                           {agent, keep.since, expired.last_beyond, most_counted}));
    return expired;
  });
  co_return found;
}

Task<Result<int64_t>> History::expire(Scope scope, std::string agent, Keep keep, Expired expired) {
  int64_t total = 0;
  for (;;) {
    auto removed = co_await database_.write(scope, [agent, keep, expired](store::Session& session) {
      return session.execute(
          "DELETE FROM requests WHERE accept_seq IN (SELECT accept_seq FROM requests WHERE scope = :scope"
          " AND agent = ? AND (ended_at < ? OR accept_seq <= ?) ORDER BY accept_seq LIMIT ?)",
          {agent, keep.since, expired.last_beyond, portion});
    });
    if (!removed) co_return std::unexpected(std::move(removed).error());
    total += *removed;
    if (*removed == 0) co_return total;
  }
}

}  // namespace gantry::requests
