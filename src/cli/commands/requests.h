// What other commands do with requests: wait for one, and show it.
#pragma once

#include <string>

#include "cli/session.h"

namespace gantry::cli {

/// Polls until a request is completed or a dead letter, with progress on stderr. GR0804 after `timeout`.
Result<json::Value> wait_until_finished(Session& session, const std::string& id, Duration timeout);

/// `/v1/requests/ID` and `/v1/requests/ID/REST`.
std::string request_path(std::string_view id, std::string_view rest = {});
/// The error of a call about a request, with a hint.
Error about_request(Error error);

/// The conditions that were given (`with_request_filters`), as a query with its `?`; empty for none.
std::string filter_query(const Invocation& given);
/// The same as members of a JSON object.
json::Object filter_object(const Invocation& given);
/// Rows of `requests list`.
Listing request_listing(Time now);

/// Prints one request in the wanted format.
void print_request(Session& session, const json::Value& request);

}  // namespace gantry::cli
