// The control socket as the shim sees it.
#pragma once

#include <stddef.h>

#include "shim/protocol.h"

namespace gantry::shim {

/// Sends a message with descriptors; waits a moment if the daemon is slow. False if it cannot be sent.
bool send_message(int socket, MessageType type, Message& message, const int* fds, size_t count);

enum class Received { message, nothing, end };
/// What came with a message: `count` descriptors, the receiver's to close.
struct Descriptors {
  int fds[max_received_fds];
  uint32_t count;
};
void close_all(Descriptors& descriptors);
Received receive_message(int socket, Message& message, Descriptors& descriptors);

/// An unconnected, non-blocking TCP socket of the sandbox's network; -1 on failure.
int make_tcp_socket();
/// A socket that listens on 127.0.0.1:`port`; -1 with errno on failure.
int make_listener(uint16_t port);
/// A connection to the daemon's socket in the run directory; -1 if nobody listens there now.
int connect_control();

}  // namespace gantry::shim
