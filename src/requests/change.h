// What is done to requests that have ended: edit, requeue, purge. Part of the door (requests.h).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "requests/views.h"

namespace gantry::requests {

/// What is changed about a request before it goes out again.
struct Edit {
  using Fields = std::vector<std::pair<std::string, std::string>>;

  std::optional<std::string> method;
  std::optional<std::string> target;  ///< path and query
  std::optional<Fields> headers;      ///< all of them anew
  Fields set;                         ///< each in the place of all of its name
  std::vector<std::string> remove;
  std::optional<std::string> body;

  bool empty() const { return !method && !target && !headers && set.empty() && remove.empty() && !body; }
};

/// The longest body that an edit can bring.
inline constexpr Bytes longest_edited_body = mebibytes(8);
/// GR0416 with what is wrong. Fields of Gantry and of the connection are not the caller's to set.
Result<void> check_edit(const Edit& edit);

/// Attempts that a request had begun before; of the payload of a `request_requeued`.
Result<uint32_t> attempts_before(std::string_view payload);

/// How requests are requeued.
struct Requeue {
  std::string principal;
  Edit edit = {};
  Time not_before;  ///< the epoch for at once
  /// The agent of that name as it is now; nullopt if there is none any more.
  std::function<std::optional<AgentId>(const Scope&, const std::string&)> agent_of;
};

/// What came of a change of many.
struct Batch {
  size_t done = 0;
  size_t skipped = 0;           ///< were changed by others meanwhile, or cannot go out (`first_error`)
  std::string first_error;      ///< why the first one was skipped
  uint64_t next = 0;            ///< the cursor (`Filter::after_seq`) behind which more may fit; 0 at the end
  std::optional<Time> last_at;  ///< when the last one goes out, if they were requeued with pauses
  std::optional<Time> next_at;  ///< when the next one would
};

/// At most so many are changed by one call.
inline constexpr size_t most_changed_at_once = 10'000;

}  // namespace gantry::requests
