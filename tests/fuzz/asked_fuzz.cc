// fuzz: proxy
//
// What callers ask in fields of their own: Idempotency-Key, times, policies, order and Prefer. The input is lines
// `name: value`, as the ingress hands them on. What is accepted keeps its bounds, and a key that is quoted parses to
// itself.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/asked.h"
#include "proxy/prefer.h"

namespace {

using namespace gantry;
using namespace gantry::proxy;

constexpr Time now = time_from_unix_ms(1'800'000'000'000);

std::vector<net::Header> read_lines(std::string_view input) {
  std::vector<net::Header> headers;
  while (!input.empty() && headers.size() < 64) {
    const std::string_view line = input.substr(0, input.find('\n'));
    input.remove_prefix(std::min(input.size(), line.size() + 1));
    const size_t colon = line.find(':');
    if (colon != line.npos) headers.push_back({line.substr(0, colon), trim(line.substr(colon + 1))});
  }
  return headers;
}

std::string in_quotes(std::string_view key) {
  std::string text = "\"";
  for (char c : key) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}

void check_key(std::string_view value) {
  auto key = parse_key(value);
  if (!key) return GANTRY_CHECK(key.error().code() == Code::invalid && !key.error().hint().empty());
  GANTRY_CHECK(!key->empty() && key->size() <= 255);
  auto again = parse_key(in_quotes(*key));
  GANTRY_CHECK(again.has_value() && *again == *key);
}

void check_asked(net::Headers headers) {
  auto asked = parse_asked(headers, now);
  if (!asked) return GANTRY_CHECK(asked.error().code() == Code::invalid && !asked.error().reason().empty());
  GANTRY_CHECK(asked->not_before == Time{} || (asked->not_before > now && asked->not_before <= now + longest_delay));
  GANTRY_CHECK(!asked->key || (!asked->key->empty() && asked->key->size() <= 255));
  GANTRY_CHECK(asked->priority <= requests::highest_priority);
  const core::Retry retry = asked->retry.applied_to({});
  GANTRY_CHECK(retry.max >= 1 && retry.max <= core::most_attempts);
  GANTRY_CHECK(retry.backoff.initial >= Duration{} && retry.backoff.initial <= retry.backoff.cap);
  GANTRY_CHECK(!asked->deadline || (*asked->deadline > Duration{} && *asked->deadline <= core::longest_deadline));
}

void check_preference(net::Headers headers) {
  constexpr Duration longest = std::chrono::minutes(5);
  const Preference preference = parse_preference(headers, longest);
  GANTRY_CHECK(!preference.wait || (*preference.wait >= Duration{} && *preference.wait <= longest));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // SAFETY: every object may be read through char.
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::vector<net::Header> headers = read_lines(input);
  for (const net::Header& header : headers) check_key(header.value);
  check_asked(headers);
  check_preference(headers);
  return 0;
}
