#include "requests/history_removals.h"

#include "requests/wire_requeue.h"

namespace gantry::requests {
namespace {

enum class When { accepted_before, ended_before };

Result<> take(store::Session& session, const Removals::Removal& removal, When when, Gone& gone) {
  GANTRY_TRY_VOID(session.enter(removal.scope));
  // A row that is younger than the record is of the life behind it.
  std::string_view column = when == When::accepted_before ? "accept_seq" : "final_seq";
  auto row = session.find<std::pair<int64_t, int64_t>>(
      fmt::format("SELECT accept_seq, status FROM requests WHERE scope = :scope AND id = ? AND {} < ?", column),
      {removal.id, removal.seq}, [](const store::Row& found) { return std::pair(found.integer(0), found.integer(1)); });
  if (!row) return std::unexpected(std::move(row).error());
  if (!*row) return {};
  const auto [accept_seq, status] = **row;
  auto deleted = session.execute("DELETE FROM requests WHERE scope = :scope AND accept_seq = ?", {accept_seq});
  if (!deleted) return std::unexpected(std::move(deleted).error());
  if (*deleted > 0 && status >= 0 && static_cast<size_t>(status) < gone.size()) ++gone[static_cast<size_t>(status)];
  return {};
}

Result<bool> exists(store::Session& session, std::string_view sql, std::initializer_list<store::Parameter> values) {
  GANTRY_TRY(auto found, session.find<int64_t>(sql, values, [](const store::Row& row) { return row.integer(0); }));
  return found.has_value();
}

}  // namespace

// Rows follow their request: the trigger is there for whatever removes one.
const std::string_view requeue_schema = R"sql(
  CREATE TABLE request_requeues (
    accept_seq INTEGER NOT NULL,
    scope INTEGER NOT NULL,
    ended_seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    original_seq INTEGER,
    original_segment INTEGER, original_offset INTEGER, original_size INTEGER,
    original_blob BLOB,
    PRIMARY KEY (accept_seq)
  );
  CREATE INDEX request_requeues_by_original ON request_requeues (original_seq) WHERE original_seq IS NOT NULL;
  CREATE INDEX request_requeues_by_blob ON request_requeues (original_blob) WHERE original_blob IS NOT NULL;
  CREATE TRIGGER request_requeues_go AFTER DELETE ON requests BEGIN
    DELETE FROM request_requeues WHERE accept_seq = OLD.accept_seq;
  END;
)sql";

void Removals::note(const journal::Record& record) {
  if (record.kind == request_requeued) {
    requeued.push_back({.scope = record.scope, .id = RequestId(record.entity), .seq = record.seq});
  } else if (record.kind == requests_purged) {
    auto ids = decode_purged(record.payload);
    if (!ids) return;
    for (const RequestId& id : *ids) purged.push_back({.scope = record.scope, .id = id, .seq = record.seq});
  } else if (record.kind == audit::audit_entry) {
    // One that cannot be read must not stop those behind it.
    if (auto entry = audit::from_payload(record.payload))
      deeds.push_back({record.scope, {.seq = record.seq, .at = record.time, .entry = std::move(*entry)}});
  }
}

Result<> take_requeued(store::Session& session, const Removals& removals, Gone& gone) {
  for (const auto& removal : removals.requeued) GANTRY_TRY_VOID(take(session, removal, When::accepted_before, gone));
  return {};
}

Result<> take_purged(store::Session& session, const Removals& removals, Gone& gone) {
  for (const auto& removal : removals.purged) GANTRY_TRY_VOID(take(session, removal, When::ended_before, gone));
  return {};
}

Result<> write_deeds(store::Session& session, const Removals& removals) {
  for (const auto& deed : removals.deeds) GANTRY_TRY_VOID(audit::write_row(session, deed.recorded, deed.scope));
  return {};
}

Result<> insert_requeued(store::Session& session, const RequestView& view) {
  const Requeued& requeued = *view.requeued;
  std::optional<int64_t> seq, segment, offset, size;
  std::optional<std::span<const uint8_t>> blob;
  if (requeued.original) {
    seq = static_cast<int64_t>(requeued.original->seq);
    segment = static_cast<int64_t>(requeued.original->at.segment);
    offset = requeued.original->at.offset;
    size = requeued.original->at.size;
    if (requeued.original->blob) blob = *requeued.original->blob;
  }
  auto done = session.execute(
      "INSERT OR REPLACE INTO request_requeues (accept_seq, scope, ended_seq, at, attempts, original_seq,"
      " original_segment, original_offset, original_size, original_blob) VALUES (?, :scope, ?, ?, ?, ?, ?, ?, ?, ?)",
      {view.accept_seq, requeued.ended_seq, requeued.at, requeued.attempts, seq, segment, offset, size, blob});
  if (!done) return std::unexpected(std::move(done).error());
  return {};
}

Result<std::optional<Requeued>> find_requeued(store::Session& session, uint64_t accept_seq) {
  return session.find<Requeued>(
      "SELECT ended_seq, at, attempts, original_seq, original_segment, original_offset, original_size, original_blob"
      " FROM request_requeues WHERE scope = :scope AND accept_seq = ?",
      {accept_seq}, [](const store::Row& row) {
        Requeued requeued{.at = row.time(1),
                          .ended_seq = static_cast<uint64_t>(row.integer(0)),
                          .attempts = static_cast<uint32_t>(row.integer(2))};
        if (row.is_null(3)) return requeued;
        Original& original = requeued.original.emplace();
        original.seq = static_cast<uint64_t>(row.integer(3));
        original.at = {.segment = static_cast<uint64_t>(row.integer(4)),
                       .offset = static_cast<uint32_t>(row.integer(5)),
                       .size = static_cast<uint32_t>(row.integer(6))};
        auto bytes = row.blob(7);
        if (bytes.size() == journal::BlobId{}.size())
          std::copy(bytes.begin(), bytes.end(), original.blob.emplace().begin());
        return requeued;
      });
}

Result<bool> has_original(store::Session& session, uint64_t first_seq, uint64_t last_seq) {
  return exists(session, "SELECT 1 FROM request_requeues WHERE scope = :scope AND original_seq BETWEEN ? AND ? LIMIT 1",
                {first_seq, last_seq});
}

Result<bool> has_original(store::Session& session, const journal::BlobId& blob) {
  return exists(session, "SELECT 1 FROM request_requeues WHERE scope = :scope AND original_blob = ? LIMIT 1",
                {std::span<const uint8_t>(blob)});
}

}  // namespace gantry::requests
