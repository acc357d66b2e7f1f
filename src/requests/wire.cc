#include "requests/wire.h"

#include <algorithm>

namespace gantry::requests {
namespace {

constexpr uint8_t format = 1;
// An accepted request with conditions: format 1 and, behind the body's place, the conditions.
constexpr uint8_t format_with_conditions = 2;
// A failed request whose last attempt has a detail of its own: format 1 and the detail.
constexpr uint8_t format_with_detail = 2;
// With conditions that format 2 does not know.
constexpr uint8_t format_with_more_conditions = 3;
// A record holds at most this many fields; the ingress allows far fewer.
constexpr uint64_t fields_limit = 10'000;

enum Flag : uint8_t { has_replay = 1, has_instance = 2, body_in_blob = 4, body_incomplete = 8 };

std::unexpected<Error> damaged(std::string_view what) {
  return fail(Code::data_loss, "the journal holds a damaged {} record", what);
}

uint8_t body_flags(const Body& body) {
  uint8_t flags = body.blob ? body_in_blob : 0;
  if (!body.complete) flags |= body_incomplete;
  return flags;
}

void put_body(Encoder& encoder, const Body& body) {
  encoder.varint(body.size);
  if (body.blob) encoder.digest(*body.blob);
}

Body get_body(Decoder& decoder, uint8_t flags) {
  Body body;
  body.complete = (flags & body_incomplete) == 0;
  body.size = decoder.varint();
  if (flags & body_in_blob) body.blob = decoder.digest();
  return body;
}

bool body_fits(const Body& body) {
  return body.blob.has_value() || !body.complete || body.inline_bytes.size() == body.size;
}

struct AcceptedStart {
  AcceptedSummary summary;
  Body body;
};

AcceptedStart get_accepted_start(Decoder& decoder) {
  AcceptedStart start;
  const uint8_t found = decoder.u8();
  if (found < format || found > format_with_more_conditions) {
    decoder = Decoder({});
    decoder.refuse();
    return start;
  }
  uint8_t flags = decoder.u8();
  start.summary.agent_id = AgentId(decoder.id());
  if (flags & has_replay) start.summary.replay_of = RequestId(decoder.id());
  if (flags & has_instance) start.summary.first_instance = InstanceId(decoder.id());
  start.summary.agent = decoder.bytes();
  start.summary.principal = decoder.bytes();
  start.summary.method = decoder.bytes();
  start.summary.target = decoder.bytes();
  start.body = get_body(decoder, flags);
  start.summary.blob = start.body.blob;
  start.summary.body_size = start.body.size;
  if (found == format_with_conditions)
    start.summary.conditions = decode_conditions(decoder, ConditionsFormat::two);
  else if (found == format_with_more_conditions)
    start.summary.conditions = decode_conditions(decoder, ConditionsFormat::three);
  return start;
}

struct CompletedStart {
  CompletedSummary summary;
  Body body;
};

CompletedStart get_completed_start(Decoder& decoder) {
  CompletedStart start;
  if (decoder.u8() != format) {
    decoder = Decoder({});
    decoder.refuse();
    return start;
  }
  uint8_t flags = decoder.u8();
  start.summary.number = static_cast<uint32_t>(decoder.varint());
  start.summary.status = static_cast<uint16_t>(decoder.varint());
  start.body = get_body(decoder, flags);
  start.summary.blob = start.body.blob;
  start.summary.body_size = start.body.size;
  return start;
}

}  // namespace

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::running:
      return "running";
    case Outcome::completed:
      return "completed";
    case Outcome::died:
      return "died";
    case Outcome::refused:
      return "refused";
    case Outcome::timeout:
      return "timeout";
    case Outcome::interrupted:
      return "interrupted";
    case Outcome::cancelled:
      return "cancelled";
    case Outcome::answered:
      return "answered";
  }
  return "unknown";
}

void Encoder::varint(uint64_t value) {
  while (value >= 0x80) {
    u8(static_cast<uint8_t>(value) | 0x80);
    value >>= 7;
  }
  u8(static_cast<uint8_t>(value));
}

