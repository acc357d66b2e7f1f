// Template bodies of store.h.
#pragma once

#include "store/store.h"

namespace gantry::store {
namespace store_detail {

/// Puts the result of `work` into `slot` and tells the driver whether to keep the transaction.
template <class Work, class Slot>
Result<> fill(Work& work, Session& session, Slot& slot) {
  slot.emplace(work(session));
  if (!slot->has_value()) return std::unexpected(slot->error());
  return {};
}

}  // namespace store_detail

template <class Take>
Result<> Statement::each(Parameters parameters, Take take) {
  GANTRY_TRY_VOID(begin(parameters));
  for (;;) {
    GANTRY_TRY(const bool has_row, step());
    if (!has_row) break;
    if constexpr (std::is_same_v<std::invoke_result_t<Take&, const Row&>, bool>) {
      if (!take(Row(*driver_))) break;
    } else {
      take(Row(*driver_));
    }
  }
  reset();
  return {};
}

template <class Take>
Result<> Session::each(std::string_view sql, Parameters parameters, Take take) {
  GANTRY_TRY(Statement statement, prepare(sql));
  return statement.each(parameters, std::move(take));
}

template <class T, class Make>
Result<std::vector<T>> Session::list(std::string_view sql, Parameters parameters, Make make) {
  std::vector<T> all;
  GANTRY_TRY_VOID(each(sql, parameters, [&](const Row& row) { all.push_back(make(row)); }));
  return all;
}

template <class T, class Make>
Result<std::optional<T>> Session::find(std::string_view sql, Parameters parameters, Make make) {
  std::optional<T> first;
  GANTRY_TRY_VOID(each(sql, parameters, [&](const Row& row) {
    if (!first.has_value()) first.emplace(make(row));
  }));
  return first;
}

template <class Work>
Task<std::invoke_result_t<Work, Session&>> Database::read(Scope scope, Work work) {
  std::optional<std::invoke_result_t<Work, Session&>> slot;
  // The frame of this coroutine outlives the work: it is suspended until the work has ended.
  ErasedWork erased = [&work, &slot](Session& session) { return store_detail::fill(work, session, slot); };
  Result<> done = co_await run(Access::read, std::move(scope), std::move(erased));
  if (!done.has_value()) co_return std::unexpected(std::move(done).error());
  co_return std::move(*slot);
}

template <class Work>
Task<std::invoke_result_t<Work, Session&>> Database::write(Scope scope, Work work, Durability durability) {
  std::optional<std::invoke_result_t<Work, Session&>> slot;
  ErasedWork erased = [&work, &slot](Session& session) { return store_detail::fill(work, session, slot); };
  Result<> done = co_await run(access_of(durability), std::move(scope), std::move(erased));
  if (!done.has_value()) co_return std::unexpected(std::move(done).error());
  co_return std::move(*slot);
}

template <class Work>
std::invoke_result_t<Work, Session&> Database::read_blocking(const Scope& scope, Work work) {
  std::optional<std::invoke_result_t<Work, Session&>> slot;
  GANTRY_TRY_VOID(run_blocking(Access::read, scope,
                               [&work, &slot](Session& session) { return store_detail::fill(work, session, slot); }));
  return std::move(*slot);
}

template <class Work>
std::invoke_result_t<Work, Session&> Database::write_blocking(const Scope& scope, Work work, Durability durability) {
  std::optional<std::invoke_result_t<Work, Session&>> slot;
  GANTRY_TRY_VOID(run_blocking(access_of(durability), scope,
                               [&work, &slot](Session& session) { return store_detail::fill(work, session, slot); }));
  return std::move(*slot);
}

}  // namespace gantry::store
