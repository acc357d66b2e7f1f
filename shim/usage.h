// What the sandbox uses, counted in its own /proc: for machines without control groups.
#pragma once

#include "shim/protocol.h"

namespace gantry::shim {

/// Memory, CPU time and number of all processes but this one.
Usage measure_usage();

}  // namespace gantry::shim
