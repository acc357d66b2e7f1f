// What a program in the sandbox sees of its isolation: the daemon starts the shim as that program to know.
#pragma once

namespace gantry::shim {

/// Prints `name value` lines: the namespaces, and `Seccomp` of /proc/self/status. An exit code.
int print_probe();

}  // namespace gantry::shim
