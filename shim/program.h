// Starts a program of the sandbox: the main one and those beside it.
#pragma once

#include <sys/types.h>

#include "shim/config.h"

namespace gantry::shim {

/// What a program gets as its stdin, stdout and stderr; stays the caller's.
struct Stdio {
  int input;  ///< -1 is /dev/null
  int output;
  int errors;
  bool is_terminal;  ///< all three are one terminal, which becomes the program's controlling one
};

/// What `start_program` did.
struct StartedProgram {
  pid_t pid;
  Stage stage;  ///< `none`, or what failed
  int error;    ///< the errno
};

/// Forks and executes; returns when execve has succeeded or something before it failed. The program leads a
/// session and a process group of its own.
StartedProgram start_program(Config& config, const Stdio& stdio);

/// The read ends of a program's stdout and stderr, non-blocking; -1 if there is none.
struct Outputs {
  int output;
  int errors;
};
/// The same with two new pipes as stdout and stderr and nothing as stdin.
StartedProgram start_with_pipes(Config& config, Outputs& outputs);

}  // namespace gantry::shim
