#include "webhooks/webhooks.h"

#include <algorithm>

#include "webhooks/announcer.h"
#include "webhooks/deliverer.h"
#include "webhooks/signature.h"

namespace gantry::webhooks {
namespace {

constexpr size_t longest_url = 2048;

Result<net::Url> parse_url(const std::string& text, const AllowedHosts& hosts) {
  if (text.size() > longest_url) return fail(Code::invalid, "url: it is longer than {} bytes", longest_url);
  auto url = net::Url::parse(text);
  if (!url) return std::unexpected(std::move(url).error().wrap("url"));
  if (url->scheme != "http" && url->scheme != "https")
    return fail(Code::invalid, "url: the scheme is neither http nor https");
  GANTRY_TRY_VOID(hosts.check_host(url->endpoint.host));
  return url;
}

Result<std::vector<Event>> check_events(std::vector<Event> events) {
  std::ranges::sort(events);
  auto repeats = std::ranges::unique(events);
  events.erase(repeats.begin(), repeats.end());
  if (events.empty()) return fail(Code::invalid, "events: the list is empty");
  return events;
}

Result<void> check_agent(const std::string& agent) {
  if (agent.empty() || is_name(agent)) return {};
  return fail(Code::invalid, "agent: '{}' is not a name", agent.substr(0, 64));
}

Result<void> apply(const Change& change, const AllowedHosts& hosts, uint64_t now_seq, WebhookRecord& record) {
  Webhook& webhook = record.webhook;
  if (change.url) {
    GANTRY_TRY(record.url, parse_url(*change.url, hosts));
    webhook.url = *change.url;
  }
  if (change.events) {
    GANTRY_TRY(webhook.events, check_events(*change.events));
  }
  if (change.agent) {
    GANTRY_TRY_VOID(check_agent(*change.agent));
    webhook.agent = *change.agent;
  }
  if (!change.enabled) return {};
  // What happened while it was disabled is not told afterwards.
  if (*change.enabled && !webhook.enabled) record.since_seq = std::max(record.since_seq, now_seq);
  webhook.enabled = *change.enabled;
  webhook.disabled_reason.clear();
  return {};
}

}  // namespace

struct Webhooks::State {
  State(Parts its_parts, Options its_options)
      : parts(its_parts),
        options(std::move(its_options)),
        registry(its_parts.database, options.max_webhooks),
        announcer(its_parts, registry, options),
        deliverer(its_parts, registry, options) {}

  Result<RecordPointer> find(const Scope& scope, std::string_view name) const {
    auto book = registry.book();
    if (auto record = book->find(scope, name)) return record;
    return std::unexpected(no_such_webhook(*book, scope, name));
  }

