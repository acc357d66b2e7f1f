#include "webhooks/records.h"

namespace gantry::webhooks {
namespace {

// Secrets are as they are: a signature needs them. The file of the store is readable by its owner only.
constexpr std::string_view steps[] = {R"sql(
  CREATE TABLE webhooks (
    scope            INTEGER NOT NULL REFERENCES store_scopes (id),
    id               BLOB PRIMARY KEY,
    name             TEXT NOT NULL,
    url              TEXT NOT NULL,
    events           TEXT NOT NULL,
    agent            TEXT NOT NULL,
    enabled          INTEGER NOT NULL,
    disabled_reason  TEXT NOT NULL,
    secret           TEXT NOT NULL,
    old_secret       TEXT NOT NULL,
    old_secret_until INTEGER,
    since_seq        INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    UNIQUE (scope, name)
  ) STRICT;
  CREATE TABLE webhook_progress (
    scope   INTEGER NOT NULL PRIMARY KEY REFERENCES store_scopes (id),
    reached INTEGER NOT NULL
  ) STRICT;
)sql"};

std::string join_events(const std::vector<Event>& events) {
  std::vector<std::string_view> words;
  for (Event event : events) words.push_back(to_string(event));
  return fmt::format("{}", fmt::join(words, " "));
}

std::vector<Event> split_events(std::string_view text) {
  std::vector<Event> events;
  while (!text.empty()) {
    size_t end = std::min(text.find(' '), text.size());
    if (auto event = event_from_string(text.substr(0, end))) events.push_back(*event);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return events;
}

WebhookRecord read_record(const store::Row& row) {
  WebhookRecord record;
  Webhook& webhook = record.webhook;
  webhook.id = row.id<WebhookId>(0);
  webhook.name = row.string(1);
  webhook.url = row.string(2);
  webhook.events = split_events(row.text(3));
  webhook.agent = row.string(4);
  webhook.enabled = row.integer(5) != 0;
  webhook.disabled_reason = row.string(6);
  record.secret = telemetry::Secret(row.string(7));
  record.old_secret = telemetry::Secret(row.string(8));
  webhook.old_secret_until = row.optional_time(9);
  record.since_seq = static_cast<uint64_t>(row.integer(10));
  webhook.created_at = row.time(11);
  webhook.updated_at = row.time(12);
  return record;
}

}  // namespace

store::Migrations migrations() { return {.component = "webhooks", .steps = steps}; }

std::string queue_name(std::string_view webhook) { return fmt::format("webhook:{}", webhook); }
AgentId queue_id(const WebhookId& id) { return AgentId(id.bytes()); }

std::vector<telemetry::Secret> signing_secrets(const WebhookRecord& record, Time now) {
  std::vector<telemetry::Secret> secrets{record.secret};
  const auto& until = record.webhook.old_secret_until;
  if (until && now < *until && !record.old_secret.empty()) secrets.push_back(record.old_secret);
  return secrets;
}

Result<std::vector<WebhookRecord>> list_records(store::Session& session) {
  GANTRY_TRY(auto records,
             session.list<WebhookRecord>(
                 "SELECT id, name, url, events, agent, enabled, disabled_reason, secret, old_secret, old_secret_until,"
                 " since_seq, created_at, updated_at FROM webhooks WHERE scope = :scope ORDER BY name",
                 {}, read_record));
  for (WebhookRecord& record : records) {
    record.webhook.scope = session.scope();
    auto url = net::Url::parse(record.webhook.url);
    if (!url) return fail(ErrorId::GR0203, "the stored webhook '{}' has no valid URL", record.webhook.name);
    record.url = std::move(*url);
  }
  return records;
}

Result<void> insert_record(store::Session& session, const WebhookRecord& record, size_t limit) {
  const Webhook& webhook = record.webhook;
  auto number = [](const store::Row& row) { return row.integer(0); };
  GANTRY_TRY(auto same,
             session.find<int64_t>("SELECT 1 FROM webhooks WHERE scope = :scope AND name = ?", {webhook.name}, number));
  if (same)
    return std::unexpected(Error(ErrorId::GR1103, fmt::format("there is a webhook '{}' already", webhook.name))
                               .with_hint(fmt::format("gantry webhooks edit {}", webhook.name)));
  GANTRY_TRY(auto count, session.find<int64_t>("SELECT count(*) FROM webhooks WHERE scope = :scope", {}, number));
  if (count.value_or(0) >= static_cast<int64_t>(limit))
    return std::unexpected(
        Error(ErrorId::GR1104, fmt::format("there are {} webhooks already", *count)).with_hint("gantry webhooks list"));
  GANTRY_TRY_VOID(session.execute(
      "INSERT INTO webhooks (scope, id, name, url, events, agent, enabled, disabled_reason, secret, old_secret,"
      " old_secret_until, since_seq, created_at, updated_at) VALUES (:scope, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      {webhook.id, webhook.name, webhook.url, join_events(webhook.events), webhook.agent, int{webhook.enabled},
       webhook.disabled_reason, record.secret.reveal(), record.old_secret.reveal(), webhook.old_secret_until,
       record.since_seq, webhook.created_at, webhook.updated_at}));
  return {};
}

Result<void> update_record(store::Session& session, const WebhookRecord& record) {
  const Webhook& webhook = record.webhook;
  GANTRY_TRY_VOID(session.execute(
      "UPDATE webhooks SET url = ?, events = ?, agent = ?, enabled = ?, disabled_reason = ?, secret = ?,"
      " old_secret = ?, old_secret_until = ?, since_seq = ?, updated_at = ? WHERE scope = :scope AND id = ?",
      {webhook.url, join_events(webhook.events), webhook.agent, int{webhook.enabled}, webhook.disabled_reason,
       record.secret.reveal(), record.old_secret.reveal(), webhook.old_secret_until, record.since_seq,
       webhook.updated_at, webhook.id}));
  return {};
}

Result<bool> delete_record(store::Session& session, const WebhookId& id) {
  GANTRY_TRY(int64_t changed, session.execute("DELETE FROM webhooks WHERE scope = :scope AND id = ?", {id}));
  return changed > 0;
}

Result<uint64_t> load_position(store::Session& session) {
  GANTRY_TRY(auto reached, session.find<int64_t>("SELECT reached FROM webhook_progress WHERE scope = :scope", {},
                                                 [](const store::Row& row) { return row.integer(0); }));
  return static_cast<uint64_t>(reached.value_or(0));
}

Result<void> save_position(store::Session& session, uint64_t seq) {
  GANTRY_TRY_VOID(
      session.execute("INSERT INTO webhook_progress (scope, reached) VALUES (:scope, ?)"
                      " ON CONFLICT (scope) DO UPDATE SET reached = excluded.reached",
                      {seq}));
  return {};
}

}  // namespace gantry::webhooks
