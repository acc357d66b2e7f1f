// A request as text for an editor: request line, headers, an empty line, body. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/base.h"
#include "json/json.h"

namespace gantry::cli {

/// The text of a request as GET /v1/requests/{id} has it. Lines with # in front of the request line are comments.
std::string edit_form(const json::Value& request);
/// What was changed, as the body of POST /v1/requests/{id}/requeue; empty if nothing was. GR0416 with the line.
Result<json::Object> read_edit_form(std::string_view text, const json::Value& request);

}  // namespace gantry::cli
