// Starts the program that the sandbox is for.
#pragma once

#include <sys/types.h>

#include "shim/config.h"

namespace gantry::shim {

/// What `start_program` did.
struct StartedProgram {
  pid_t pid;
  int output;   ///< read end of its stdout, non-blocking
  int errors;   ///< read end of its stderr, non-blocking
  Stage stage;  ///< `none`, or what failed
  int error;    ///< the errno
};

/// Forks and executes; returns when execve has succeeded or something before it failed.
StartedProgram start_program(Config& config);

}  // namespace gantry::shim
