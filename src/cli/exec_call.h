// One `gantry exec` as the client sees it: this process's streams, terminal and signals to and from the frames of
// an HTTP exchange (core/exec_frames.h).
#pragma once

#include <string>

#include "base/base.h"
#include "json/json.h"
#include "net/net.h"

namespace gantry::cli {

/// What is different between calls.
struct ExecCall {
  json::Object start;         ///< the JSON of the first frame, but `terminal`
  bool has_terminal = false;  ///< stdin is a terminal that is put into raw mode, and its size is told
  bool sends_input = true;    ///< else stdin is closed at once
  bool keeps_output = false;  ///< what the program says goes into ExecEnd instead of stdout and stderr
};

/// How the program ended.
struct ExecEnd {
  int code = 0;
  std::string reason;  ///< in words
  bool is_lost = false;
  std::string output, errors;  ///< with `keeps_output`
};

/// Sends `request` and relays until the program ends. Blocks, with an io_context of its own; SIGINT, SIGTERM, SIGHUP
/// and SIGQUIT go to the program meanwhile. A problem that the server answers is that Error; `unavailable` if the
/// connection breaks, which ends the program too; `exhausted` if it says more than is kept.
Result<ExecEnd> call_exec(net::HttpClient& http, net::OutgoingRequest request, ExecCall call);

}  // namespace gantry::cli
