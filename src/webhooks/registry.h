// Which webhooks there are: read without a lock, changed through the store. Private to webhooks/.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "webhooks/records.h"

namespace gantry::webhooks {

using RecordPointer = std::shared_ptr<const WebhookRecord>;

/// All webhooks at one moment.
struct Book {
  std::map<Scope, std::vector<RecordPointer>> by_scope;  ///< by name
  std::unordered_map<AgentId, RecordPointer> by_queue;

  RecordPointer find(const Scope& scope, std::string_view name) const;
  RecordPointer find(const AgentId& queue) const;
};

class Registry {
 public:
  Registry(store::Database& database, size_t max_webhooks) : database_(database), max_webhooks_(max_webhooks) {}

  /// Blocks.
  Result<void> load();
  std::shared_ptr<const Book> book() const { return book_.load(); }

  Task<Result<void>> insert(WebhookRecord record);
  /// Changes a webhook as it is in the store now; an error of `edit` is passed on. GR1101 if it is gone.
  using Edit = std::function<Result<void>(WebhookRecord& record)>;
  Task<Result<WebhookRecord>> edit(Scope scope, std::string name, Edit edit);
  /// The one that was removed. GR1101 if there is none.
  Task<Result<WebhookRecord>> remove(Scope scope, std::string name);

 private:
  /// The webhooks of a scope after a change; numbered on the writer's thread, so in the order of the changes.
  struct Shelf {
    uint64_t number = 0;
    std::vector<WebhookRecord> records;
  };
  Result<Shelf> shelve(store::Session& session);
  void adopt(const Scope& scope, Shelf shelf);

  store::Database& database_;
  const size_t max_webhooks_;
  uint64_t last_number_ = 0;  // writer's thread only
  std::mutex mutex_;          // held while a new book is derived from the old one
  std::map<Scope, uint64_t> adopted_;
  Snapshot<Book> book_;
};

/// Disables a webhook, unless it is gone or another one by now.
Task<Result<void>> disable(Registry& registry, RecordPointer webhook, std::string reason, Time now);

/// GR1101 with the nearest name as the hint.
Error no_such_webhook(const Book& book, const Scope& scope, std::string_view name);

}  // namespace gantry::webhooks
