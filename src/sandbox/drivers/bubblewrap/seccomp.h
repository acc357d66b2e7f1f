// The two system call filters of every program in a sandbox.
#pragma once

#include <string>

#include "base/base.h"

namespace gantry::sandbox::bubblewrap {

/// Programs for the kernel, each an array of sock_filter as bytes. The shim loads them in this order right
/// before `execve`; the kernel asks all of them and the strictest answer counts.
struct Filters {
  /// The allow-list. ENOSYS for what libseccomp does not know (so that programs fall back) and for
  /// clone3, whose flags no filter can see; EPERM for what is known and refused; ENOSYS for calls of
  /// another architecture (i386, x32).
  std::string calls;
  /// Arguments: ioctls that inject input into a terminal, socket families and protocols that are not
  /// confined to a network namespace or that load kernel modules.
  std::string arguments;
};

/// Builds both for this machine's architecture.
Result<Filters> build_filters();

}  // namespace gantry::sandbox::bubblewrap
