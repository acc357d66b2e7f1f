// Signals as values and as descriptors: no handler of ours ever runs in signal context.
#pragma once

#include <initializer_list>
#include <string_view>

#include "base/base.h"
#include "os/fd.h"

namespace gantry::os {

/// `SIGTERM`; `unknown signal` for a number that has no name. Static lifetime.
std::string_view signal_name(int number);

/// SIGPIPE would end the process when a peer hangs up; errors of write(2) say it as well.
void ignore_broken_pipes();

/// Blocks the signals in the calling thread (do it before others start) and returns a non-blocking
/// signalfd(2) that delivers them.
Result<Fd> open_signal_fd(std::initializer_list<int> numbers);
/// The next signal that was delivered, 0 if there is none now.
Result<int> read_signal(const Fd& signal_fd);

}  // namespace gantry::os
