// The OpenAPI document api/openapi.yaml, built into the program. Private to this folder.
#pragma once

#include "json/json.h"

namespace gantry::server {

/// The document as JSON. Takes milliseconds: not on an I/O thread.
Result<json::Value> openapi_document();

}  // namespace gantry::server
