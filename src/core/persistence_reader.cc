// Reads `persistence`, `queue` and `breaker` of an agent.
#include <algorithm>
#include <charconv>

#include "core/agent_reader.h"

namespace gantry::core {
namespace {

using namespace std::chrono_literals;

constexpr Range<uint32_t> attempt_range{1, most_attempts};
constexpr Range<Duration> retry_initial_range{1ms, 24h};
constexpr Range<Duration> retry_cap_range{1ms, longest_retry_delay};
constexpr Range<Duration> attempt_timeout_range{10ms, 24h * 7};
constexpr Range<Duration> deadline_range{1s, longest_deadline};
constexpr Range<Duration> retention_range{1min, 24h * 3650};
constexpr Range<uint32_t> retention_count_range{1, 1'000'000'000};
constexpr Range<Bytes> retention_bytes_range{mebibytes(1), gibibytes(1024 * 1024)};
// A record of the journal holds at most 1 MiB, headers included.
constexpr Range<Bytes> response_limit_range{Bytes{0}, kibibytes(512)};
constexpr Range<uint32_t> queue_range{1, 10'000'000};
constexpr Range<uint32_t> breaker_failures_range{0, 1'000'000};
constexpr Range<Duration> breaker_open_range{100ms, 1h};

constexpr Choice<Backoff::Policy> policies[] = {{"exponential", Backoff::Policy::exponential},
                                                {"linear", Backoff::Policy::linear},
                                                {"fixed", Backoff::Policy::fixed},
                                                {"constant", Backoff::Policy::fixed}};

// The registry of IANA, "Hypertext Transfer Protocol (HTTP) Method Registry", and QUERY, of the draft that it has a
// place for. Without PRI, which is no method but the greeting of HTTP/2, `*`, CONNECT and TRACE, which are for proxies.
constexpr std::string_view methods_known[] = {"ACL",
                                              "BASELINE-CONTROL",
                                              "BIND",
                                              "CHECKIN",
                                              "CHECKOUT",
                                              "COPY",
                                              "DELETE",
                                              "GET",
                                              "HEAD",
                                              "LABEL",
                                              "LINK",
                                              "LOCK",
                                              "MERGE",
                                              "MKACTIVITY",
                                              "MKCALENDAR",
                                              "MKCOL",
                                              "MKREDIRECTREF",
                                              "MKWORKSPACE",
                                              "MOVE",
                                              "OPTIONS",
                                              "ORDERPATCH",
                                              "PATCH",
                                              "POST",
                                              "PROPFIND",
                                              "PROPPATCH",
                                              "PUT",
                                              "QUERY",
                                              "REBIND",
                                              "REPORT",
                                              "SEARCH",
                                              "UNBIND",
                                              "UNCHECKOUT",
                                              "UNLINK",
                                              "UNLOCK",
                                              "UPDATE",
                                              "UPDATEREDIRECTREF",
                                              "VERSION-CONTROL"};

// What was a method before the registry was asked: a token of RFC 9110 5.6.2, narrowed.
bool is_stored_method(std::string_view text) {
  return !text.empty() &&
         std::ranges::all_of(text, [](char c) { return (c >= 'A' && c <= 'Z') || c == '-' || c == '_'; });
}

}  // namespace

bool RetryOn::has_status(uint16_t status) const { return std::ranges::binary_search(statuses, status); }

Result<void> add_word(RetryOn& on, std::string_view word) {
  if (word == "connect") {
    on.connect = true;
  } else if (word == "timeout") {
    on.timeout = true;
  } else if (word == "died") {
    on.died = true;
  } else {
    uint16_t status = 0;
    auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), status);
    if (error != std::errc() || stop != word.data() + word.size() || status < 400 || status > 599)
      return fail(Code::invalid, "'{}' is none of connect, timeout, died and a status from 400 to 599", clip(word));
    auto place = std::ranges::lower_bound(on.statuses, status);
    if (place == on.statuses.end() || *place != status) on.statuses.insert(place, status);
  }
  return {};
}

std::vector<std::string> words_of(const RetryOn& on) {
  std::vector<std::string> words;
  if (on.connect) words.emplace_back("connect");
  if (on.timeout) words.emplace_back("timeout");
  if (on.died) words.emplace_back("died");
  for (uint16_t status : on.statuses) words.push_back(std::to_string(status));
  return words;
}

void AgentReader::read_persistence(Fields& fields, AgentSpec& out) {
  const yaml::Entry* entry = fields.take("persistence");
  if (!entry) return;
  Fields persistence(reading_, entry->value, fields.path_of("persistence"), entry->key_span);
  persistence.read_boolean("enabled", out.persistence.enabled);
  read_methods(persistence, out.persistence);
  // Agentainer had one word where `retry` has many fields; both may be given, `retry` wins.
  if (dialect_ == Dialect::deployment)
    persistence.read_choice("retryPolicy", out.persistence.retry.backoff.policy, policies);
  read_retry(persistence, out.persistence.retry);
  persistence.read_boolean("require_key", out.persistence.require_key);
  persistence.read_bytes("response_limit", out.persistence.response_limit, response_limit_range);
  read_retention(persistence, out.persistence.retention);
  persistence.finish();
}

