// Turns records of the journal into deliveries: a projection with a position of its own. Private to webhooks/.
//
// A batch is told in two steps on the I/O threads while the projection's thread waits: plan (which webhook wants which
// news), then accept each delivery. Then the position is stored. A crash in between repeats the batch; the ids of its
// deliveries are the same, and what exists already is passed over.
#pragma once

#include "webhooks/message.h"
#include "webhooks/registry.h"

namespace gantry::webhooks {

/// Accepts a message as a durable request in the queue of its webhook.
Task<Result<void>> accept_delivery(requests::Requests& requests, RecordPointer webhook, RequestId id, std::string body,
                                   std::string principal);

class Announcer final : public journal::Projection {
 public:
  Announcer(Parts parts, Registry& registry, const Options& options)
      : parts_(parts), registry_(registry), options_(options) {}

  // journal::Projection
  std::string_view name() const override { return "webhooks"; }
  Result<uint64_t> reached() override;
  Result<uint64_t> project(std::span<const journal::Record> batch) override;
  /// Messages hold all that they need.
  Result<bool> needs(uint64_t, uint64_t) override { return false; }

 private:
  struct Planned {
    RecordPointer webhook;
    RequestId id;
    std::string body;
    Result<void> accepted = {};
  };
  using Plan = std::vector<std::shared_ptr<Planned>>;

  Result<void> tell(std::vector<News> news);
  Task<void> plan_into(std::vector<News> news, Result<Plan>& plan);
  Task<Result<Plan>> plan(std::vector<News> news);
  Task<Result<bool>> has_room(RecordPointer webhook, size_t planned);
  Task<void> accept(std::shared_ptr<Planned> planned);

  Parts parts_;
  Registry& registry_;
  const Options& options_;
  uint64_t stored_ = 0;  ///< the position in the store
};

}  // namespace gantry::webhooks
