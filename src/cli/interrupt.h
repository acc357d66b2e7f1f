// Ctrl-C and SIGTERM: most commands just end with 130; a command that has something to clean up asks
// for a flag instead.
#pragma once

namespace gantry::cli {

/// From now on SIGINT and SIGTERM end the process at once with exit code 130 (143 for SIGTERM) and show
/// the cursor line clean again. Once, early.
void exit_on_interrupt();

/// While one lives, the signals only set a flag. One at a time.
class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  /// True once a signal came.
  bool raised() const;
};

}  // namespace gantry::cli
