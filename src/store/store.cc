#include "store/store.h"

#include "store/driver.h"

namespace gantry::store {

bool Row::is_null(int column) const { return statement_->is_null(column); }
int64_t Row::integer(int column) const { return statement_->integer(column); }
double Row::real(int column) const { return statement_->real(column); }
std::string_view Row::text(int column) const { return statement_->text(column); }
std::span<const uint8_t> Row::blob(int column) const { return statement_->blob(column); }

std::optional<Time> Row::optional_time(int column) const {
  if (is_null(column)) return std::nullopt;
  return time(column);
}

std::optional<std::string> Row::optional_string(int column) const {
  if (is_null(column)) return std::nullopt;
  return string(column);
}

Statement::Statement(StatementDriver& driver) : driver_(&driver) {}

Statement::~Statement() {
  if (driver_ == nullptr) return;
  driver_->reset();
  driver_->release();
}

Result<> Statement::begin(Parameters parameters) {
  driver_->reset();
  return driver_->bind(parameters.values());
}

Result<bool> Statement::step() { return driver_->step(); }
void Statement::reset() { driver_->reset(); }

Result<int64_t> Statement::execute(Parameters parameters) {
  GANTRY_TRY_VOID(begin(parameters));
  for (;;) {
    GANTRY_TRY(const bool has_row, step());
    if (!has_row) break;
  }
  const int64_t changed = driver_->changes();
  reset();
  return changed;
}

Result<Statement> Session::prepare(std::string_view sql) {
  GANTRY_TRY(StatementDriver * driver, driver_.prepare(sql));
  return Statement(*driver);
}

Result<int64_t> Session::execute(std::string_view sql, Parameters parameters) {
  GANTRY_TRY(Statement statement, prepare(sql));
  return statement.execute(parameters);
}

const Scope& Session::scope() const { return driver_.scope(); }
Result<> Session::enter(const Scope& scope) { return driver_.enter(scope); }

Database::Access Database::access_of(Durability durability) {
  return durability == Durability::flushed ? Access::write_flushed : Access::write_deferred;
}

}  // namespace gantry::store
