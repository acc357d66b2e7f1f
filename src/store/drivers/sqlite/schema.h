// Brings the schema of a database up to date, or says why it cannot be used.
#pragma once

#include "store/drivers/sqlite/connection.h"

namespace gantry::store::sqlite {

/// Applies every step that is missing, each in its own transaction together with its number. GR0204
/// if the database knows a component or a step that `migrations` does not. `internal` if a table
/// has no `scope` column.
Result<> migrate(Connection& writer, std::span<const Migrations> migrations);

}  // namespace gantry::store::sqlite
