// The live table as bytes in a checkpoint of the journal, and back.
#include <algorithm>

#include "requests/live_table.h"
#include "requests/wire_requeue.h"

namespace gantry::requests {
namespace {

constexpr uint8_t checkpoint_format = 3;
constexpr uint8_t format_without_requeues = 2;
constexpr uint8_t format_without_keys = 1;

void put_blob(Encoder& out, const std::optional<journal::BlobId>& blob) {
  out.u8(blob ? 1 : 0);
  if (blob) out.digest(*blob);
}
std::optional<journal::BlobId> get_blob(Decoder& in) {
  if (in.u8() == 0) return std::nullopt;
  return in.digest();
}

void put_state(Encoder& out, const RequestState& state) {
  out.u8(static_cast<uint8_t>(state.status));
  out.varint(state.attempts);
  out.varint(state.failures);
  out.time(state.not_before);
  out.time(state.ended_at);
  out.varint(state.response_status);
  out.bytes(state.reason);
  out.varint(state.log.size());
  for (const Attempt& attempt : state.log) {
    out.varint(attempt.number);
    out.id(attempt.instance.bytes());
    out.time(attempt.started_at);
    out.time(attempt.ended_at);
    out.u8(static_cast<uint8_t>(attempt.outcome));
    out.bytes(attempt.detail);
  }
}

RequestState get_state(Decoder& in) {
  RequestState state;
  state.status = static_cast<Status>(in.u8());
  state.attempts = static_cast<uint32_t>(in.varint());
  state.failures = static_cast<uint32_t>(in.varint());
  state.not_before = in.time();
  state.ended_at = in.time();
  state.response_status = static_cast<uint16_t>(in.varint());
  state.reason = in.bytes();
  uint64_t attempts = in.varint();
  for (uint64_t i = 0; i < attempts && in.ok(); ++i) {
    Attempt attempt;
    attempt.number = static_cast<uint32_t>(in.varint());
    attempt.instance = InstanceId(in.id());
    attempt.started_at = in.time();
    attempt.ended_at = in.time();
    attempt.outcome = in.outcome();
    attempt.detail = in.bytes();
    state.log.push_back(std::move(attempt));
  }
  return state;
}

}  // namespace

std::string LiveTable::checkpoint() {
  std::lock_guard lock(mutex_);
  std::string bytes;
  Encoder out(bytes);
  out.u8(checkpoint_format);
  out.varint(by_seq_.size());
  for (const auto& [seq, entry] : by_seq_) {
    out.varint(seq);
    out.varint(entry->final_seq);
    out.id(entry->id.bytes());
    out.id(entry->agent_id.bytes());
    out.bytes(entry->scope->path());
    out.bytes(*entry->agent);
    out.bytes(entry->method);
    out.bytes(entry->target);
    out.u8(entry->replay_of ? 1 : 0);
    if (entry->replay_of) out.id(entry->replay_of->bytes());
    out.time(entry->created_at);
    put_location(out, entry->accepted_at);
    put_location(out, entry->final_at);
    put_blob(out, entry->request_blob);
    put_blob(out, entry->answer_blob);
    put_state(out, entry->state);
    out.bytes(entry->key);
    if (!entry->key.empty()) out.digest(entry->fingerprint);
    out.bytes(*entry->caller);
    out.bytes(entry->order_key);
    out.u8(entry->priority);
    out.time(entry->deadline);
    out.varint(entry->blob_bytes);
  }
  put_tail(out);
  return bytes;
}

Result<void> LiveTable::restore(std::string_view bytes) {
  reset();
  std::lock_guard lock(mutex_);
  Decoder in(bytes);
  const uint8_t format = in.u8();
  if (format < format_without_keys || format > checkpoint_format)
    return fail(Code::data_loss, "the checkpoint of requests has another format");
  uint64_t count = in.varint();
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    auto entry = std::make_unique<Entry>();
    entry->accept_seq = in.varint();
    entry->final_seq = in.varint();
    entry->id = RequestId(in.id());
    entry->agent_id = AgentId(in.id());
    auto scope = Scope::parse(in.bytes());
    if (!scope) break;
    entry->scope = intern(*scope);
    entry->agent = intern(in.bytes());
    entry->method = in.bytes();
    entry->target = in.bytes();
    if (in.u8() != 0) entry->replay_of = RequestId(in.id());
    entry->created_at = in.time();
    entry->accepted_at = get_location(in);
    entry->final_at = get_location(in);
    entry->request_blob = get_blob(in);
    entry->answer_blob = get_blob(in);
    entry->state = get_state(in);
    if (format >= format_without_requeues) entry->key = in.bytes();
    if (!entry->key.empty()) entry->fingerprint = in.digest();
    entry->caller = intern(format == checkpoint_format ? in.bytes() : std::string_view());
    if (format == checkpoint_format) {
      entry->order_key = in.bytes();
      entry->priority = in.u8();
      entry->deadline = in.time();
      entry->blob_bytes = in.varint();
    }
    if (!in.ok()) break;
    if (entry->state.status == Status::processing) {
      ++queue_of(*entry).processing;
      queue_of(*entry).begin(*entry);
    }
    if (entry->final_seq != 0) ended_.emplace_back(entry->final_seq, entry->accept_seq);
    index(*entry);
    by_seq_.emplace_hint(by_seq_.end(), entry->accept_seq, std::move(entry));
  }
  const bool has_tail = format != checkpoint_format || get_tail(in);
  if (!in.ok() || by_seq_.size() != count || !has_tail || !in.at_end())
    return fail(Code::data_loss, "the checkpoint of requests is damaged");
  // Whoever is under way has the turn of its order key: the others come behind it.
  for (const auto& [seq, entry] : by_seq_)
    if (entry->state.status == Status::pending) queue_of(*entry).put(*entry);
  std::sort(ended_.begin(), ended_.end());
  return {};
}

}  // namespace gantry::requests
