// Finished requests in relational tables: the projection of the journal that listings and look-ups read.
//
// A row is written when a request ends and holds where its records are, not the bodies: those stay in the journal until
// retention removes the row. The sequence reached is stored in the same transaction.
#pragma once

#include <mutex>

#include "requests/known_keys.h"
#include "requests/live_table.h"

namespace gantry::requests {

struct Removals;

class History final : public journal::Projection {
 public:
  History(store::Database& database, LiveTable& live) : database_(database), live_(live) {}

  // journal::Projection
  std::string_view name() const override { return "requests"; }
  Result<uint64_t> reached() override;
  Result<uint64_t> project(std::span<const journal::Record> batch) override;
  Result<bool> needs(uint64_t first_seq, uint64_t last_seq) override;

  Task<Result<std::optional<RequestView>>> find(Scope scope, RequestId id);
  /// The finished request that holds an Idempotency-Key.
  Task<Result<std::optional<KeyHolder>>> find_key(KeyName name);
  using Found = LiveTable::Found;
  Task<Result<Found>> list(Scope scope, Filter filter);
  /// What `expire` would remove now.
  struct Expired {
    int64_t count = 0;        ///< up to 1,000,000
    int64_t last_beyond = 0;  ///< sequence of the newest that is one too many, or too large; 0 for none
  };
  Task<Result<Expired>> find_expired(Scope scope, std::string agent, Keep keep);
  Task<Result<int64_t>> expire(Scope scope, std::string agent, Keep keep, Expired expired);
  Task<Result<std::vector<std::string>>> agents(Scope scope);
  /// Blocks.
  Result<bool> refers_to(const journal::BlobId& blob);
  Counts counts() const;

 private:
  Result<uint64_t> write(store::Session& session, const std::vector<LiveTable::Finished>& ended,
                         const Removals& removals, uint64_t last_seq, Counts& added);

  store::Database& database_;
  LiveTable& live_;
  KnownKeys known_keys_;
  mutable std::mutex mutex_;
  Counts totals_;
};

}  // namespace gantry::requests
