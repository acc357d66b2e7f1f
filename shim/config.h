// What the daemon wants to be run, read out of the memfd that comes with `configure`.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shim/protocol.h"

namespace gantry::shim {

inline constexpr size_t max_strings = 8192;  ///< arguments and variables, each
inline constexpr size_t max_limits = 16;
inline constexpr size_t max_filters = 4;

/// Points into the mapped configuration, which stays mapped until it is released.
struct Config {
  uint8_t instance[16];
  char* arguments[max_strings + 1];  ///< ends with nullptr, as execve wants it
  char* environment[max_strings + 1];
  size_t argument_count;
  size_t environment_count;
  const char* directory;
  ResourceLimit limits[max_limits];
  size_t limit_count;
  struct Filter {
    const void* instructions;
    uint16_t count;
  } filters[max_filters];
  size_t filter_count;
  uint16_t listeners[max_listeners];
  size_t listener_count;
  LogLimits logs;
  uint64_t reattach_ms;
  void* mapping;
  size_t mapped_bytes;
};

/// Fills `config` (which starts as zeroes) from a memfd; takes the descriptor. 0, or an errno.
int read_config(int fd, uint64_t bytes, Config& config);
/// Gives the memory back and makes it all zeroes.
void release_config(Config& config);
/// Gives a run what it has in common with the main program: limits, filters, and each variable that it does not
/// set itself. 0, or an errno.
int inherit_config(Config& run, const Config& main);

}  // namespace gantry::shim
