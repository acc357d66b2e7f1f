// How an agent's instances are asked whether they are well. Part of the door (core.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/async.h"
#include "base/base.h"

namespace gantry::core {

/// From `least` to `most`, both included.
struct StatusRange {
  uint16_t least = 200;
  uint16_t most = 399;
  friend bool operator==(const StatusRange&, const StatusRange&) = default;
};
/// `200` or `200-299`, from 100 to 599; `invalid` says what may stand there.
Result<StatusRange> parse_status_range(std::string_view text);
std::string to_string(const StatusRange& range);

/// One question and what a good answer to it is.
struct Probe {
  enum class Kind {
    tcp,   ///< the port takes a connection
    http,  ///< `GET endpoint` is answered
    exec,  ///< `command`, run inside, exits with 0
  };
  Kind kind = Kind::tcp;
  /// http: path and query; empty for the others.
  std::string endpoint;
  /// http: statuses that are good; empty for 200 to 399.
  std::vector<StatusRange> status;
  /// http: what the JSON of the answer must say, by path (`db.state`): texts as they are, other scalars as written.
  std::map<std::string, std::string> json;
  /// exec: a program and its arguments.
  std::vector<std::string> command;
  /// tcp and http: 0 for the agent's.
  uint16_t port = 0;
  /// Between the end of one and the next. At the start 0: often at first, then less and less often.
  Duration interval = std::chrono::seconds(30);
  Duration timeout = std::chrono::seconds(5);
  /// In a row, until the answer is believed to be bad; at the start 0 for no bound but `Health::grace`.
  uint32_t retries = 3;
  /// In a row, until it is believed to be good.
  uint32_t successes = 1;
  friend bool operator==(const Probe&, const Probe&) = default;
};
std::string_view to_string(Probe::Kind kind);

/// What a probe decides.
enum class ProbeRole : uint8_t {
  startup,    ///< whether the program is up; the others wait for it
  readiness,  ///< whether the instance gets requests
  liveness,   ///< whether it is worth keeping
};
inline constexpr ProbeRole probe_roles[] = {ProbeRole::startup, ProbeRole::readiness, ProbeRole::liveness};
std::string_view to_string(ProbeRole role);

/// What happens to an instance whose liveness probe fails.
enum class OnUnhealthy {
  restart,  ///< drained, ended and started again, with backoff
  stop,     ///< drained and ended; it stays so until somebody starts it
  none,     ///< only shown
};
std::string_view to_string(OnUnhealthy what);

/// How readiness and health are probed.
struct Health {
  /// Asked at the start and then as the liveness probe, where those are not given.
  Probe check;
  std::optional<Probe> startup, readiness, liveness;
  /// How long a new instance may take to become ready.
  Duration grace = std::chrono::seconds(30);
  OnUnhealthy on_unhealthy = OnUnhealthy::restart;

  /// The probe of a role; nullptr if it is not asked. Lives as long as this.
  const Probe* probe(ProbeRole role) const;
  friend bool operator==(const Health&, const Health&) = default;
};

}  // namespace gantry::core
