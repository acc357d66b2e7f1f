// What the server says that a deploy would do, for people and for programs.
#pragma once

#include <string>

#include "cli/session.h"

namespace gantry::cli {

/// Which steps are shown to a person.
enum class Shown { all, changes };

/// The steps of `POST /v1/plan` in words, one line for each and one for each field that changes.
std::string render_plan(const json::Array& steps, Shown shown, const Style& style);
/// Prints the steps in the wanted format.
void print_plan(Session& session, const json::Array& steps, Shown shown);
/// True if a step changes something.
bool plans_changes(const json::Array& steps);

}  // namespace gantry::cli
