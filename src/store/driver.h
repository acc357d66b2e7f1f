// What a driver of this folder implements, below the value types of store.h. Private to store/.
#pragma once

#include "store/store.h"

namespace gantry::store {

/// A compiled statement with `:scope` bound.
class StatementDriver {
 public:
  virtual ~StatementDriver() = default;
  virtual Result<> bind(std::span<const Parameter> parameters) = 0;
  /// True if there is a row, false at the end.
  virtual Result<bool> step() = 0;
  /// Forgets the answer; the statement can be bound again.
  virtual void reset() = 0;
  /// Rows changed by the last run.
  virtual int64_t changes() = 0;
  /// The handle is gone: keep for the next `prepare`, or delete.
  virtual void release() = 0;

  virtual bool is_null(int column) = 0;
  virtual int64_t integer(int column) = 0;
  virtual double real(int column) = 0;
  virtual std::string_view text(int column) = 0;
  virtual std::span<const uint8_t> blob(int column) = 0;
};

/// A transaction in a scope.
class SessionDriver {
 public:
  virtual ~SessionDriver() = default;
  virtual Result<StatementDriver*> prepare(std::string_view sql) = 0;
  virtual const Scope& scope() const = 0;
  virtual Result<> enter(const Scope& scope) = 0;
};

}  // namespace gantry::store
