// What the store holds of webhooks, and how far the projection has come. Private to webhooks/.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "webhooks/webhooks.h"

namespace gantry::webhooks {

/// A webhook with what callers never see.
struct WebhookRecord {
  Webhook webhook;
  telemetry::Secret secret;
  telemetry::Secret old_secret;  ///< signs too until `webhook.old_secret_until`
  uint64_t since_seq = 0;        ///< only later records are told
  net::Url url;                  ///< webhook.url, parsed
};

/// The name of its queue, and as the name of an agent: `webhook:ops`.
std::string queue_name(std::string_view webhook);
/// The id of its queue.
AgentId queue_id(const WebhookId& id);
/// The secrets that sign at `now`, the new one first.
std::vector<telemetry::Secret> signing_secrets(const WebhookRecord& record, Time now);

/// All of the session's scope, by name.
Result<std::vector<WebhookRecord>> list_records(store::Session& session);
/// GR1103 if the name is taken, GR1104 if there are `limit` already.
Result<void> insert_record(store::Session& session, const WebhookRecord& record, size_t limit);
/// Writes everything but id and name.
Result<void> update_record(store::Session& session, const WebhookRecord& record);
/// False if there is none.
Result<bool> delete_record(store::Session& session, const WebhookId& id);

/// The position of the projection; 0 at first.
Result<uint64_t> load_position(store::Session& session);
Result<void> save_position(store::Session& session, uint64_t seq);

}  // namespace gantry::webhooks
