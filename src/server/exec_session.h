// One `gantry exec` under way: frames of an HTTP exchange to and from the streams of a program. Private to this
// folder.
#pragma once

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <memory>
#include <string>

#include "core/core.h"
#include "net/net.h"
#include "sandbox/sandbox.h"

namespace gantry::server {

/// What the first frame says.
struct ExecRequest {
  sandbox::ExecSpec program;
  std::optional<InstanceId> instance;
  std::optional<uint32_t> replica;
};
/// Reads the JSON of a `start` frame; `invalid` names the field.
Result<ExecRequest> parse_exec_request(std::string_view text);

/// Lives in the coroutine of the exchange's handler, on whose thread everything happens.
class ExecSession {
 public:
  /// `reader` holds what has arrived behind the first frame.
  ExecSession(net::Exchange& exchange, core::ExecFrameReader reader, std::unique_ptr<sandbox::Exec> exec, Clock& clock);
  /// Until the program has ended and the client knows, or the client is gone, which kills the program.
  Task<void> run();
  /// How the program ended; nullopt if it was killed because the client was gone.
  const std::optional<sandbox::ExitInfo>& end() const { return end_; }

 private:
  using Pipe = asio::posix::basic_stream_descriptor<Executor>;

  Result<> open();
  Task<void> take_frames();
  void obey(const core::ExecMessage& message);
  Task<void> write_input();
  Task<void> relay(Pipe& pipe, core::ExecFrame type);
  Task<void> send();
  Task<void> await_end();
  /// What a program that has ended left in a pipe. Who else has it, such as a program in the background, is not waited
  /// for.
  void read_rest(Pipe& pipe, core::ExecFrame type);
  void give_up();

  net::Exchange& exchange_;
  core::ExecFrameReader reader_;
  std::unique_ptr<sandbox::Exec> exec_;
  Clock& clock_;
  Pipe input_, output_, errors_;
  const bool has_terminal_;
  int relays_;  ///< streams of the program that are not at their end
  std::string to_program_, to_client_;
  bool input_ended_ = false;  ///< nothing will be added to `to_program_`
  bool done_ = false;         ///< nothing will be added to `to_client_`
  bool frames_ended_ = false;
  bool gone_ = false;
  std::optional<sandbox::ExitInfo> end_;
  Notifier changed_;
};

}  // namespace gantry::server
