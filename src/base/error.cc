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
  std::string_view hint;  ///< for errors of which nothing better is known
};

// In the order of enum Code.
constexpr std::array<CodeRow, 12> code_rows{{
    {"invalid", 400, 7, false,
     "correct what the message names; `gantry help COMMAND` and GET /v1/openapi.json say what is taken"},
    {"not_found", 404, 3, false, "look at the spelling; the listings, such as `gantry list`, show what there is"},
    {"conflict", 409, 5, false, "look at the state first, with `gantry status` or `gantry inspect NAME`"},
    {"denied", 403, 4, false, "look at owner and mode of what the message names, or use a key that may do it"},
    {"unauthenticated", 401, 4, false, "give the key with GANTRY_KEY or as Authorization: Bearer KEY"},
    {"exhausted", 429, 12, true, "try again later; `gantry doctor --storage` and `gantry stats` show what is used up"},
    {"unavailable", 503, 11, true,
     "try again in a moment; `gantry status` and `gantry doctor` show what is wrong if it lasts"},
    {"timeout", 504, 6, true, "try again, or with a longer --timeout"},
    {"cancelled", 499, 130, false, "run it again when it is wanted after all"},
    {"data_loss", 500, 1, false, "keep a copy of the data directory, then restore the last backup"},
    {"unsupported", 501, 1, false, "`gantry doctor` and `gantry version` show what this machine and this build can do"},
    {"internal", 500, 1, false, "this is a defect: report it with the message and with the output of `gantry doctor`"},
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

struct HintRow {
  ErrorId id;
  std::string_view hint;
};

constexpr HintRow hint_rows[] = {
#define GANTRY_HINT(id, hint) {ErrorId::id, hint},
#include "base/hint_table.inc"
#undef GANTRY_HINT
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

std::string_view hint_of(ErrorId id) {
  for (const HintRow& row : hint_rows)
    if (row.id == id) return row.hint;
  return "";
}

std::string_view Error::advice() const {
  if (!hint_.empty()) return hint_;
  const std::string_view of_id = hint_of(id_);
  return of_id.empty() ? row(code_).hint : of_id;
}

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
