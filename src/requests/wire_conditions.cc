// Conditions of a request as bytes, and back.
#include <algorithm>

#include "requests/wire.h"

namespace gantry::requests {
namespace {

enum Condition : uint8_t {
  with_key = 1,
  with_not_before = 2,
  with_order_key = 4,
  with_priority = 8,
  with_deadline = 16,
  with_retry = 32,
};
constexpr uint8_t of_format_2 = with_key | with_not_before;

enum RetryField : uint8_t {
  retry_max = 1,
  retry_policy = 2,
  retry_initial = 4,
  retry_cap = 8,
  retry_timeout = 16,
  retry_on = 32,
};
enum RetryOnWord : uint8_t { on_connect = 1, on_timeout = 2, on_died = 4 };

// More than there are statuses that can be listed.
constexpr uint64_t most_statuses = 200;

void put_duration(Encoder& out, const std::optional<Duration>& duration) {
  if (duration) out.fixed64(static_cast<uint64_t>(duration->count()));
}

void put_retry(Encoder& out, const RetryOverride& retry) {
  uint8_t which = 0;
  if (retry.max) which |= retry_max;
  if (retry.policy) which |= retry_policy;
  if (retry.initial) which |= retry_initial;
  if (retry.cap) which |= retry_cap;
  if (retry.timeout) which |= retry_timeout;
  if (retry.on) which |= retry_on;
  out.u8(which);
  if (retry.max) out.varint(*retry.max);
  if (retry.policy) out.u8(static_cast<uint8_t>(*retry.policy));
  put_duration(out, retry.initial);
  put_duration(out, retry.cap);
  put_duration(out, retry.timeout);
  if (!retry.on) return;
  out.u8(static_cast<uint8_t>((retry.on->connect ? on_connect : 0) | (retry.on->timeout ? on_timeout : 0) |
                              (retry.on->died ? on_died : 0)));
  out.varint(retry.on->statuses.size());
  for (uint16_t status : retry.on->statuses) out.varint(status);
}

core::RetryOn get_retry_on(Decoder& in) {
  const uint8_t words = in.u8();
  core::RetryOn on{
      .connect = (words & on_connect) != 0, .timeout = (words & on_timeout) != 0, .died = (words & on_died) != 0};
  const uint64_t count = in.varint();
  if (count > most_statuses) in.refuse();
  for (uint64_t i = 0; i < count && in.ok(); ++i) on.statuses.push_back(static_cast<uint16_t>(in.varint()));
  if (!std::ranges::is_sorted(on.statuses)) in.refuse();
  return on;
}

RetryOverride get_retry(Decoder& in) {
  RetryOverride retry;
  const uint8_t which = in.u8();
  auto duration = [&](RetryField field) -> std::optional<Duration> {
    if (!(which & field)) return std::nullopt;
    return Duration(static_cast<int64_t>(in.fixed64()));
  };
  if (which & retry_max) retry.max = static_cast<uint32_t>(in.varint());
  if (which & retry_policy) {
    const uint8_t policy = in.u8();
    if (policy > static_cast<uint8_t>(Backoff::Policy::fixed)) in.refuse();
    retry.policy = static_cast<Backoff::Policy>(policy);
  }
  retry.initial = duration(retry_initial);
  retry.cap = duration(retry_cap);
  retry.timeout = duration(retry_timeout);
  if (which & retry_on) retry.on = get_retry_on(in);
  return retry;
}

}  // namespace

core::Retry RetryOverride::applied_to(core::Retry retry) const {
  retry.max = max.value_or(retry.max);
  retry.backoff.policy = policy.value_or(retry.backoff.policy);
  retry.backoff.initial = initial.value_or(retry.backoff.initial);
  retry.backoff.cap = std::max(cap.value_or(retry.backoff.cap), retry.backoff.initial);
  retry.timeout = timeout.value_or(retry.timeout);
  if (on) retry.on = *on;
  return retry;
}

Time renewed_deadline(const Conditions& conditions, Time began, Time begins) {
  if (conditions.deadline == Time{}) return Time{};
  began = std::max(began, conditions.not_before);
  return begins + std::max<Duration>(conditions.deadline - began, Duration::zero());
}

void encode(const Conditions& conditions, Encoder& out) {
  uint8_t which = 0;
  if (!conditions.key.empty()) which |= with_key;
  if (conditions.not_before != Time{}) which |= with_not_before;
  if (!conditions.order_key.empty()) which |= with_order_key;
  if (conditions.priority != usual_priority) which |= with_priority;
  if (conditions.deadline != Time{}) which |= with_deadline;
  if (!conditions.retry.empty()) which |= with_retry;
  out.u8(which);
  if (which & with_key) {
    out.bytes(conditions.key);
    out.digest(conditions.fingerprint);
  }
  if (which & with_not_before) out.time(conditions.not_before);
  if (which & with_order_key) out.bytes(conditions.order_key);
  if (which & with_priority) out.u8(conditions.priority);
  if (which & with_deadline) out.time(conditions.deadline);
  if (which & with_retry) put_retry(out, conditions.retry);
}

Conditions decode_conditions(Decoder& in, ConditionsFormat format) {
  Conditions conditions;
  const uint8_t which = in.u8();
  if (format == ConditionsFormat::two && (which & ~of_format_2) != 0) in.refuse();
  if (which & with_key) {
    conditions.key = in.bytes();
    conditions.fingerprint = in.digest();
  }
  if (which & with_not_before) conditions.not_before = in.time();
  if (which & with_order_key) conditions.order_key = in.bytes();
  if (which & with_priority) conditions.priority = std::min(in.u8(), highest_priority);
  if (which & with_deadline) conditions.deadline = in.time();
  if (which & with_retry) conditions.retry = get_retry(in);
  return conditions;
}

}  // namespace gantry::requests
