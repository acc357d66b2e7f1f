#include "base/error.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace gantry {
namespace {

struct CodeRow {
  std::string_view name;
  int http;
  int exit;
  bool retryable;
};

// In the order of enum Code.
constexpr std::array<CodeRow, 12> code_rows{{
    {"invalid", 400, 7, false},
    {"not_found", 404, 3, false},
    {"conflict", 409, 5, false},
    {"denied", 403, 4, false},
    {"unauthenticated", 401, 4, false},
    {"exhausted", 429, 12, true},
    {"unavailable", 503, 11, true},
    {"timeout", 504, 6, true},
    {"cancelled", 499, 130, false},
    {"data_loss", 500, 1, false},
    {"unsupported", 501, 1, false},
    {"internal", 500, 1, false},
}};

struct IdRow {
  std::string_view name;
  Code code;
  std::string_view title;
};

// In the order of enum ErrorId.
constexpr IdRow id_rows[] = {
    {"", Code::internal, ""},
#define GANTRY_ERROR(id, code, title) {#id, Code::code, title},
#include "base/error_table.inc"
#undef GANTRY_ERROR
};

const CodeRow& row(Code code) { return code_rows[static_cast<size_t>(code)]; }
const IdRow& row(ErrorId id) { return id_rows[static_cast<size_t>(id)]; }

Code code_of_errno(int number) {
  switch (number) {
    case ENOENT:
    case ESRCH:
    case ENODEV:
    case ENOTDIR:
      return Code::not_found;
    case EACCES:
    case EPERM:
    case EROFS:
      return Code::denied;
    case EEXIST:
    case EADDRINUSE:
    case ENOTEMPTY:
    case EBUSY:
      return Code::conflict;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return Code::exhausted;
    case EAGAIN:
    case EPIPE:
    case EIO:
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return Code::unavailable;
    case ETIMEDOUT:
      return Code::timeout;
    case ECANCELED:
      return Code::cancelled;
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
      return Code::invalid;
    case ENOSYS:
    case EOPNOTSUPP:
      return Code::unsupported;
    default:
      return Code::internal;
  }
}

}  // namespace

std::string_view to_string(Code code) { return row(code).name; }
int http_status(Code code) { return row(code).http; }
int exit_code(Code code) { return row(code).exit; }
bool is_retryable(Code code) { return row(code).retryable; }

Code code_from_string(std::string_view text) {
  for (size_t i = 0; i < code_rows.size(); ++i)
    if (code_rows[i].name == text) return static_cast<Code>(i);
  return Code::internal;
}

std::string_view to_string(ErrorId id) { return row(id).name; }
std::string_view title(ErrorId id) { return row(id).title; }
Code code_of(ErrorId id) { return row(id).code; }

ErrorId error_id_from_string(std::string_view text) {
  for (size_t i = 1; i < std::size(id_rows); ++i)
    if (id_rows[i].name == text) return static_cast<ErrorId>(i);
  return ErrorId::none;
}

Error errno_error(int number, std::string_view what) {
  char buffer[128];
  // The GNU strerror_r returns the text and is thread-safe.
  const char* text = ::strerror_r(number, buffer, sizeof buffer);
  return Error(code_of_errno(number), fmt::format("{}: {}", what, text));
}

std::unexpected<Error> fail_errno(std::string_view what) { return std::unexpected(errno_error(errno, what)); }

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "gantry: internal defect: check failed: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace gantry
