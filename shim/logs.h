// stdout and stderr of the program into bounded, rotated files. See src/sandbox/logs.h for the format.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shim/protocol.h"

namespace gantry::shim {

/// Opens `current.log` in the log directory; output is dropped if that is impossible.
void open_logs(const LogLimits& limits);

enum class Stream { out, err };
enum class Piped { data, nothing, end };
/// Reads what is in the pipe now (at most one buffer) and logs it. At the end of the pipe the last,
/// unfinished line is logged as well.
Piped log_from(int pipe, Stream stream);

/// Milliseconds since 1970.
int64_t unix_ms();

}  // namespace gantry::shim