  Parts parts;
  const Options options;
  Registry registry;
  Announcer announcer;
  Deliverer deliverer;
};

Webhooks::Webhooks(Parts parts, Options options) : state_(std::make_unique<State>(parts, std::move(options))) {
  parts.journal.add(state_->announcer);
  parts.requests.add_listener(state_->deliverer);
}

Webhooks::~Webhooks() = default;

Result<void> Webhooks::load() { return state_->registry.load(); }
void Webhooks::start() { state_->deliverer.start(); }
void Webhooks::close(Duration patience) { state_->deliverer.close(patience); }
void Webhooks::join() { state_->deliverer.join(); }

std::vector<Webhook> Webhooks::list(const Scope& scope) const {
  std::vector<Webhook> webhooks;
  auto book = state_->registry.book();
  if (auto shelf = book->by_scope.find(scope); shelf != book->by_scope.end())
    for (const RecordPointer& record : shelf->second) webhooks.push_back(record->webhook);
  return webhooks;
}

Result<Webhook> Webhooks::get(const Scope& scope, std::string_view name) const {
  GANTRY_TRY(RecordPointer record, state_->find(scope, name));
  return record->webhook;
}

requests::Counts Webhooks::counts(const WebhookId& id) const { return state_->parts.requests.counts(queue_id(id)); }

Task<Result<Made>> Webhooks::make(Scope scope, NewWebhook wanted) {
  if (!is_name(wanted.name))
    co_return fail(Code::invalid, "name: '{}' is not of the form [a-z0-9]([-a-z0-9]*[a-z0-9])?, at most 63 characters",
                   wanted.name.substr(0, 64));
  GANTRY_CO_TRY_VOID(check_agent(wanted.agent));
  Time now = state_->parts.clock.now();
  WebhookRecord record;
  GANTRY_CO_TRY(record.url, parse_url(wanted.url, state_->options.hosts));
  GANTRY_CO_TRY(record.webhook.events, check_events(std::move(wanted.events)));
  record.webhook.id = WebhookId::make(state_->parts.clock, state_->parts.random);
  record.webhook.scope = std::move(scope);
  record.webhook.name = std::move(wanted.name);
  record.webhook.url = std::move(wanted.url);
  record.webhook.agent = std::move(wanted.agent);
  record.webhook.created_at = now;
  record.webhook.updated_at = now;
  record.secret = make_secret(state_->parts.random);
  record.since_seq = state_->parts.journal.durable_seq();
  Made made{.webhook = record.webhook, .secret = record.secret};
  GANTRY_CO_TRY_VOID(co_await state_->registry.insert(std::move(record)));
  co_return made;
}

Task<Result<Webhook>> Webhooks::change(Scope scope, std::string name, Change change) {
  GANTRY_CO_TRY_VOID(state_->find(scope, name));
  Registry::Edit edit = [this, change, now = state_->parts.clock.now()](WebhookRecord& record) -> Result<void> {
    record.webhook.updated_at = now;
    return apply(change, state_->options.hosts, state_->parts.journal.durable_seq(), record);
  };
  GANTRY_CO_TRY(WebhookRecord record, co_await state_->registry.edit(scope, name, std::move(edit)));
  state_->deliverer.wake();
  co_return record.webhook;
}

Task<Result<void>> Webhooks::remove(Scope scope, std::string name) {
  GANTRY_CO_TRY_VOID(state_->find(scope, name));
  GANTRY_CO_TRY(WebhookRecord record, co_await state_->registry.remove(scope, name));
  requests::AgentKey queue{.id = queue_id(record.webhook.id), .scope = scope, .name = queue_name(name)};
  co_return co_await state_->deliverer.bury(std::move(queue));
}

Task<Result<Made>> Webhooks::rotate(Scope scope, std::string name, Duration grace) {
  GANTRY_CO_TRY_VOID(state_->find(scope, name));
  if (grace < Duration::zero() || grace > longest_grace)
    co_return fail(Code::invalid, "grace: {} is not between 0s and {}", format_duration(grace),
                   format_duration(longest_grace));
  telemetry::Secret secret = make_secret(state_->parts.random);
  Registry::Edit edit = [secret, grace, now = state_->parts.clock.now()](WebhookRecord& record) -> Result<void> {
    bool keep = grace > Duration::zero();
    record.old_secret = keep ? record.secret : telemetry::Secret();
    record.webhook.old_secret_until = keep ? std::optional<Time>(now + grace) : std::nullopt;
    record.secret = secret;
    record.webhook.updated_at = now;
    return {};
  };
  GANTRY_CO_TRY(WebhookRecord record, co_await state_->registry.edit(scope, name, std::move(edit)));
  Made made{.webhook = record.webhook, .secret = secret};
  co_return made;
}

Task<Result<RequestId>> Webhooks::test(Scope scope, std::string name, std::string principal) {
  GANTRY_CO_TRY(RecordPointer record, state_->find(scope, name));
  if (!record->webhook.enabled)
    co_return std::unexpected(Error(ErrorId::GR1105, fmt::format("webhook '{}' is disabled", name))
                                  .with_hint(fmt::format("gantry webhooks edit {} --enable", name)));
  RequestId id = state_->parts.requests.make_id();
  std::string body = test_body(record->webhook, state_->parts.clock.now());
  GANTRY_CO_TRY_VOID(co_await accept_delivery(state_->parts.requests, record, id, std::move(body), principal));
  co_return id;
}

Task<Result<DeliveryPage>> Webhooks::deliveries(Scope scope, std::string name, requests::Filter filter) {
  GANTRY_CO_TRY_VOID(state_->find(scope, name));
  filter.agent = queue_name(name);
  GANTRY_CO_TRY(requests::Page page, co_await state_->parts.requests.list(scope, filter));
  DeliveryPage deliveries{.next = page.next};
  for (requests::RequestView& view : page.requests) {
    Delivery delivery;
    if (auto stored = co_await state_->parts.requests.load_request(view)) {
      Heading heading = heading_of(stored->record.body.inline_bytes);
      delivery.event = std::move(heading.type);
      delivery.subject = std::move(heading.request);
      delivery.message_id = net::Headers(stored->record.headers).find("webhook-id").value_or("");
    }
    delivery.request = std::move(view);
    deliveries.deliveries.push_back(std::move(delivery));
  }
  co_return deliveries;
}

Task<Result<RequestId>> Webhooks::replay(Scope scope, std::string name, RequestId delivery, std::string principal) {
  GANTRY_CO_TRY(RecordPointer record, state_->find(scope, name));
  auto view = co_await state_->parts.requests.get(scope, delivery);
  if (!view || view->agent_id != queue_id(record->webhook.id))
    co_return std::unexpected(Error(ErrorId::GR0401, fmt::format("webhook '{}' has no delivery {}", name, delivery))
                                  .with_hint(fmt::format("gantry webhooks deliveries {}", name)));
  co_return co_await state_->parts.requests.replay(scope, delivery, std::move(principal));
}

}  // namespace gantry::webhooks
