// Asks one program whether it is well. Private to agents/.
#pragma once

#include "agents/supervisor.h"
#include "sandbox/sandbox.h"

namespace gantry::agents {

/// One probe: a TCP connection, `GET endpoint` with a good status and, if wanted, a good JSON body, or a program that
/// exits with 0; within `probe.timeout`. `port` is the agent's. Goes into the sandbox directly, so it is no request and
/// nobody counts it. Waits on the caller's I/O thread.
Task<ProbeResult> probe(std::shared_ptr<sandbox::Sandbox> sandbox, core::Probe probe, uint16_t port, Clock& clock);

/// What the text of an answer says against `expected` (core::Probe::json): empty if nothing, else in words
/// `db.state is "down", not "up"`.
std::string compare_json(std::string_view text, const std::map<std::string, std::string>& expected);

}  // namespace gantry::agents
