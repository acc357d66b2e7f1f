// The two programs that the demo runs: the same bytes as in examples/, put here by CMakeLists.txt.
#pragma once

#include <string_view>

namespace gantry::cli {

/// examples/python-counter/app.py
extern const std::string_view python_counter;
/// examples/node-notes/app.js
extern const std::string_view node_notes;

}  // namespace gantry::cli
