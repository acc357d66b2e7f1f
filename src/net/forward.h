// What a proxy may pass on (RFC 9110 7.6). Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "net/message.h"

namespace gantry::net {

/// Connection, Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Transfer-Encoding, Upgrade:
/// about this connection only.
bool is_hop_by_hop(std::string_view name);
/// `Gantry-…`: clients cannot set those (SPEC section 4).
bool is_gantry_header(std::string_view name);

/// Which way a message is passed on.
enum class Direction { request, response };

/// The fields to pass on, in order: without hop-by-hop ones, those that Connection names, Content-Length (framing is
/// ours to write), and for requests Expect and `Gantry-*`. For storing a request; the fast path does the same in place.
HeaderList forwardable(Headers headers, Direction direction);

}  // namespace gantry::net
