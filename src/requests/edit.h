// Applies an edit to a recorded request. Pure. Private to requests/.
#pragma once

#include "json/json.h"
#include "requests/change.h"

namespace gantry::requests {

/// The record with the edit in it, but for its body, whose framing alone is adapted. Its views point into `edit`, too.
/// GR0416 if the fields are too many then.
Result<AcceptedRecord> edited(AcceptedRecord record, const Edit& edit);
/// What the audit trail says of it: which parts and which fields, and digests of the bodies; no contents.
json::Object describe(const Edit& edit, const AcceptedRecord& before);

}  // namespace gantry::requests
