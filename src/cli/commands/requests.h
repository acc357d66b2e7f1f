// What other commands do with requests: wait for one, and show it.
#pragma once

#include <string>

#include "cli/session.h"

namespace gantry::cli {

/// Polls until a request is completed or a dead letter, with progress on stderr. GR0804 after `timeout`.
Result<json::Value> wait_until_finished(Session& session, const std::string& id, Duration timeout);

/// Prints one request in the wanted format.
void print_request(Session& session, const json::Value& request);

}  // namespace gantry::cli
