// What is told: which record of the journal means which event, and the message about it. Pure. Private to webhooks/.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "webhooks/records.h"

namespace gantry::webhooks {

/// A status change as its record tells it. The same record gives the same news, whenever it is read.
struct News {
  Event event = Event::accepted;
  uint64_t seq = 0;
  Time at;
  Scope scope;
  RequestId request;
  requests::Status status = requests::Status::pending;
  uint32_t attempts = 0;
  uint16_t response_status = 0;
  std::string reason;
};

/// What a record tells: nothing, or one thing, or two (an acceptance that begins the first attempt).
std::vector<News> news_of(const journal::Record& record);
/// True if the fold of the requests refused the record: the request had ended before.
bool is_stale(const News& news, const requests::RequestView& view);
/// True if the webhook wants to hear it.
bool wants(const WebhookRecord& record, const News& news, std::string_view agent);

/// `{"type", "timestamp", "data": {"request": {…}}}`, without bodies and headers of the request. Of `view` only what
/// never changes is taken.
std::string body_of(const News& news, const requests::RequestView& view);
/// The message of `webhooks test`.
std::string test_body(const Webhook& webhook, Time now);

/// The id of a delivery: the same for the same webhook, request, life, event and attempt. Sorts by the request's time.
RequestId delivery_id(const WebhookId& webhook, const News& news, uint64_t life = 0);
/// Tells the lives of a request that was requeued apart, which may have the same events; 0 for the first.
uint64_t life_of(const News& news, const requests::RequestView& view);

/// Type and request of a recorded message; empty texts if it is none.
struct Heading {
  std::string type;
  std::string request;
};
Heading heading_of(std::string_view body);

}  // namespace gantry::webhooks
