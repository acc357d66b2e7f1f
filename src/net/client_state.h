// The inside of a ClientConnection. Private to net/.
#pragma once

#include <string>

#include "net/client.h"
#include "net/reader.h"
#include "net/wire.h"

namespace gantry::net {

class ClientState;

/// Who keeps idle connections: told when one is of no use any more, and drops it.
class IdleKeeper {
 public:
  virtual void drop(ClientState& state) = 0;

 protected:
  ~IdleKeeper() = default;
};

class ClientState final : private StreamListener {
 public:
  ClientState(StreamRef stream, ClientLimits limits);
  ~ClientState();
  ClientState(const ClientState&) = delete;

  Result<void> start(std::string_view method, std::string_view target, const OutgoingFields& fields, Framing framing);
  Task<Result<void>> send(std::string_view piece);
  Task<Result<void>> finish(std::string_view last, Headers trailers);
  Task<Result<ResponseHead>> read_head();
  Task<Result<std::string_view>> read_some();
  Result<std::string_view> read_ready();
  bool complete() const { return final_head_ && reader_.complete(); }
  bool reusable();
  bool stale() const { return reused_ && peer_broke_ && !response_began(); }
  bool response_began() const { return !reader_.idle(); }

  Stream& stream() { return *stream_; }
  const StreamRef& stream_ref() const { return stream_; }
  ResponseReader& reader() { return reader_; }

  /// Hands the connection to a keeper until `wake`: it is dropped when its peer closes or `idle` has passed.
  void rest(IdleKeeper& keeper, Duration idle);
  void wake();

  // The keeper's links.
  std::string pool_key;
  ClientState* older = nullptr;
  ClientState* newer = nullptr;

 private:
  enum class Ends { no, yes };

  Task<Result<void>> write(Gather gather, Ends ends);
  Task<Result<void>> write_slowly(Gather gather, Ends ends);
  Task<Result<std::string_view>> read_slowly();
  Result<void> prepare_end(std::string_view last, Headers trailers);
  Result<void> count(size_t bytes);
  bool begin_wait();
  Result<void> end_wait();
  std::unexpected<Error> note(const Error& error);
  void on_stream_event() override;

  StreamRef stream_;
  ClientLimits limits_;
  ResponseReader reader_;
  std::string out_;
  std::string tail_;
  Framing framing_;
  uint64_t sent_bytes_ = 0;
  bool started_ = false;
  bool request_finished_ = false;
  bool final_head_ = false;
  bool reused_ = false;
  bool peer_broke_ = false;
  IdleKeeper* keeper_ = nullptr;
};

}  // namespace gantry::net
