// The payloads of the request records in the journal: formats 1 to 3, little-endian, lengths as varints
// (LEB128). docs/internals/request-records.md has the layout; a decoder never trusts its input.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/base.h"
#include "crypto/crypto.h"
#include "journal/journal.h"
#include "net/net.h"
#include "requests/conditions.h"

namespace gantry::requests {

// Records are views: one to be encoded points to its makers' buffers, a decoded one into the payload that was
// decoded, and is valid as long as that.

/// A field list in its order, repeats kept, names in the spelling of the sender.
using FieldList = std::vector<net::Header>;

/// Where a body is: inside the record, or in a content-addressed blob.
struct Body {
  std::string_view inline_bytes;
  std::optional<journal::BlobId> blob;  ///< set when the body is not inline
  uint64_t size = 0;                    ///< bytes of the whole body, wherever it is
  /// False if the sender's body was longer than what was kept (recorded answers only).
  bool complete = true;
};

/// Why an attempt ended. Only one that reached the program and failed uses up an attempt: `died`, `timeout`,
/// `answered`.
enum class Outcome : uint8_t {
  running = 0,
  completed = 1,
  died = 2,
  refused = 3,
  timeout = 4,
  interrupted = 5,
  cancelled = 6,  ///< somebody took the request back
  answered = 7,   ///< with a status that the policy counts as a failure
};
inline constexpr Outcome last_outcome = Outcome::answered;
std::string_view to_string(Outcome outcome);

/// A request was taken over: after this record is durable it can no longer be lost.
struct AcceptedRecord {
  AgentId agent_id;
  std::string_view agent;
  std::string_view principal;
  std::string_view method;
  std::string_view target;  ///< path and query as the agent sees them
  FieldList headers;
  FieldList trailers;
  /// How the caller told the end of the body: the agent is told in the same way.
  net::Framing::Kind framing = net::Framing::Kind::none;
  Body body;
  std::optional<RequestId> replay_of;
  /// Set when the first attempt starts with this very record: one flush instead of two.
  std::optional<InstanceId> first_instance;
  Conditions conditions = {};
};

/// An attempt begins; `number` counts deliveries from 1.
struct AttemptRecord {
  uint32_t number = 0;
  InstanceId instance;
};

/// An attempt ended without an answer; the request is pending again.
struct AttemptEndedRecord {
  uint32_t number = 0;
  Outcome outcome = Outcome::interrupted;
  std::string_view detail;
  Time next_attempt_at;
};

/// The answer. `number` is the attempt that gave it.
struct CompletedRecord {
  uint32_t number = 0;
  uint16_t status = 0;
  std::string_view reason;
  FieldList headers;
  FieldList trailers;
  Body body;
};

/// The attempts are used up, or the agent is gone: a dead letter. Also the payload of a cancellation.
struct FailedRecord {
  uint32_t number = 0;
  Outcome outcome = Outcome::died;
  std::string_view reason;
  std::string_view detail = {};  ///< of the attempt that was its last; empty if the reason says it
};

/// Appends the encoded record to `out`. An inline body goes last, so that a caller can hand it to
/// the journal as a part of its own: `encode` writes everything before it, including its length.
void encode(const AcceptedRecord& record, std::string& out);
void encode(const AttemptRecord& record, std::string& out);
void encode(const AttemptEndedRecord& record, std::string& out);
void encode(const CompletedRecord& record, std::string& out);
void encode(const FailedRecord& record, std::string& out);

/// The inverse, with the inline body appended. `data_loss` if the bytes are not such a record.
Result<AcceptedRecord> decode_accepted(std::string_view payload);
Result<AttemptRecord> decode_attempt(std::string_view payload);
Result<AttemptEndedRecord> decode_attempt_ended(std::string_view payload);
Result<CompletedRecord> decode_completed(std::string_view payload);
Result<FailedRecord> decode_failed(std::string_view payload);

/// The first fields only, without headers and body: what the fold needs, about 100 ns.
struct AcceptedSummary {
  AgentId agent_id;
  std::string_view agent;
  std::string_view principal;
  std::string_view method;
  std::string_view target;
  std::optional<RequestId> replay_of;
  std::optional<InstanceId> first_instance;
  std::optional<journal::BlobId> blob;
  uint64_t body_size = 0;
  Conditions conditions = {};
};
Result<AcceptedSummary> decode_accepted_summary(std::string_view payload);
struct CompletedSummary {
  uint32_t number = 0;
  uint16_t status = 0;
  std::optional<journal::BlobId> blob;
  uint64_t body_size = 0;
};
Result<CompletedSummary> decode_completed_summary(std::string_view payload);

/// Reads and writes the primitives; also used by the checkpoint of the live table.
class Encoder {
 public:
  explicit Encoder(std::string& out) : out_(out) {}
  void u8(uint8_t value) { out_.push_back(static_cast<char>(value)); }
  void varint(uint64_t value);
  void fixed64(uint64_t value);
  void bytes(std::string_view value);
  // SAFETY: bytes of a std::array seen as char.
  void id(const IdBytes& value) { out_.append(reinterpret_cast<const char*>(value.data()), value.size()); }
  // SAFETY: bytes of a std::array seen as char.
  void digest(const journal::BlobId& value) { out_.append(reinterpret_cast<const char*>(value.data()), value.size()); }
  void fields(const FieldList& list);
  /// Nanoseconds of Unix time.
  void time(Time value) { fixed64(static_cast<uint64_t>(value.time_since_epoch().count())); }

 private:
  std::string& out_;
};

/// Every call returns a zero value once the input is used up or wrong; `ok()` tells at the end.
class Decoder {
 public:
  explicit Decoder(std::string_view in) : in_(in) {}
  uint8_t u8();
  uint64_t varint();
  uint64_t fixed64();
  std::string_view bytes();
  IdBytes id();
  journal::BlobId digest();
  FieldList fields();
  Outcome outcome();
  Time time() { return Time(Duration(static_cast<int64_t>(fixed64()))); }
  std::string_view rest() { return std::exchange(in_, {}); }
  /// The input is not what it should be.
  void refuse() { ok_ = false; }
  bool ok() const { return ok_; }
  bool at_end() const { return in_.empty(); }

 private:
  std::string_view take(size_t count);
  std::string_view in_;
  bool ok_ = true;
};

/// Conditions stand behind the body's place of an AcceptedRecord of format 2 or 3, which has more of them.
enum class ConditionsFormat { two, three };
void encode(const Conditions& conditions, Encoder& out);
/// The texts point into the input.
Conditions decode_conditions(Decoder& in, ConditionsFormat format);

}  // namespace gantry::requests
