// Messages out of a stream: heads, body pieces, trailers; with read-ahead. Private to net/.
//
// Memory: the head stays where it was read (views point there), body bytes follow it, or go to a large buffer when the
// rest is long. Once a message is complete the next read goes to a buffer of its own, so the message's views stay valid
// while its handler runs, and a peer that goes away is noticed at once.
#pragma once

#include <optional>

#include "net/chunk_decoder.h"
#include "net/head_parser.h"
#include "net/message.h"
#include "net/stream.h"

namespace gantry::net {

struct ReaderLimits {
  size_t max_header_bytes = size_t{64} << 10;
  size_t max_header_count = 200;
};

enum class Step {
  need_bytes,  ///< ask() and wait
  head,        ///< the head is complete
  piece,       ///< piece() has body bytes, valid until the next next()
  end,         ///< the message is complete
};

/// Reads one message after the other: requests of a client or responses of a server. Does no waiting itself.
template <bool is_request>
class MessageReader {
 public:
  using Head = std::conditional_t<is_request, RequestHead, ResponseHead>;

  MessageReader(StreamRef stream, ReaderLimits limits);
  ~MessageReader();
  MessageReader(const MessageReader&) = delete;
  MessageReader& operator=(const MessageReader&) = delete;

  /// Goes on to the next message; the views of the last one end here.
  void begin();
  /// The next thing in what has arrived. An error is final.
  Result<Step> next();
  /// Makes sure that a read is in flight, unless the peer has ended or there is no room.
  void ask();
  /// Takes what a read brought. Call when the stream has an outcome.
  void accept();
  /// accept() if there is something to accept.
  void accept_ready() {
    if (stream_->has_outcome()) accept();
  }

  const Head& head() const { return head_; }
  std::string_view piece() const { return piece_; }
  Headers trailers() const { return chunks_.trailers(); }
  /// The answer that comes belongs to HEAD: its framing fields speak of no bytes.
  void expect_no_body() { no_body_ = true; }
  void set_body_limit(uint64_t bytes) { body_limit_ = bytes; }
  uint64_t body_limit() const { return body_limit_; }
  /// Bytes of body that are still to come; nullopt if nobody knows.
  std::optional<uint64_t> body_remaining() const;

  bool has_head() const { return phase_ > Phase::head; }
  bool complete() const { return phase_ == Phase::complete; }
  /// No byte of the current message has arrived.
  bool idle() const { return phase_ == Phase::head && small_.size == start_; }
  /// Bytes of a further message are here already.
  bool has_surplus() const {
    return phase_ == Phase::complete && (ahead_.size > 0 || (!ahead_ && active_->size > position_));
  }
  /// The peer ended its side, cleanly or not.
  bool ended() const { return ended_; }
  const error_code& ended_by() const { return ended_by_; }
  /// After a complete head of an upgrade: all further bytes are pieces, until the peer ends.
  void become_raw();
  /// Forgets what is here; all further bytes are pieces. For reading what a peer still sends before a close.
  void discard();

 private:
  enum class Phase { head, length, chunked, until_close, complete };

  Result<Step> next_head();
  Result<Step> next_length();
  Result<Step> next_chunk();
  Result<Step> next_until_close();
  Result<Step> final(Error error);
  Error early_end() const;
  void fill_head();
  void settle_phase();
  void finish_message();
  bool exceeds_limit() const;
  Error too_large() const;
  void make_room();
  void make_room_ahead();
  void make_room_for_head();
  void make_room_for_body();

  StreamRef stream_;
  IoLocal& local_;
  ReaderLimits limits_;
  Phase phase_ = Phase::head;
  bool no_body_ = false;
  bool ended_ = false;
  error_code ended_by_;

  Buffer small_;              // the head, and body bytes behind it
  Buffer large_;              // body bytes, once many are expected
  Buffer ahead_;              // bytes of the next message
  Buffer* active_ = &small_;  // where the bytes to parse are
  Buffer* target_ = nullptr;  // where the read in flight goes
  size_t start_ = 0;          // where the head starts in small_ (behind empty lines)
  size_t position_ = 0;       // the first unparsed byte of active_
  size_t head_end_ = 0;

  HeadScan scan_;
  ParsedHead parsed_;
  ChunkDecoder chunks_;
  Head head_;
  std::string_view piece_;
  bool filled_ = false;  // the last read took all the room it had: more is waiting
  uint64_t remaining_ = 0;
  uint64_t body_bytes_ = 0;
  uint64_t body_limit_ = UINT64_MAX;
  std::optional<Error> failed_;
};

using RequestReader = MessageReader<true>;
using ResponseReader = MessageReader<false>;

}  // namespace gantry::net
