// Errors as application/problem+json (RFC 9457): the one spelling of a failure on the wire.
#pragma once

#include <string>
#include <string_view>

#include "base/base.h"
#include "net/server.h"

namespace gantry::net {

/// The HTTP status of an error: that of its id where this folder's ids say more (413, 414, 431, 408), else of its code.
int status_of(const Error& error);

/// `{"type":"urn:gantry:error:GR0101","title":…,"status":…,"code":…,"message":…,"hint":…,"request_id":…,
/// "retryable":…,"id":…}`; request_id and id are left out when empty. `members` is further JSON without
/// braces, such as `"diagnostics":[…]`.
std::string problem_json(const Error& error, std::string_view request_id = {}, std::string_view members = {});

/// Answers with `problem_json` if nothing was started yet, else aborts. Retry-After: 1 with 503 and 429.
Task<Result<void>> respond_error(Exchange& exchange, Error error, std::string request_id = {},
                                 std::string members = {});

}  // namespace gantry::net
