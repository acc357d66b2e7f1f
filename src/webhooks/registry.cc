#include "webhooks/registry.h"

#include <algorithm>

namespace gantry::webhooks {
namespace {

Result<WebhookRecord> pick(std::vector<WebhookRecord> records, const std::string& name) {
  auto found = std::ranges::find(records, name, [](const WebhookRecord& record) { return record.webhook.name; });
  if (found == records.end()) return fail(ErrorId::GR1101, "there is no webhook '{}'", name);
  return std::move(*found);
}

}  // namespace

RecordPointer Book::find(const Scope& scope, std::string_view name) const {
  auto shelf = by_scope.find(scope);
  if (shelf == by_scope.end()) return nullptr;
  auto found = std::ranges::find(shelf->second, name,
                                 [](const RecordPointer& record) -> std::string_view { return record->webhook.name; });
  return found == shelf->second.end() ? nullptr : *found;
}

RecordPointer Book::find(const AgentId& queue) const {
  auto found = by_queue.find(queue);
  return found == by_queue.end() ? nullptr : found->second;
}

Error no_such_webhook(const Book& book, const Scope& scope, std::string_view name) {
  std::vector<std::string_view> names;
  if (auto shelf = book.by_scope.find(scope); shelf != book.by_scope.end())
    for (const RecordPointer& record : shelf->second) names.push_back(record->webhook.name);
  Error error(ErrorId::GR1101, fmt::format("there is no webhook '{}'", name.substr(0, 64)));
  auto near = closest(name, names);
  return std::move(error).with_hint(near ? fmt::format("did you mean `{}`?", *near) : "gantry webhooks list");
}

Result<void> Registry::load() {
  GANTRY_TRY(auto scopes, database_.scopes());
  for (const Scope& scope : scopes) {
    GANTRY_TRY(auto records, database_.read_blocking(scope, list_records));
    adopt(scope, {.records = std::move(records)});
  }
  return {};
}

Result<Registry::Shelf> Registry::shelve(store::Session& session) {
  GANTRY_TRY(auto records, list_records(session));
  return Shelf{.number = ++last_number_, .records = std::move(records)};
}

void Registry::adopt(const Scope& scope, Shelf shelf) {
  std::lock_guard lock(mutex_);
  // Writers come back in any order.
  if (shelf.number < adopted_[scope]) return;
  adopted_[scope] = shelf.number;
  auto next = std::make_shared<Book>(*book_.load());
  auto& place = next->by_scope[scope];
  for (const RecordPointer& record : place) next->by_queue.erase(queue_id(record->webhook.id));
  place.clear();
  for (WebhookRecord& record : shelf.records) {
    place.push_back(std::make_shared<const WebhookRecord>(std::move(record)));
    next->by_queue.emplace(queue_id(place.back()->webhook.id), place.back());
  }
  book_.store(std::move(next));
}

Task<Result<void>> Registry::insert(WebhookRecord record) {
  Scope scope = record.webhook.scope;
  auto written = co_await database_.write(scope, [this, record](store::Session& session) -> Result<Shelf> {
    GANTRY_TRY_VOID(insert_record(session, record, max_webhooks_));
    return shelve(session);
  });
  if (!written) co_return std::unexpected(std::move(written).error());
  adopt(scope, std::move(*written));
  co_return Result<void>{};
}

Task<Result<WebhookRecord>> Registry::edit(Scope scope, std::string name, Edit edit) {
  auto written = co_await database_.write(scope, [this, name, edit](store::Session& session) -> Result<Shelf> {
    GANTRY_TRY(auto records, list_records(session));
    GANTRY_TRY(WebhookRecord record, pick(std::move(records), name));
    GANTRY_TRY_VOID(edit(record));
    GANTRY_TRY_VOID(update_record(session, record));
    return shelve(session);
  });
  if (!written) co_return std::unexpected(std::move(written).error());
  auto record = pick(written->records, name);
  adopt(scope, std::move(*written));
  co_return record;
}

Task<Result<WebhookRecord>> Registry::remove(Scope scope, std::string name) {
  using Removed = std::pair<Shelf, WebhookRecord>;
  auto written = co_await database_.write(scope, [this, name](store::Session& session) -> Result<Removed> {
    GANTRY_TRY(auto records, list_records(session));
    GANTRY_TRY(WebhookRecord record, pick(std::move(records), name));
    GANTRY_TRY_VOID(delete_record(session, record.webhook.id));
    GANTRY_TRY(Shelf shelf, shelve(session));
    return Removed(std::move(shelf), std::move(record));
  });
  if (!written) co_return std::unexpected(std::move(written).error());
  adopt(scope, std::move(written->first));
  co_return std::move(written->second);
}

Task<Result<void>> disable(Registry& registry, RecordPointer webhook, std::string reason, Time now) {
  WebhookId id = webhook->webhook.id;
  Registry::Edit edit = [id, reason, now](WebhookRecord& record) -> Result<void> {
    if (record.webhook.id != id || !record.webhook.enabled) return {};
    record.webhook.enabled = false;
    record.webhook.disabled_reason = reason;
    record.webhook.updated_at = now;
    return {};
  };
  auto edited = co_await registry.edit(webhook->webhook.scope, webhook->webhook.name, std::move(edit));
  if (!edited && edited.error().code() != Code::not_found) co_return std::unexpected(std::move(edited).error());
  co_return Result<void>{};
}

}  // namespace gantry::webhooks
