#include "net/sse.h"

#include <algorithm>

namespace gantry::net {
namespace {

/// Id and event stand on one line each, and an id with NUL is ignored by readers.
std::string on_one_line(std::string_view text) {
  std::string kept;
  std::ranges::copy_if(text, std::back_inserter(kept), [](char c) { return c != '\r' && c != '\n' && c != '\0'; });
  return kept;
}

}  // namespace

std::string format_sse(const SseEvent& event) {
  std::string out;
  if (!event.id.empty()) out.append("id: ").append(on_one_line(event.id)).append("\n");
  if (!event.event.empty()) out.append("event: ").append(on_one_line(event.event)).append("\n");
  std::string_view rest = event.data;
  if (!rest.empty()) {
    for (;;) {
      size_t end = rest.find_first_of("\r\n");
      out.append("data: ").append(rest.substr(0, end)).append("\n");
      if (end == std::string_view::npos) break;
      bool pair = rest[end] == '\r' && end + 1 < rest.size() && rest[end + 1] == '\n';
      rest = rest.substr(end + (pair ? 2 : 1));
    }
  }
  return out.append("\n");
}

Task<Result<void>> SseWriter::start(Headers extra) {
  std::vector<Header> headers = {{"Content-Type", "text/event-stream"}, {"Cache-Control", "no-store"}};
  headers.insert(headers.end(), extra.begin(), extra.end());
  auto started = exchange_.start(200, headers, Framing::chunked());
  if (!started.has_value()) co_return started;
  co_return co_await exchange_.flush();
}

Task<Result<void>> SseWriter::send(SseEvent event) {
  std::string text = format_sse(event);
  co_return co_await exchange_.send_body(text);
}

Task<Result<void>> SseWriter::heartbeat() { return exchange_.send_body(": keep-alive\n\n"); }
Task<Result<void>> SseWriter::finish() { return exchange_.finish(); }

Result<std::vector<SseEvent>> SseReader::feed(std::string_view piece) {
  std::vector<SseEvent> events;
  while (!piece.empty()) {
    // A CR at the end of one piece and an LF at the start of the next are one line end.
    if (std::exchange(after_cr_, false) && piece.front() == '\n') {
      piece.remove_prefix(1);
      continue;
    }
    size_t end = piece.find_first_of("\r\n");
    line_.append(piece.substr(0, end));
    if (line_.size() + event_.data.size() > limit_)
      return fail(Code::exhausted, "an event is larger than {} bytes", limit_);
    if (end == std::string_view::npos) break;
    after_cr_ = piece[end] == '\r';
    piece.remove_prefix(end + 1);
    std::string line = std::exchange(line_, {});
    take_line(line, events);
  }
  return events;
}

void SseReader::take_line(std::string_view line, std::vector<SseEvent>& out) {
  if (std::exchange(first_line_, false) && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
  if (line.empty()) {
    if (has_data_) {
      event_.data.pop_back();  // the line end that every data line adds
      event_.id = last_id_;
      out.push_back(std::move(event_));
    }
    event_ = {};
    has_data_ = false;
    return;
  }
  size_t colon = line.find(':');
  if (colon == 0) return;  // a comment
  std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    event_.data.append(value).append("\n");
    has_data_ = true;
  } else if (field == "event") {
    event_.event = value;
  } else if (field == "id" && !value.contains('\0')) {
    last_id_ = value;
  }
}

}  // namespace gantry::net