void Encoder::fixed64(uint64_t value) {
  for (int i = 0; i < 8; ++i, value >>= 8) u8(static_cast<uint8_t>(value));
}

void Encoder::bytes(std::string_view value) {
  varint(value.size());
  out_.append(value);
}

void Encoder::fields(const FieldList& list) {
  varint(list.size());
  for (const auto& [name, value] : list) {
    bytes(name);
    bytes(value);
  }
}

std::string_view Decoder::take(size_t count) {
  if (count > in_.size()) {
    ok_ = false;
    in_ = {};
    return {};
  }
  std::string_view part = in_.substr(0, count);
  in_.remove_prefix(count);
  return part;
}

uint8_t Decoder::u8() {
  std::string_view part = take(1);
  return part.empty() ? 0 : static_cast<uint8_t>(part[0]);
}

uint64_t Decoder::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    uint8_t byte = u8();
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return value;
  }
  ok_ = false;
  return 0;
}

uint64_t Decoder::fixed64() {
  uint64_t value = 0;
  std::string_view part = take(8);
  for (size_t i = part.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(part[i]);
  return value;
}

std::string_view Decoder::bytes() { return take(varint()); }

IdBytes Decoder::id() {
  IdBytes bytes{};
  std::string_view part = take(bytes.size());
  std::copy(part.begin(), part.end(), bytes.begin());
  return bytes;
}

journal::BlobId Decoder::digest() {
  journal::BlobId digest{};
  std::string_view part = take(digest.size());
  std::copy(part.begin(), part.end(), digest.begin());
  return digest;
}

Outcome Decoder::outcome() {
  const uint8_t value = u8();
  if (value > static_cast<uint8_t>(last_outcome)) refuse();
  return ok_ ? static_cast<Outcome>(value) : Outcome::running;
}

FieldList Decoder::fields() {
  uint64_t count = varint();
  if (count > fields_limit) {
    ok_ = false;
    return {};
  }
  FieldList list;
  for (uint64_t i = 0; i < count && ok_; ++i) {
    std::string_view name = bytes();
    std::string_view value = bytes();
    list.push_back({name, value});
  }
  return list;
}

void encode(const AcceptedRecord& record, std::string& out) {
  Encoder encoder(out);
  encoder.u8(record.conditions.empty()         ? format
             : record.conditions.is_format_2() ? format_with_conditions
                                               : format_with_more_conditions);
  uint8_t flags = body_flags(record.body);
  if (record.replay_of) flags |= has_replay;
  if (record.first_instance) flags |= has_instance;
  encoder.u8(flags);
  encoder.id(record.agent_id.bytes());
  if (record.replay_of) encoder.id(record.replay_of->bytes());
  if (record.first_instance) encoder.id(record.first_instance->bytes());
  encoder.bytes(record.agent);
  encoder.bytes(record.principal);
  encoder.bytes(record.method);
  encoder.bytes(record.target);
  put_body(encoder, record.body);
  if (!record.conditions.empty()) encode(record.conditions, encoder);
  encoder.u8(static_cast<uint8_t>(record.framing));
  encoder.fields(record.headers);
  encoder.fields(record.trailers);
}

void encode(const AttemptRecord& record, std::string& out) {
  Encoder encoder(out);
  encoder.u8(format);
  encoder.varint(record.number);
  encoder.id(record.instance.bytes());
}

void encode(const AttemptEndedRecord& record, std::string& out) {
  Encoder encoder(out);
  encoder.u8(format);
  encoder.varint(record.number);
  encoder.u8(static_cast<uint8_t>(record.outcome));
  encoder.time(record.next_attempt_at);
  encoder.bytes(record.detail);
}

void encode(const CompletedRecord& record, std::string& out) {
  Encoder encoder(out);
  encoder.u8(format);
  encoder.u8(body_flags(record.body));
  encoder.varint(record.number);
  encoder.varint(record.status);
  put_body(encoder, record.body);
  encoder.bytes(record.reason);
  encoder.fields(record.headers);
  encoder.fields(record.trailers);
}

void encode(const FailedRecord& record, std::string& out) {
  Encoder encoder(out);
  encoder.u8(record.detail.empty() ? format : format_with_detail);
  encoder.varint(record.number);
  encoder.u8(static_cast<uint8_t>(record.outcome));
  encoder.bytes(record.reason);
  if (!record.detail.empty()) encoder.bytes(record.detail);
}

Result<AcceptedSummary> decode_accepted_summary(std::string_view payload) {
  Decoder decoder(payload);
  AcceptedStart start = get_accepted_start(decoder);
  if (!decoder.ok()) return damaged("request.accepted");
  return start.summary;
}

Result<AcceptedRecord> decode_accepted(std::string_view payload) {
  Decoder decoder(payload);
  AcceptedStart start = get_accepted_start(decoder);
  AcceptedRecord record;
  record.agent_id = start.summary.agent_id;
  record.agent = start.summary.agent;
  record.principal = start.summary.principal;
  record.method = start.summary.method;
  record.target = start.summary.target;
  record.replay_of = start.summary.replay_of;
  record.first_instance = start.summary.first_instance;
  record.conditions = start.summary.conditions;
  uint8_t framing = decoder.u8();
  if (framing > static_cast<uint8_t>(net::Framing::Kind::chunked)) return damaged("request.accepted");
  record.framing = static_cast<net::Framing::Kind>(framing);
  record.headers = decoder.fields();
  record.trailers = decoder.fields();
  record.body = start.body;
  if (!record.body.blob) record.body.inline_bytes = decoder.rest();
  if (!decoder.ok() || !body_fits(record.body)) return damaged("request.accepted");
  return record;
}

Result<AttemptRecord> decode_attempt(std::string_view payload) {
  Decoder decoder(payload);
  bool known = decoder.u8() == format;
  AttemptRecord record;
  record.number = static_cast<uint32_t>(decoder.varint());
  record.instance = InstanceId(decoder.id());
  if (!known || !decoder.ok()) return damaged("request.attempt");
  return record;
}

Result<AttemptEndedRecord> decode_attempt_ended(std::string_view payload) {
  Decoder decoder(payload);
  bool known = decoder.u8() == format;
  AttemptEndedRecord record;
  record.number = static_cast<uint32_t>(decoder.varint());
  record.outcome = decoder.outcome();
  record.next_attempt_at = decoder.time();
  record.detail = decoder.bytes();
  if (!known || !decoder.ok()) return damaged("request.attempt_ended");
  return record;
}

Result<CompletedSummary> decode_completed_summary(std::string_view payload) {
  Decoder decoder(payload);
  CompletedStart start = get_completed_start(decoder);
  if (!decoder.ok()) return damaged("request.completed");
  return start.summary;
}

Result<CompletedRecord> decode_completed(std::string_view payload) {
  Decoder decoder(payload);
  CompletedStart start = get_completed_start(decoder);
  CompletedRecord record;
  record.number = start.summary.number;
  record.status = start.summary.status;
  record.reason = decoder.bytes();
  record.headers = decoder.fields();
  record.trailers = decoder.fields();
  record.body = start.body;
  if (!record.body.blob) record.body.inline_bytes = decoder.rest();
  if (!decoder.ok() || !body_fits(record.body)) return damaged("request.completed");
  return record;
}

Result<FailedRecord> decode_failed(std::string_view payload) {
  Decoder decoder(payload);
  const uint8_t found = decoder.u8();
  FailedRecord record;
  record.number = static_cast<uint32_t>(decoder.varint());
  record.outcome = decoder.outcome();
  record.reason = decoder.bytes();
  if (found == format_with_detail) record.detail = decoder.bytes();
  if ((found != format && found != format_with_detail) || !decoder.ok()) return damaged("request.failed");
  return record;
}

}  // namespace gantry::requests
