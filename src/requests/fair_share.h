// Who may join a queue that was full: nobody takes more than a fair share of the places that become free while
// others, who have less, are refused. Pure: no lock, no clock.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "base/base.h"

namespace gantry::requests {

class FairShare {
 public:
  /// A caller that was refused has a claim for this long.
  static constexpr Duration patience = std::chrono::seconds(10);
  /// Callers with a claim; further ones have none.
  static constexpr size_t most_claims = 1024;

  /// Whether a request of `caller` may join the `waiting` ones. Callers are told apart by address.
  bool admit(const std::string* caller, size_t most, size_t waiting, Time now);
  void joined(const std::string* caller) { ++places_[caller]; }
  void left(const std::string* caller);

 private:
  size_t places_of(const std::string* caller) const;

  std::map<const std::string*, size_t> places_;  ///< of callers that have some
  std::map<const std::string*, Time> claims_;    ///< when they were last refused
};

}  // namespace gantry::requests
