// Connecting a socket of a sandbox's network to a port on its loopback.
#pragma once

#include "async/async.h"
#include "os/os.h"

namespace gantry::sandbox::bubblewrap {

/// Connects to 127.0.0.1:`port`. Over loopback this is done when connect(2) returns, so the usual case
/// neither suspends nor registers the descriptor. GR0306 if nothing listens or nobody answers in time.
Task<Result<os::Fd>> connect_inside(os::Fd socket, uint16_t port, Duration patience);

}  // namespace gantry::sandbox::bubblewrap
