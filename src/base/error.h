// Result, Error and the closed set of codes. See docs/adr/0001-result.md.
#pragma once

#include <fmt/format.h>

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace gantry {

/// What kind of failure it is. Callers branch on this, never on text. Each code maps once to an
/// HTTP status (`http_status`) and a process exit code (`exit_code`).
enum class Code {
  invalid,          ///< the input is wrong: 400, exit 7
  not_found,        ///< 404, exit 3
  conflict,         ///< the state does not allow it: 409, exit 5
  denied,           ///< known caller, not allowed: 403, exit 4
  unauthenticated,  ///< unknown caller: 401, exit 4
  exhausted,        ///< a bound is reached: 429, exit 12
  unavailable,      ///< not now, perhaps later: 503, exit 11
  timeout,          ///< a deadline passed: 504, exit 6
  cancelled,        ///< the caller gave up: 499, exit 130
  data_loss,        ///< stored data is damaged: 500, exit 1
  unsupported,      ///< this build or machine cannot: 501, exit 1
  internal,         ///< a defect of ours: 500, exit 1
};

/// The spelling of a code in JSON and logs, such as `not_found`. Static lifetime.
std::string_view to_string(Code code);
/// The code with that spelling, or `Code::internal` if there is none.
Code code_from_string(std::string_view text);
/// The HTTP status of a code (RFC 9110).
int http_status(Code code);
/// The exit code of a code (SPEC section 10).
int exit_code(Code code);
/// True if the same call may succeed later with no change by the caller.
bool is_retryable(Code code);

/// Stable ids of errors a user can meet; each has a page docs/errors/<ID>.md. `none` means that the
/// error has no page of its own.
enum class ErrorId {
  none,
#define GANTRY_ERROR(id, code, title) id,
#include "base/error_table.inc"
#undef GANTRY_ERROR
};

/// The spelling of an id, such as `GR0101`; empty for `ErrorId::none`. Static lifetime.
std::string_view to_string(ErrorId id);
/// The one-line title of an id from the table; empty for `none`. Static lifetime.
std::string_view title(ErrorId id);
/// What to do about an error of this id when who reports it knows nothing better: never empty, but for `none`. Static
/// lifetime.
std::string_view hint_of(ErrorId id);
/// The code that the table gives to an id; `Code::internal` for `none`.
Code code_of(ErrorId id);
/// The id with that spelling, `none` if there is none.
ErrorId error_id_from_string(std::string_view text);

/// Why something failed. The origin states only the reason (lower case, no full stop); each caller
/// that owns a noun adds it with `wrap`: `start instance 'bot-1': create user namespace: …`.
class [[nodiscard]] Error {
 public:
  Error(Code code, std::string reason) : code_(code), reason_(std::move(reason)) {}
  Error(ErrorId id, std::string reason) : code_(code_of(id)), id_(id), reason_(std::move(reason)) {}

  Code code() const { return code_; }
  ErrorId id() const { return id_; }
  /// The reason with every noun that callers added, outermost first.
  const std::string& reason() const { return reason_; }
  /// What the user can do next, as who failed knows it; may be empty.
  const std::string& hint() const { return hint_; }
  /// What to tell the user to do next: the hint, else that of the id, else of the code. Never empty.
  std::string_view advice() const;

  /// The same error with `noun: ` in front of the reason.
  Error wrap(std::string_view noun) && {
    reason_.insert(0, std::string(noun) + ": ");
    return std::move(*this);
  }
  Error wrap(std::string_view noun) const& { return Error(*this).wrap(noun); }
  /// The same error with this hint, unless it has one already: the innermost knows best.
  Error with_hint(std::string_view hint) && {
    if (hint_.empty()) hint_ = hint;
    return std::move(*this);
  }
  Error with_hint(std::string_view hint) const& { return Error(*this).with_hint(hint); }

 private:
  Code code_;
  ErrorId id_ = ErrorId::none;
  std::string reason_;
  std::string hint_;
};

template <class T = void>
using Result = std::expected<T, Error>;

/// `return fail(Code::invalid, "port {} is above 65535", port);`
template <class... Args>
[[nodiscard]] std::unexpected<Error> fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error(code, fmt::format(format, std::forward<Args>(args)...)));
}
template <class... Args>
[[nodiscard]] std::unexpected<Error> fail(ErrorId id, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error(id, fmt::format(format, std::forward<Args>(args)...)));
}

/// The error of a failed system call: `<what>: <strerror>`, with the code that errno means
/// (ENOENT not_found, EACCES and EPERM denied, ENOSPC and EMFILE exhausted, EEXIST conflict, …).
Error errno_error(int number, std::string_view what);
/// `return fail_errno("open journal");` reads the current errno.
[[nodiscard]] std::unexpected<Error> fail_errno(std::string_view what);

/// Prints the failed condition and aborts: for programmer errors only, never for outside input.
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace gantry

#define GANTRY_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::gantry::check_failed(#condition, __FILE__, __LINE__))

#define GANTRY_CAT_(a, b) a##b
#define GANTRY_CAT(a, b) GANTRY_CAT_(a, b)
#define GANTRY_TRY_(result, declaration, expression, return_)                  \
  auto result = (expression);                                                  \
  if (!result.has_value()) return_ std::unexpected(std::move(result).error()); \
  declaration = *std::move(result)

/// `GANTRY_TRY(auto file, open(path));` returns the error to the caller if there is one.
#define GANTRY_TRY(declaration, expression) GANTRY_TRY_(GANTRY_CAT(try_, __LINE__), declaration, expression, return)
/// The same inside a coroutine: `GANTRY_CO_TRY(auto head, co_await read_head());`
#define GANTRY_CO_TRY(declaration, expression) \
  GANTRY_TRY_(GANTRY_CAT(try_, __LINE__), declaration, expression, co_return)
/// `GANTRY_TRY_VOID(sync(fd));` returns the error of a Result<void>.
#define GANTRY_TRY_VOID(expression)                                                            \
  if (auto GANTRY_CAT(try_, __LINE__) = (expression); !GANTRY_CAT(try_, __LINE__).has_value()) \
  return std::unexpected(std::move(GANTRY_CAT(try_, __LINE__)).error())
#define GANTRY_CO_TRY_VOID(expression)                                                         \
  if (auto GANTRY_CAT(try_, __LINE__) = (expression); !GANTRY_CAT(try_, __LINE__).has_value()) \
  co_return std::unexpected(std::move(GANTRY_CAT(try_, __LINE__)).error())
