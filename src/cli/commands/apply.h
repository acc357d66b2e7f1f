// Brings the agents of files to the server, or says what that would do: deploy, import, diff.
#pragma once

#include <vector>

#include "cli/session.h"
#include "cli/sources.h"

namespace gantry::cli {

/// Whether the command has the flag `--prune`.
enum class Prune { as_given, never };

/// Tells mistakes, and otherwise makes the agents what the inputs say, each behind those it depends on; waits until
/// they are ready, and with `--prune` removes then what their stacks have no more. With `--dry-run` it only prints the
/// plan. The exit code.
Result<int> apply(Session& session, std::vector<Checked> inputs, Prune prune);

/// Prints what `apply` would change. The exit code: 1 if there is something.
Result<int> print_differences(Session& session, std::vector<Checked> inputs);

}  // namespace gantry::cli
