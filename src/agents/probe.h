// Asks one program whether it is well. Private to agents/.
#pragma once

#include "agents/supervisor.h"
#include "sandbox/sandbox.h"

namespace gantry::agents {

/// One probe: a TCP connection, or `GET endpoint` with an answer from 200 to 399 within
/// `health.timeout`. Dials through the sandbox, so it is no request and nobody counts it.
Task<ProbeResult> probe(std::shared_ptr<sandbox::Sandbox> sandbox, core::Health health, uint16_t port);

/// The status of the first line of an HTTP/1 answer; nullopt if it is none (RFC 9112 section 4).
std::optional<int> parse_status_line(std::string_view line);

}  // namespace gantry::agents
