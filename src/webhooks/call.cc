// One call to a receiver: what goes out, and what its answer means.
#include <algorithm>

#include "webhooks/deliverer.h"
#include "webhooks/signature.h"

namespace gantry::webhooks {
namespace {

// Of an answer that is an error, for the log of attempts.
constexpr size_t longest_excerpt = 200;

std::string excerpt_of(std::string_view body) {
  std::string text;
  for (char c : body.substr(0, longest_excerpt)) {
    if (c == '\n' || c == '\r') break;
    text += c >= ' ' && c < 0x7f ? c : '?';
  }
  return text;
}

Answer failed(const Error& error) {
  auto outcome = error.code() == Code::cancelled ? requests::Outcome::interrupted
                 : error.code() == Code::timeout ? requests::Outcome::timeout
                                                 : requests::Outcome::refused;
  return {.outcome = outcome, .detail = error.reason()};
}

// Only 2xx means that it was taken; a redirect is not followed.
void judge_status(Answer& answer, Time now) {
  if (answer.status / 100 == 2) return;
  answer.outcome = requests::Outcome::answered;
  answer.detail = fmt::format("the receiver answered {} {}", answer.status, net::reason_phrase(answer.status));
  if (answer.status / 100 == 3) answer.detail += "; redirects are not followed";
  if (std::string text = excerpt_of(answer.body); !text.empty()) answer.detail += ": " + text;
  if (auto value = answer.headers.view().find("retry-after")) answer.retry_after = net::parse_retry_after(*value, now);
}

}  // namespace

// A receiver that is not there is as good as one that fails: a call that nobody took uses up an attempt, too.
requests::Verdict judge_answer(const Answer& answer, uint32_t failures, Time now, const Options& options,
                               Random& random) {
  if (answer.status == gone_status) return {.dead = true};
  const auto outcome = answer.outcome == requests::Outcome::refused ? requests::Outcome::answered : answer.outcome;
  return requests::judge({.outcome = outcome, .failures = failures, .retry_after = answer.retry_after}, now,
                         options.retry, random);
}

Result<net::OutgoingRequest> Deliverer::prepare(const WebhookRecord& webhook,
                                                const requests::AcceptedRecord& message) const {
  Time now = parts_.clock.now();
  net::OutgoingRequest request{.method = "POST", .url = webhook.url, .timeout = options_.timeout};
  request.body = message.body.inline_bytes;
  std::string id;
  for (const net::Header& header : message.headers) {
    request.headers.add(header.name, header.value);
    if (equals_ignoring_case(header.name, "webhook-id")) id = header.value;
  }
  int64_t timestamp = unix_ms(now) / 1000;
  GANTRY_TRY(std::string signature, signatures(signing_secrets(webhook, now), id, timestamp, request.body));
  request.headers.add("webhook-timestamp", std::to_string(timestamp));
  request.headers.add("webhook-signature", signature);
  request.headers.add("User-Agent", "gantry-webhooks");
  GANTRY_TRY_VOID(options_.hosts.check_host(webhook.url.endpoint.host));
  request.check = [this, host = webhook.url.endpoint.host](std::span<const uint8_t> address) {
    return options_.hosts.check_address(host, address);
  };
  return request;
}

Task<Answer> Deliverer::call(RecordPointer webhook, requests::StoredRequest stored) {
  auto request = prepare(*webhook, stored.record);
  if (!request) co_return failed(request.error());
  auto answer = co_await exchange(std::move(*request));
  if (!answer) co_return failed(answer.error());
  judge_status(*answer, parts_.clock.now());
  co_return std::move(*answer);
}

Task<Result<std::shared_ptr<net::TlsClient>>> Deliverer::trust() {
  {
    std::lock_guard lock(mutex_);
    if (trust_) co_return trust_;
  }
  GANTRY_CO_TRY(auto loaded, co_await parts_.blocking.run(
                                 [file = options_.ca_file] { return net::load_tls_client({.ca_file = file}); }));
  if (!loaded) co_return std::unexpected(std::move(loaded).error());
  std::lock_guard lock(mutex_);
  trust_ = *loaded;
  co_return trust_;
}

Task<Result<Answer>> Deliverer::exchange(net::OutgoingRequest request) {
  net::HttpClient::Options client{.connect_timeout = options_.connect_timeout};
  if (request.url.scheme == "https") {
    GANTRY_CO_TRY(client.tls, co_await trust());
  }
  net::HttpClient http(std::move(client));
  net::Framing framing = net::Framing::length(request.body.size());
  GANTRY_CO_TRY(net::ClientConnection connection, co_await http.open(std::move(request), framing));
  auto lane = lane_here();
  if (lane->interrupted) co_return fail(Code::cancelled, "the server stops");
  lane->calls.insert(&connection);
  auto answer = co_await read_answer(connection);
  lane->calls.erase(&connection);
  co_return answer;
}

// An answer counts from its head on: what breaks behind it does not undo that the receiver has taken the message.
Task<Result<Answer>> Deliverer::read_answer(net::ClientConnection& connection) const {
  GANTRY_CO_TRY(net::ResponseHead head, co_await connection.read_head());
  Answer answer{.status = head.status, .headers = net::HeaderList(head.headers)};
  while (answer.body.size() <= options_.answer_limit.count) {
    auto piece = co_await connection.read_some();
    answer.whole = piece.has_value();
    if (!piece || piece->empty()) co_return answer;
    answer.body.append(*piece);
  }
  answer.body.resize(options_.answer_limit.count);
  answer.whole = false;
  co_return answer;
}

}  // namespace gantry::webhooks
