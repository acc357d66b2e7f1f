#include "proxy/asked.h"

#include <algorithm>

namespace gantry::proxy {
namespace {

constexpr size_t longest_key = 255;

std::unexpected<Error> bad_key(std::string_view why) {
  return std::unexpected(Error(ErrorId::GR0409, fmt::format("Idempotency-Key: {}", why))
                             .with_hint("send one string of 1 to 255 characters, such as "
                                        "Idempotency-Key: \"8e03978e-40d5-43dd-bc93-6894a57f9324\""));
}

std::unexpected<Error> bad_time(std::string_view name, std::string_view why) {
  return std::unexpected(Error(ErrorId::GR0410, fmt::format("{}: {}", name, why))
                             .with_hint("send a time such as 2026-12-24T18:00:00Z in Gantry-Not-Before, or a duration "
                                        "such as 10m in Gantry-Delay, at most a year ahead"));
}

bool is_printable(char c) { return c >= ' ' && c <= '~'; }

Result<std::string> parse_quoted(std::string_view text) {
  std::string key;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '"') return bad_key("something stands behind the closing quote");
    if (c == '\\') {
      if (i + 1 == text.size() || (text[i + 1] != '"' && text[i + 1] != '\\'))
        return bad_key("a backslash may only stand before a quote or a backslash");
      c = text[++i];
    }
    if (!is_printable(c)) return bad_key("it holds a character that is not printable ASCII");
    key += c;
  }
  return key;
}

// The field if it stands there once; nullopt if it does not.
Result<std::optional<std::string_view>> single(net::Headers headers, std::string_view name) {
  std::optional<std::string_view> found;
  for (const net::Header& header : headers) {
    if (!equals_ignoring_case(header.name, name)) continue;
    if (found) return fail(Code::invalid, "it stands there twice");
    found = header.value;
  }
  return found;
}

Result<Time> parse_not_before(std::optional<std::string_view> at, std::optional<std::string_view> delay, Time now) {
  if (at && delay) return bad_time("Gantry-Delay", "Gantry-Not-Before stands beside it");
  if (!at && !delay) return Time{};
  Time time;
  if (at) {
    auto parsed = parse_time(trim(*at));
    if (!parsed) return bad_time("Gantry-Not-Before", parsed.error().reason());
    time = *parsed;
  } else {
    auto parsed = parse_duration(trim(*delay));
    if (!parsed) return bad_time("Gantry-Delay", parsed.error().reason());
    if (*parsed > longest_delay) return bad_time("Gantry-Delay", "that is more than a year");
    time = now + *parsed;
  }
  if (time > now + longest_delay) return bad_time("Gantry-Not-Before", "that is more than a year ahead");
  return time > now ? time : Time{};
}

}  // namespace

Result<std::string> parse_key(std::string_view value) {
  value = trim(value);
  std::string key;
  if (value.starts_with('"')) {
    if (value.size() < 2 || !value.ends_with('"')) return bad_key("the closing quote is missing");
    GANTRY_TRY(key, parse_quoted(value.substr(1, value.size() - 2)));
  } else {
    for (char c : value)
      if (!is_printable(c) || c == ' ' || c == '"' || c == ',' || c == ';' || c == '\\')
        return bad_key("without quotes it may hold no space, quote, comma, semicolon or backslash");
    key = value;
  }
  if (key.empty()) return bad_key("it is empty");
  if (key.size() > longest_key)
    return bad_key(fmt::format("it has {} characters, {} are allowed", key.size(), longest_key));
  return key;
}

namespace {

std::unexpected<Error> bad_order(std::string_view name, std::string_view why) {
  return std::unexpected(Error(ErrorId::GR0412, fmt::format("{}: {}", name, why))
                             .with_hint("send, for example, Gantry-Order-Key: customer-17 and Gantry-Priority: 7"));
}

Result<void> parse_order(net::Headers headers, Asked& asked) {
  auto key = single(headers, "gantry-order-key");
  if (!key) return bad_order("Gantry-Order-Key", key.error().reason());
  if (*key) {
    asked.order_key = trim(**key);
    if (asked.order_key.empty()) return bad_order("Gantry-Order-Key", "it is empty");
    if (asked.order_key.size() > longest_key)
      return bad_order("Gantry-Order-Key",
                       fmt::format("it has {} characters, {} are allowed", asked.order_key.size(), longest_key));
    if (!std::ranges::all_of(asked.order_key, is_printable))
      return bad_order("Gantry-Order-Key", "it holds a character that is not printable ASCII");
  }
  auto priority = single(headers, "gantry-priority");
  if (!priority) return bad_order("Gantry-Priority", priority.error().reason());
  if (!*priority) return {};
  const std::string_view digit = trim(**priority);
  if (digit.size() != 1 || digit[0] < '0' || digit[0] > '9')
    return bad_order("Gantry-Priority", "it must be one digit, from 0 (last) to 9 (first)");
  asked.priority = static_cast<uint8_t>(digit[0] - '0');
  return {};
}

bool asks(std::string_view name) {
  return net::is_gantry_header(name) || equals_ignoring_case(name, "idempotency-key");
}

// A Structured-Field boolean, or the word that people write.
bool is_true(std::string_view value) {
  value = trim(value);
  return value == "?1" || equals_ignoring_case(value, "true") || value == "1";
}

}  // namespace

Result<Asked> parse_asked(net::Headers headers, Time now) {
  Asked asked;
  // Most callers ask for nothing: one look tells.
  if (std::ranges::none_of(headers, [](const net::Header& header) { return asks(header.name); })) return asked;
  auto key = single(headers, "idempotency-key");
  if (!key) return bad_key(key.error().reason());
  if (*key) {
    GANTRY_TRY(asked.key, parse_key(**key));
  }
  auto at = single(headers, "gantry-not-before");
  if (!at) return bad_time("Gantry-Not-Before", at.error().reason());
  auto delay = single(headers, "gantry-delay");
  if (!delay) return bad_time("Gantry-Delay", delay.error().reason());
  GANTRY_TRY(asked.not_before, parse_not_before(*at, *delay, now));
  // Several fields are one list (RFC 9110 5.3).
  for (const net::Header& header : headers) {
    if (equals_ignoring_case(header.name, "gantry-retry")) GANTRY_TRY_VOID(parse_retry(header.value, asked));
    if (equals_ignoring_case(header.name, "gantry-cancel-on-disconnect"))
      asked.cancel_on_disconnect = is_true(header.value);
  }
  GANTRY_TRY_VOID(parse_order(headers, asked));
  return asked;
}

}  // namespace gantry::proxy
