#include "webhooks/announcer.h"

#include <algorithm>

namespace gantry::webhooks {
namespace {

// Accepted at once: their records share a flush.
constexpr size_t accepted_at_once = 256;
// With no webhook the position need not be exact: a webhook hears only of records behind its creation.
constexpr uint64_t idle_stride = 10'000;

bool anybody_wants(const Book& book, const News& news) {
  auto shelf = book.by_scope.find(news.scope);
  // Of whose request it is, only the first record speaks; so the filter by agent comes later.
  return shelf != book.by_scope.end() && std::ranges::any_of(shelf->second, [&](const RecordPointer& record) {
           return wants(*record, news, record->webhook.agent);
         });
}

// At one end of the scale of scopes there is always this one: it carries the position.
Scope home() { return Scope::standard(); }

}  // namespace

Task<Result<void>> accept_delivery(requests::Requests& requests, RecordPointer webhook, RequestId id, std::string body,
                                   std::string principal) {
  std::string queue = queue_name(webhook->webhook.name);
  std::string message_id = id.to_string();
  requests::AcceptedRecord record;
  record.agent_id = queue_id(webhook->webhook.id);
  record.agent = queue;
  record.principal = principal;
  record.method = "POST";
  record.target = webhook->url.target;
  record.headers = {{"Content-Type", "application/json"}, {"webhook-id", message_id}};
  record.framing = net::Framing::Kind::length;
  record.body = {.inline_bytes = body, .blob = {}, .size = body.size()};
  // Named: no braces around what is moved inside of co_await.
  requests::Acceptance acceptance{
      .id = id, .scope = webhook->webhook.scope, .record = std::move(record), .inline_body = body};
  co_return co_await requests.accept(std::move(acceptance));
}

Result<uint64_t> Announcer::reached() {
  auto position = parts_.database.read_blocking(home(), load_position);
  if (!position) return position;
  stored_ = *position;
  return position;
}

Result<uint64_t> Announcer::project(std::span<const journal::Record> batch) {
  if (batch.empty()) return uint64_t{0};
  uint64_t last = batch.back().seq;
  auto book = registry_.book();
  std::vector<News> wanted;
  if (!book->by_queue.empty()) {
    for (const journal::Record& record : batch)
      for (News& news : news_of(record))
        if (anybody_wants(*book, news)) wanted.push_back(std::move(news));
  } else if (last - stored_ < idle_stride) {
    return last;
  }
  if (!wanted.empty()) GANTRY_TRY_VOID(tell(std::move(wanted)));
  // Deferred: what is projected again after a power failure is recognised by its ids.
  auto saved = parts_.database.write_blocking(
      home(), [last](store::Session& session) { return save_position(session, last); }, store::Durability::deferred);
  if (!saved) return std::unexpected(std::move(saved).error());
  stored_ = last;
  return last;
}

Result<void> Announcer::tell(std::vector<News> news) {
  Result<Plan> plan;
  TaskGroup planning;
  planning.spawn(parts_.threads.executor(0), plan_into(std::move(news), plan));
  planning.join();
  if (!plan) return std::unexpected(std::move(plan).error());
  for (size_t begin = 0; begin < plan->size(); begin += accepted_at_once) {
    size_t end = std::min(begin + accepted_at_once, plan->size());
    TaskGroup accepting;
    for (size_t i = begin; i < end; ++i) accepting.spawn(parts_.threads.executor(0), accept((*plan)[i]));
    accepting.join();
    for (size_t i = begin; i < end; ++i)
      if (!(*plan)[i]->accepted) return (*plan)[i]->accepted;
  }
  return {};
}

Task<void> Announcer::plan_into(std::vector<News> news, Result<Plan>& plan) {
  plan = co_await this->plan(std::move(news));
}

Task<Result<Announcer::Plan>> Announcer::plan(std::vector<News> news) {
  auto book = registry_.book();
  Plan planned;
  std::unordered_map<AgentId, size_t> counts;
  for (const News& item : news) {
    auto view = co_await parts_.requests.get(item.scope, item.request);
    if (!view && view.error().code() != Code::not_found) co_return std::unexpected(std::move(view).error());
    if (!view) {
      // Only after an outage of this projection that was longer than the retention of the request.
      parts_.logger.error("a request is gone before webhooks heard of it", telemetry::field("request", item.request));
      continue;
    }
    if (!requests::is_agent_queue(view->agent) || is_stale(item, *view)) continue;
    auto shelf = book->by_scope.find(item.scope);
    if (shelf == book->by_scope.end()) continue;
    for (const RecordPointer& record : shelf->second) {
      if (!wants(*record, item, view->agent)) continue;
      RequestId id = delivery_id(record->webhook.id, item, life_of(item, *view));
      auto known = co_await parts_.requests.get(item.scope, id);
      if (known) continue;
      if (known.error().code() != Code::not_found) co_return std::unexpected(std::move(known).error());
      GANTRY_CO_TRY(bool room, co_await has_room(record, counts[queue_id(record->webhook.id)]++));
      if (!room) continue;
      planned.push_back(std::make_shared<Planned>(record, id, body_of(item, *view)));
    }
  }
  co_return planned;
}

// A receiver that stays away must not fill the memory of the server, nor keep the others from hearing.
Task<Result<bool>> Announcer::has_room(RecordPointer webhook, size_t planned) {
  AgentId queue = queue_id(webhook->webhook.id);
  size_t waiting = parts_.requests.counts(queue).pending + planned;
  if (waiting < options_.max_waiting) co_return true;
  auto current = registry_.book()->find(queue);
  if (!current || !current->webhook.enabled) co_return false;
  std::string reason = fmt::format("{} deliveries wait for a receiver that does not take them", waiting);
  parts_.logger.error("webhook disabled", telemetry::field("webhook", webhook->webhook.name),
                      telemetry::field("reason", reason));
  auto disabled = co_await disable(registry_, webhook, reason, parts_.clock.now());
  if (!disabled) co_return std::unexpected(std::move(disabled).error());
  co_return false;
}

Task<void> Announcer::accept(std::shared_ptr<Planned> planned) {
  planned->accepted =
      co_await accept_delivery(parts_.requests, planned->webhook, planned->id, planned->body, "webhooks");
}

}  // namespace gantry::webhooks
