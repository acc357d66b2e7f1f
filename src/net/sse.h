// Server-sent events (WHATWG HTML 9.2): writing them on an exchange, reading them from pieces of a body.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/server.h"

namespace gantry::net {

/// One event. On writing, empty fields are left out.
struct SseEvent {
  std::string id = {};
  std::string event = {};
  std::string data = {};
  friend bool operator==(const SseEvent&, const SseEvent&) = default;
};

/// The bytes of an event; line breaks in `data` become several data lines; those in id and event are dropped.
std::string format_sse(const SseEvent& event);

/// Writes a stream on an exchange; every call flushes.
class SseWriter {
 public:
  explicit SseWriter(Exchange& exchange) : exchange_(exchange) {}
  /// Sends the head: 200, text/event-stream, no-store, chunked.
  Task<Result<void>> start(Headers extra = {});
  Task<Result<void>> send(SseEvent event);
  /// A comment line: keeps the connection alive through proxies.
  Task<Result<void>> heartbeat();
  Task<Result<void>> finish();

 private:
  Exchange& exchange_;
};

/// Reads events from pieces that may be cut anywhere.
class SseReader {
 public:
  /// `max_event_bytes` bounds one event; `exhausted` above.
  explicit SseReader(size_t max_event_bytes = size_t{1} << 20) : limit_(max_event_bytes) {}
  /// The events that this piece completes. An event without data is not one (but its id counts).
  Result<std::vector<SseEvent>> feed(std::string_view piece);
  /// What a reconnect must send as Last-Event-ID; empty if none came.
  const std::string& last_event_id() const { return last_id_; }

 private:
  void take_line(std::string_view line, std::vector<SseEvent>& out);
  size_t limit_;
  std::string line_;
  SseEvent event_;
  std::string last_id_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool first_line_ = true;
};

}  // namespace gantry::net
