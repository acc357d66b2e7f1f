#include "requests/wire_requeue.h"

#include "requests/change.h"

namespace gantry::requests {
namespace {

// Beyond every format of `request.accepted`.
constexpr uint8_t requeued_format = 0x81;
constexpr uint8_t purged_format = 1;

std::unexpected<Error> damaged(std::string_view what) {
  return fail(Code::data_loss, "the journal holds a damaged {} record", what);
}

// Behind the format: the length of what is carried, then that.
std::optional<std::string_view> carried_part(Decoder& decoder) {
  if (decoder.u8() != requeued_format) return std::nullopt;
  std::string_view part = decoder.bytes();
  if (!decoder.ok()) return std::nullopt;
  return part;
}

}  // namespace

void put_location(Encoder& out, const journal::Location& location) {
  out.varint(location.segment);
  out.varint(location.offset);
  out.varint(location.size);
}

journal::Location get_location(Decoder& in) {
  journal::Location location;
  location.segment = in.varint();
  location.offset = static_cast<uint32_t>(in.varint());
  location.size = static_cast<uint32_t>(in.varint());
  return location;
}

void put_requeued(Encoder& out, const Requeued& requeued) {
  out.time(requeued.at);
  out.varint(requeued.ended_seq);
  out.varint(requeued.attempts);
  out.u8(requeued.original ? 1 : 0);
  if (!requeued.original) return;
  out.varint(requeued.original->seq);
  put_location(out, requeued.original->at);
  out.u8(requeued.original->blob ? 1 : 0);
  if (requeued.original->blob) out.digest(*requeued.original->blob);
}

Requeued get_requeued(Decoder& in) {
  Requeued requeued;
  requeued.at = in.time();
  requeued.ended_seq = in.varint();
  requeued.attempts = static_cast<uint32_t>(in.varint());
  if (in.u8() == 0) return requeued;
  Original& original = requeued.original.emplace();
  original.seq = in.varint();
  original.at = get_location(in);
  if (in.u8() != 0) original.blob = in.digest();
  return requeued;
}

void encode(const Carried& carried, std::string& out) {
  std::string bytes;
  Encoder inner(bytes);
  put_requeued(inner, carried.requeued);
  inner.time(carried.created_at);
  inner.varint(carried.log.size());
  for (const Attempt& attempt : carried.log) {
    inner.varint(attempt.number);
    inner.id(attempt.instance.bytes());
    inner.time(attempt.started_at);
    inner.time(attempt.ended_at);
    inner.u8(static_cast<uint8_t>(attempt.outcome));
    inner.bytes(attempt.detail);
  }
  Encoder encoder(out);
  encoder.u8(requeued_format);
  encoder.bytes(bytes);
}

Result<Carried> decode_carried(std::string_view payload) {
  Decoder outer(payload);
  auto part = carried_part(outer);
  if (!part) return damaged("request.requeued");
  Decoder in(*part);
  Carried carried;
  carried.requeued = get_requeued(in);
  carried.created_at = in.time();
  uint64_t count = in.varint();
  if (count > RequestState::attempts_kept) return damaged("request.requeued");
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    Attempt attempt;
    attempt.number = static_cast<uint32_t>(in.varint());
    attempt.instance = InstanceId(in.id());
    attempt.started_at = in.time();
    attempt.ended_at = in.time();
    attempt.outcome = in.outcome();
    attempt.detail = in.bytes();
    carried.log.push_back(std::move(attempt));
  }
  if (!in.ok() || !in.at_end()) return damaged("request.requeued");
  return carried;
}

Result<uint32_t> attempts_before(std::string_view payload) {
  GANTRY_TRY(Carried carried, decode_carried(payload));
  return carried.requeued.attempts;
}

std::string_view accepted_part(std::string_view payload) {
  if (payload.empty() || static_cast<uint8_t>(payload.front()) != requeued_format) return payload;
  Decoder decoder(payload);
  if (!carried_part(decoder)) return {};
  return decoder.rest();
}

std::string encode_purged(std::span<const RequestId> ids) {
  std::string bytes;
  Encoder encoder(bytes);
  encoder.u8(purged_format);
  encoder.varint(ids.size());
  for (const RequestId& id : ids) encoder.id(id.bytes());
  return bytes;
}

Result<std::vector<RequestId>> decode_purged(std::string_view payload) {
  Decoder decoder(payload);
  const bool known = decoder.u8() == purged_format;
  const uint64_t count = decoder.varint();
  if (!known || count > purged_at_once) return damaged("requests.purged");
  std::vector<RequestId> ids;
  for (uint64_t i = 0; i < count && decoder.ok(); ++i) ids.push_back(RequestId(decoder.id()));
  if (!decoder.ok() || !decoder.at_end()) return damaged("requests.purged");
  return ids;
}

}  // namespace gantry::requests
