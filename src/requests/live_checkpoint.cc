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

// The state of one moment, taken while the table goes on: entries in the order of their acceptance, those behind
// `next_` as they are, those that a record changes before it comes to them as they were. A backoff that a queue
// forgets is in no record: it is in here or not.
class LiveTable::Pieces final : public journal::Fold::Snapshot {
 public:
  Pieces(LiveTable& table, size_t entries) : table_(table), entries_(entries) {
    std::lock_guard lock(table_.mutex_);
    GANTRY_CHECK(table_.snapshot_ == nullptr);
    table_.snapshot_ = this;
    last_ = table_.by_seq_.empty() ? 0 : table_.by_seq_.rbegin()->first;
    Encoder head(head_), purged(purged_);
    head.u8(checkpoint_format);
    head.varint(table_.by_seq_.size());
    table_.put_purged(purged);
  }
  ~Pieces() override {
    std::lock_guard lock(table_.mutex_);
    table_.snapshot_ = nullptr;
  }

  bool append_to(std::string& out) override {
    std::lock_guard lock(table_.mutex_);
    out += std::exchange(head_, {});
    auto entry = table_.by_seq_.lower_bound(next_);
    for (size_t taken = 0;; ++taken) {
      const bool has_entry = entry != table_.by_seq_.end() && entry->first <= last_;
      auto kept = kept_.begin();
      if (!has_entry && kept == kept_.end()) break;
      if (taken == entries_) return true;
      if (kept != kept_.end() && (!has_entry || kept->first <= entry->first)) {
        out += kept->second.bytes;
        note_requeued(kept->first, kept->second.requeued);
        next_ = kept->first + 1;
        if (has_entry && kept->first == entry->first) ++entry;
        kept_.erase(kept);
      } else {
        Encoder encoder(out);
        put(*entry->second, encoder);
        note_requeued(entry->first, requeued_of(*entry->second));
        next_ = entry->first + 1;
        ++entry;
      }
    }
    Encoder tail(out);
    tail.varint(requeued_count_);
    out += requeued_;
    out += purged_;
    return false;
  }

  // Before it changes or goes.
  void keep(const Entry& entry) {
    if (entry.accept_seq < next_ || entry.accept_seq > last_) return;
    auto [at, is_first] = kept_.try_emplace(entry.accept_seq);
    if (!is_first) return;
    Encoder encoder(at->second.bytes);
    put(entry, encoder);
    at->second.requeued = requeued_of(entry);
  }

 private:
  struct Kept {
    std::string bytes;
    std::string requeued;  ///< empty if it was not
  };

  static std::string requeued_of(const Entry& entry) {
    std::string bytes;
    Encoder encoder(bytes);
    if (entry.requeued) put_requeued(encoder, *entry.requeued);
    return bytes;
  }
  void note_requeued(uint64_t seq, std::string_view bytes) {
    if (bytes.empty()) return;
    ++requeued_count_;
    Encoder encoder(requeued_);
    encoder.varint(seq);
    requeued_ += bytes;
  }
  void put(const Entry& entry, Encoder& out);

  LiveTable& table_;
  const size_t entries_;
  uint64_t next_ = 0;  ///< those before it are taken
  uint64_t last_ = 0;  ///< those behind it came later
  std::string head_, requeued_, purged_;
  uint64_t requeued_count_ = 0;
  std::map<uint64_t, Kept> kept_;
  const Scope* scope_ = nullptr;  ///< of the entry before, and its text
  std::string scope_path_;
};

void LiveTable::Pieces::put(const Entry& entry, Encoder& out) {
  if (entry.scope != scope_) scope_path_ = (scope_ = entry.scope)->path();
  out.varint(entry.accept_seq);
  out.varint(entry.final_seq);
  out.id(entry.id.bytes());
  out.id(entry.agent_id.bytes());
  out.bytes(scope_path_);
  out.bytes(*entry.agent);
  out.bytes(entry.method);
  out.bytes(entry.target);
  out.u8(entry.replay_of ? 1 : 0);
  if (entry.replay_of) out.id(entry.replay_of->bytes());
  out.time(entry.created_at);
  put_location(out, entry.accepted_at);
  put_location(out, entry.final_at);
  put_blob(out, entry.request_blob);
  put_blob(out, entry.answer_blob);
  put_state(out, entry.state);
  out.bytes(entry.key);
  if (!entry.key.empty()) out.digest(entry.fingerprint);
  out.bytes(*entry.caller);
  out.bytes(entry.order_key);
  out.u8(entry.priority);
  out.time(entry.deadline);
  out.varint(entry.blob_bytes);
}

void LiveTable::keep_for_snapshot(const Entry& entry) {
  if (snapshot_ != nullptr) snapshot_->keep(entry);
}

std::unique_ptr<journal::Fold::Snapshot> LiveTable::snapshot_in(size_t entries) {
  return std::make_unique<Pieces>(*this, entries);
}

std::string LiveTable::checkpoint() {
  std::string bytes;
  auto whole = snapshot_in(SIZE_MAX);
  while (whole->append_to(bytes)) {
  }
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
