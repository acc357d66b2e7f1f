// fuzz: requests
//
// The payloads of request records and the checkpoint of the live table, as a damaged journal would hand them out. The
// first byte chooses a decoder. What is accepted comes out the same when it is encoded and decoded again; a table that
// took a record or a checkpoint answers every question, and its own checkpoint restores to the same bytes.
#include <cstdint>
#include <string>
#include <string_view>

#include "requests/live_table.h"

namespace {

using namespace gantry;
using namespace gantry::requests;

constexpr Time now = time_from_unix_ms(1'800'000'000'000);

template <auto decode>
void fuzz_record(std::string_view input) {
  auto record = decode(input);
  if (!record) return GANTRY_CHECK(record.error().code() == Code::data_loss);
  std::string once;
  encode(*record, once);
  if constexpr (requires { record->body.inline_bytes; }) once += record->body.inline_bytes;
  auto again = decode(once);
  GANTRY_CHECK(again.has_value());
  std::string twice;
  encode(*again, twice);
  if constexpr (requires { again->body.inline_bytes; }) twice += again->body.inline_bytes;
  GANTRY_CHECK(once == twice);
}

// A summary is what the record says, without the rest of it.
void fuzz_summaries(std::string_view input) {
  auto accepted = decode_accepted(input);
  auto summary = decode_accepted_summary(input);
  if (accepted) GANTRY_CHECK(summary && summary->target == accepted->target && summary->agent_id == accepted->agent_id);
  auto completed = decode_completed(input);
  auto short_one = decode_completed_summary(input);
  if (completed)
    GANTRY_CHECK(short_one && short_one->number == completed->number && short_one->status == completed->status);
}

void ask(LiveTable& table) {
  for (const AgentKey& agent : table.waiting_agents()) {
    std::ignore = table.next_due(agent.id, now, Order::strict);
    GANTRY_CHECK(table.waiting(agent.id) > 0);
    while (auto due = table.claim_due(agent.id, now, Order::relaxed)) GANTRY_CHECK(table.find(due->id).has_value());
  }
  std::ignore = table.take_overdue(now, 10);
  for (const RequestView& view : table.list(Scope::standard(), {}).views) std::ignore = table.finished(view.id);
  table.forget_projected(UINT64_MAX);
}

void fuzz_checkpoint(std::string_view input) {
  LiveTable table;
  if (!table.restore(input)) return;
  const std::string once = table.checkpoint();
  LiveTable again;
  GANTRY_CHECK(again.restore(once).has_value());
  GANTRY_CHECK(again.checkpoint() == once);
  ask(table);
}

// Records one behind the other, each with its length in one byte, its kind and which request it is about.
void fuzz_table(std::string_view input) {
  LiveTable table;
  uint64_t seq = 0;
  while (input.size() >= 3 && seq < 200) {
    const auto length = static_cast<uint8_t>(input[0]);
    const journal::Kind kind{static_cast<uint16_t>(0x0100 + static_cast<uint8_t>(input[1]) % 8)};
    const IdBytes id{static_cast<uint8_t>(input[2] % 8)};
    input.remove_prefix(3);
    const std::string_view payload = input.substr(0, length);
    input.remove_prefix(payload.size());
    table.apply({.seq = ++seq,
                 .time = now,
                 .kind = kind,
                 .scope = Scope::standard(),
                 .entity = id,
                 .payload = payload,
                 .location = {}});
  }
  const std::string bytes = table.checkpoint();
  LiveTable again;
  GANTRY_CHECK(again.restore(bytes).has_value());
  ask(table);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // SAFETY: every object may be read through char.
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr void (*parsers[])(std::string_view) = {fuzz_record<decode_accepted>,
                                                   fuzz_record<decode_attempt>,
                                                   fuzz_record<decode_attempt_ended>,
                                                   fuzz_record<decode_completed>,
                                                   fuzz_record<decode_failed>,
                                                   fuzz_summaries,
                                                   fuzz_checkpoint,
                                                   fuzz_table};
  parsers[data[0] % std::size(parsers)](input);
  return 0;
}
