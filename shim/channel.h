// The control socket as the shim sees it.
#pragma once

#include <stddef.h>

#include "shim/protocol.h"

namespace gantry::shim {

/// Sends a message with descriptors; waits a moment if the daemon is slow. False if it cannot be sent.
bool send_message(int socket, MessageType type, Message& message, const int* fds, size_t count);

enum class Received { message, nothing, end };
/// Receives a message and at most one descriptor (-1 if there is none).
Received receive_message(int socket, Message& message, int& fd);

/// An unconnected, non-blocking TCP socket of the sandbox's network; -1 on failure.
int make_tcp_socket();
/// A socket that listens on 127.0.0.1:`port`; -1 with errno on failure.
int make_listener(uint16_t port);
/// A connection to the daemon's socket in the run directory; -1 if nobody listens there now.
int connect_control();

}  // namespace gantry::shim
