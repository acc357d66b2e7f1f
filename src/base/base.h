// The ground that every folder stands on: how a call fails, how a thing is named, how long and how
// big something is, and what time it is.
//
//   Result<T>      what can fail for a reason outside the program (error.h)
//   Id<Tag>        a strong id such as `req_01J…`: a UUIDv7 with a prefix (id.h)
//   Duration, Time, Bytes, MilliCpu and their spellings in YAML and flags (units.h)
//   Clock, Random  injected sources, so that logic is testable with no sleep (clock.h)
//   Scope          tenant/domain/environment: who owns a thing (scope.h)
//   Snapshot<T>    an immutable value that many threads read and few replace (snapshot.h)
//   edit_distance  "did you mean" (text.h)
//
// Nothing here does I/O, starts a thread or keeps a global. All types are values; the two
// interfaces, Clock and Random, are owned by the composition root and outlive everything.
//
// Example:
//
//   Result<int> port_of(std::string_view text) {
//     GANTRY_TRY(int port, parse_int(text));
//     if (port > 65535) return fail(Code::invalid, "port {} is above 65535", port);
//     return port;
//   }
#pragma once

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/scope.h"
#include "base/snapshot.h"
#include "base/text.h"
#include "base/units.h"
