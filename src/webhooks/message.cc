#include "webhooks/message.h"

#include <algorithm>
#include <array>

#include "crypto/crypto.h"
#include "json/json.h"

namespace gantry::webhooks {
namespace {

struct Spelling {
  Event event;
  std::string_view text;
};
constexpr Spelling spellings[] = {{Event::accepted, "request.accepted"}, {Event::processing, "request.processing"},
                                  {Event::retrying, "request.retrying"}, {Event::completed, "request.completed"},
                                  {Event::failed, "request.failed"},     {Event::cancelled, "request.cancelled"},
                                  {Event::requeued, "request.requeued"}};
constexpr Event events[] = {Event::accepted, Event::processing, Event::retrying, Event::completed,
                            Event::failed,   Event::cancelled,  Event::requeued};

bool is_end(Event event) { return event == Event::completed || event == Event::failed || event == Event::cancelled; }

// A message stays small, however long a target or a reason is.
constexpr size_t longest_text = 2048;

json::Value text_or_null(std::string_view text) {
  return text.empty() ? json::Value(nullptr) : json::Value(text.substr(0, longest_text));
}

std::vector<News> news_of_acceptance(News news, std::string_view payload) {
  auto accepted = requests::decode_accepted_summary(payload);
  if (!accepted || !requests::is_agent_queue(accepted->agent)) return {};
  news.event = Event::accepted;
  if (!accepted->first_instance) return {news};
  news.status = requests::Status::processing;
  news.attempts = 1;
  News begun = news;
  begun.event = Event::processing;
  return {news, begun};
}

}  // namespace

std::string_view to_string(Event event) { return std::ranges::find(spellings, event, &Spelling::event)->text; }

std::optional<Event> event_from_string(std::string_view text) {
  auto found = std::ranges::find(spellings, text, &Spelling::text);
  if (found == std::end(spellings)) return std::nullopt;
  return found->event;
}

std::span<const Event> all_events() { return events; }

std::vector<News> news_of(const journal::Record& record) {
  News news{.seq = record.seq, .at = record.time, .scope = record.scope, .request = RequestId(record.entity)};
  if (record.kind == requests::request_accepted) return news_of_acceptance(std::move(news), record.payload);
  if (record.kind == requests::attempt_started) {
    auto attempt = requests::decode_attempt(record.payload);
    if (!attempt) return {};
    news.event = Event::processing;
    news.status = requests::Status::processing;
    news.attempts = attempt->number;
  } else if (record.kind == requests::request_requeued) {
    auto attempts = requests::attempts_before(record.payload);
    if (!attempts) return {};
    news.event = Event::requeued;
    news.attempts = *attempts;
  } else if (record.kind == requests::attempt_ended) {
    auto ended = requests::decode_attempt_ended(record.payload);
    if (!ended) return {};
    news.event = Event::retrying;
    news.attempts = ended->number;
    news.reason = ended->detail.empty() ? requests::to_string(ended->outcome) : ended->detail;
  } else if (record.kind == requests::request_completed) {
    auto completed = requests::decode_completed_summary(record.payload);
    if (!completed) return {};
    news.event = Event::completed;
    news.status = requests::Status::completed;
    news.attempts = completed->number;
    news.response_status = completed->status;
  } else if (record.kind == requests::request_failed || record.kind == requests::request_cancelled) {
    auto failed = requests::decode_failed(record.payload);
    if (!failed) return {};
    const bool cancelled = record.kind == requests::request_cancelled;
    news.event = cancelled ? Event::cancelled : Event::failed;
    news.status = cancelled ? requests::Status::cancelled : requests::Status::failed;
    news.attempts = failed->number;
    news.reason = failed->reason;
  } else {
    return {};
  }
  return {news};
}

bool is_stale(const News& news, const requests::RequestView& view) {
  // Of its life before it was requeued only the end is known; what came behind that was refused.
  if (view.requeued && news.seq < view.accept_seq) return news.seq > view.requeued->ended_seq;
  if (news.event == Event::requeued) return news.seq != view.accept_seq;
  if (is_end(news.event)) return view.final_seq != news.seq;
  return view.final_seq != 0 && view.final_seq < news.seq;
}

bool wants(const WebhookRecord& record, const News& news, std::string_view agent) {
  const Webhook& webhook = record.webhook;
  return webhook.enabled && news.seq > record.since_seq && (webhook.agent.empty() || webhook.agent == agent) &&
         std::ranges::find(webhook.events, news.event) != webhook.events.end();
}

std::string body_of(const News& news, const requests::RequestView& view) {
  json::Object request{
      {"id", news.request.to_string()},
      {"agent", view.agent},
      {"method", view.method},
      {"target", json::Value(std::string_view(view.target).substr(0, longest_text))},
      {"status", requests::to_string(news.status)},
      {"response_status", news.response_status ? json::Value(news.response_status) : json::Value(nullptr)},
      {"attempts", news.attempts},
      {"created_at", format_time(view.created_at)},
      {"ended_at", is_end(news.event) ? json::Value(format_time(news.at)) : json::Value(nullptr)},
      {"reason", text_or_null(news.reason)}};
  return json::serialize(json::Object{{"type", to_string(news.event)},
                                      {"timestamp", format_time(news.at)},
                                      {"data", json::Object{{"request", std::move(request)}}}});
}

std::string test_body(const Webhook& webhook, Time now) {
  return json::serialize(json::Object{{"type", "webhook.test"},
                                      {"timestamp", format_time(now)},
                                      {"data", json::Object{{"webhook", json::Object{{"name", webhook.name}}}}}});
}

uint64_t life_of(const News& news, const requests::RequestView& view) {
  return view.requeued && news.seq >= view.accept_seq ? view.accept_seq : 0;
}

RequestId delivery_id(const WebhookId& webhook, const News& news, uint64_t life) {
  crypto::Sha256 hash;
  hash.update(webhook.bytes());
  hash.update(news.request.bytes());
  hash.update(fmt::format("{} {}", to_string(news.event), news.attempts));
  if (life != 0) hash.update(fmt::format(" {}", life));
  crypto::Digest digest = hash.finish();
  // A UUIDv7 like every other id: the time of the request, then the hash where others have randomness.
  IdBytes bytes = news.request.bytes();
  std::copy(digest.begin(), digest.begin() + 10, bytes.begin() + 6);
  bytes[6] = static_cast<uint8_t>((bytes[6] & 0x0f) | 0x70);
  bytes[8] = static_cast<uint8_t>((bytes[8] & 0x3f) | 0x80);
  return RequestId(bytes);
}

Heading heading_of(std::string_view body) {
  auto value = json::parse(body);
  if (!value) return {};
  return {.type = json::get_string_or(*value, "type", "").value_or(""),
          .request = json::get_string_or(*value, "data.request.id", "").value_or("")};
}

}  // namespace gantry::webhooks