void AgentReader::read_methods(Fields& persistence, Persistence& out) {
  const yaml::Entry* entry = persistence.take_list("methods", "write `methods: [POST, PUT]`");
  if (!entry) return;
  const yaml::Node& node = entry->value;
  std::string path = persistence.path_of("methods");
  if (node.items.empty() && out.enabled)
    reading_.report(Rule::GS0309, entry->key_span, path, "persistence is enabled for no method",
                    "name methods, or write `enabled: false`");
  std::vector<std::string> methods;
  for (size_t i = 0; i < node.items.size(); ++i) {
    std::string field = fmt::format("{}.{}", path, i);
    auto text = read_argument(reading_, node.items[i], field);
    if (!text) continue;
    std::string method = to_upper(*text);
    const bool is_known = std::ranges::find(methods_known, method) != std::end(methods_known);
    if (is_known || (reading_.is_stored && is_stored_method(method))) {
      methods.push_back(method);
      continue;
    }
    auto near = closest(method, methods_known);
    reading_.report(Rule::GS0310, node.items[i].span, field,
                    fmt::format("`{}` is not a method that can be forwarded", clip(*text)),
                    near ? fmt::format("did you mean `{}`?", *near) : "use words such as POST, PUT, PATCH and DELETE");
  }
  // Sorted and without doubles, so that equal sets have equal canonical text.
  std::ranges::sort(methods);
  auto doubles = std::ranges::unique(methods);
  methods.erase(doubles.begin(), doubles.end());
  out.methods = std::move(methods);
}

void AgentReader::read_retry(Fields& persistence, Retry& out) {
  const yaml::Entry* entry = persistence.take("retry");
  if (!entry) return;
  std::string path = persistence.path_of("retry");
  Fields retry(reading_, entry->value, path, entry->key_span);
  retry.read_choice("policy", out.backoff.policy, policies);
  retry.read_integer("max", out.max, attempt_range);
  // Compared after both are read: a default may be one side of the contradiction.
  const yaml::Node* initial = retry.read_duration("initial", out.backoff.initial, retry_initial_range);
  const yaml::Node* cap = retry.read_duration("cap", out.backoff.cap, retry_cap_range);
  if ((initial || cap) && out.backoff.cap < out.backoff.initial)
    reading_.report(Rule::GS0309, (cap ? cap : initial)->span, path + (cap ? ".cap" : ".initial"),
                    fmt::format("the cap {} is below the initial delay {}", format_duration(out.backoff.cap),
                                format_duration(out.backoff.initial)),
                    "give a cap that is at least the initial delay");
  const yaml::Node* timeout = retry.read_duration("timeout", out.timeout, attempt_timeout_range);
  const yaml::Node* deadline = retry.read_duration("deadline", out.deadline, deadline_range);
  if (timeout && deadline && out.deadline < out.timeout)
    reading_.report(Rule::GS0309, deadline->span, path + ".deadline",
                    fmt::format("the deadline {} is shorter than the timeout {} of one attempt",
                                format_duration(out.deadline), format_duration(out.timeout)),
                    "give a deadline that leaves time for at least one attempt");
  read_retry_on(retry, out.on);
  retry.finish();
}

void AgentReader::read_retry_on(Fields& retry, RetryOn& out) {
  const yaml::Entry* entry = retry.take_list("retry_on", "write `retry_on: [connect, timeout, died, 503]`");
  if (!entry) return;
  const yaml::Node& node = entry->value;
  std::string path = retry.path_of("retry_on");
  RetryOn on = RetryOn::none();
  for (size_t i = 0; i < node.items.size(); ++i) {
    std::string field = fmt::format("{}.{}", path, i);
    auto word = read_argument(reading_, node.items[i], field);
    if (!word) continue;
    if (auto added = add_word(on, *word); !added)
      reading_.report(Rule::GS0304, node.items[i].span, field, std::string(added.error().reason()),
                      "an empty list repeats nothing");
  }
  out = std::move(on);
}

// A duration, or a map of bounds.
void AgentReader::read_retention(Fields& persistence, Retention& out) {
  constexpr std::string_view key = "retention";
  const yaml::Entry* entry = persistence.peek(key);
  if (!entry) return;
  if (entry->value.kind != yaml::Kind::map) {
    persistence.read_duration(key, out.age, retention_range);
    return;
  }
  persistence.take(key);
  Fields retention(reading_, entry->value, persistence.path_of(key), entry->key_span);
  retention.read_duration("age", out.age, retention_range);
  uint32_t count = 0;
  if (retention.read_integer("count", count, retention_count_range)) out.count = count;
  retention.read_bytes("bytes", out.bytes, retention_bytes_range);
  retention.finish();
}

void AgentReader::read_queue(Fields& fields, Queue& out) {
  const yaml::Entry* entry = fields.take("queue");
  if (!entry) return;
  Fields queue(reading_, entry->value, fields.path_of("queue"), entry->key_span);
  queue.read_integer("max", out.max, queue_range);
  queue.finish();
}

void AgentReader::read_breaker(Fields& fields, Breaker& out) {
  const yaml::Entry* entry = fields.take("breaker");
  if (!entry) return;
  Fields breaker(reading_, entry->value, fields.path_of("breaker"), entry->key_span);
  breaker.read_integer("failures", out.failures, breaker_failures_range);
  breaker.read_duration("open", out.open, breaker_open_range);
  breaker.finish();
}

}  // namespace gantry::core
