// The field Gantry-Retry.
#include <charconv>

#include "proxy/asked.h"

namespace gantry::proxy {
namespace {

using namespace std::chrono_literals;

std::unexpected<Error> bad(std::string_view why) {
  return std::unexpected(Error(ErrorId::GR0411, fmt::format("Gantry-Retry: {}", why))
                             .with_hint("send, for example, Gantry-Retry: max=3, policy=linear, initial=2s, cap=1m, "
                                        "timeout=30s, deadline=10m, retry_on=(connect timeout died 503)"));
}

std::string_view unquoted(std::string_view text) {
  const bool quoted = text.size() >= 2 && text.front() == '"' && text.back() == '"';
  const bool listed = text.size() >= 2 && text.front() == '(' && text.back() == ')';
  return quoted || listed ? trim(text.substr(1, text.size() - 2)) : text;
}

// The end of the item that `text` begins with: a comma that is neither in quotes nor in parentheses.
size_t end_of_item(std::string_view text) {
  char closes = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (closes != 0)
      closes = c == closes ? 0 : closes;
    else if (c == '"' || c == '(')
      closes = c == '"' ? '"' : ')';
    else if (c == ',')
      return i;
  }
  return text.size();
}

Result<Duration> read_duration(std::string_view name, std::string_view value, Duration least, Duration most) {
  auto parsed = parse_duration(value);
  if (!parsed) return bad(fmt::format("{}: {}", name, parsed.error().reason()));
  if (*parsed < least || *parsed > most)
    return bad(fmt::format("{} must be from {} to {}", name, format_duration(least), format_duration(most)));
  return *parsed;
}

Result<void> read_max(std::string_view value, requests::RetryOverride& retry) {
  uint32_t max = 0;
  auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), max);
  if (error != std::errc() || stop != value.data() + value.size() || max < 1 || max > core::most_attempts)
    return bad(fmt::format("max must be a number from 1 to {}", core::most_attempts));
  retry.max = max;
  return {};
}

Result<void> read_policy(std::string_view value, requests::RetryOverride& retry) {
  if (value == "exponential")
    retry.policy = Backoff::Policy::exponential;
  else if (value == "linear")
    retry.policy = Backoff::Policy::linear;
  else if (value == "fixed" || value == "constant")
    retry.policy = Backoff::Policy::fixed;
  else
    return bad("policy must be exponential, linear or fixed");
  return {};
}

Result<void> read_retry_on(std::string_view value, requests::RetryOverride& retry) {
  core::RetryOn on = core::RetryOn::none();
  for (std::string_view rest = value; !rest.empty();) {
    const size_t space = rest.find_first_of(" \t");
    if (auto added = core::add_word(on, rest.substr(0, space)); !added)
      return bad(fmt::format("retry_on: {}", added.error().reason()));
    rest = space == rest.npos ? std::string_view() : trim(rest.substr(space));
  }
  retry.on = std::move(on);
  return {};
}

Result<void> read_item(std::string_view name, std::string_view value, Asked& asked) {
  requests::RetryOverride& retry = asked.retry;
  if (name == "max") return read_max(value, retry);
  if (name == "policy") return read_policy(value, retry);
  if (name == "retry_on") return read_retry_on(value, retry);
  if (name == "initial") {
    GANTRY_TRY(retry.initial, read_duration(name, value, 1ms, 24h));
  } else if (name == "cap") {
    GANTRY_TRY(retry.cap, read_duration(name, value, 1ms, core::longest_retry_delay));
  } else if (name == "timeout") {
    GANTRY_TRY(retry.timeout, read_duration(name, value, 10ms, 24h * 7));
  } else if (name == "deadline") {
    GANTRY_TRY(asked.deadline, read_duration(name, value, 10ms, core::longest_deadline));
  } else {
    return bad(fmt::format("'{}' is no part of a policy", name.substr(0, 64)));
  }
  return {};
}

}  // namespace

Result<void> parse_retry(std::string_view value, Asked& asked) {
  for (std::string_view rest = trim(value); !rest.empty();) {
    const size_t end = end_of_item(rest);
    const std::string_view item = trim(rest.substr(0, end));
    rest = end == rest.size() ? std::string_view() : trim(rest.substr(end + 1));
    const size_t equals = item.find('=');
    if (equals == item.npos) return bad(fmt::format("'{}' is no name=value", item.substr(0, 64)));
    GANTRY_TRY_VOID(read_item(trim(item.substr(0, equals)), unquoted(trim(item.substr(equals + 1))), asked));
  }
  const requests::RetryOverride& retry = asked.retry;
  if (retry.initial && retry.cap && *retry.cap < *retry.initial) return bad("cap is shorter than initial");
  return {};
}

}  // namespace gantry::proxy
