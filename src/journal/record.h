// What goes into the journal and what comes out: Entry, Record, Location.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/base.h"

namespace gantry::journal {

/// What a record means. An open set: the folder that writes a kind names it, as
/// `inline constexpr Kind request_accepted{0x0101};`, the high byte being the folder's (01 requests).
enum class Kind : uint16_t {};

/// Where a record is on disk; stays valid until its segment is deleted. 16 bytes, made to be stored.
struct Location {
  uint64_t segment = 0;  ///< 0: nowhere
  uint32_t offset = 0;   ///< of the frame, in the segment as it was before it was compressed
  uint32_t size = 0;     ///< of the frame: header, scope and payload

  friend auto operator<=>(const Location&, const Location&) = default;
};

/// A durable record. `payload` is a view: valid during the call that got it, or until the next call
/// of the Reader that returned it.
struct Record {
  uint64_t seq = 0;  ///< from 1, without gaps
  Time time;         ///< of the group commit; never goes back
  Kind kind{};
  Scope scope;
  IdBytes entity{};  ///< the request, run, … that the record is about
  std::string_view payload;
  Location location;
};

/// Who may use the reserve when the disk is full: work that begins is refused first (`accept`), so
/// that work that was accepted can still be completed (`finish`).
enum class Priority : uint8_t { accept, finish };

/// A record to be. Owns its payload, in two parts so that a body need not be copied behind its head;
/// the record's payload is `head` followed by `body`.
struct Entry {
  Kind kind{};
  Scope scope;
  IdBytes entity{};
  std::string head;
  std::string body;
  Priority priority = Priority::accept;
};

/// The receipt of a durable entry.
struct Appended {
  uint64_t seq = 0;
  Location location;
};

}  // namespace gantry::journal
