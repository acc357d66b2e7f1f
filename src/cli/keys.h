// Single keys of a person at a terminal, for commands that stay on the screen.
#pragma once

#include <memory>

#include "base/base.h"

namespace gantry::cli {

/// What came while waiting for a key.
struct KeyPress {
  enum class Kind { none, key, interrupted };
  Kind kind = Kind::none;
  char key = 0;  ///< a letter in lower case; 27 for Escape
};

/// The keyboard without echo and without waiting for the end of a line, as long as it lives. Ctrl-C is reported and
/// does not end the process, so that the terminal is given back as it was.
class Keys {
 public:
  virtual ~Keys() = default;
  /// The next key, or nothing after `patience`.
  virtual KeyPress wait(Duration patience) = 0;
  /// Columns and lines of the terminal now; zeros if nobody knows.
  struct Size {
    uint32_t width = 0, height = 0;
  };
  virtual Size size() const = 0;
};

/// Those of the terminal on stdin. `unsupported` if it is none.
Result<std::unique_ptr<Keys>> open_terminal_keys();

}  // namespace gantry::cli
