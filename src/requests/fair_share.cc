#include "requests/fair_share.h"

#include <algorithm>

namespace gantry::requests {

bool FairShare::admit(const std::string* caller, size_t most, size_t waiting, Time now) {
  std::erase_if(claims_, [&](const auto& claim) { return claim.second + patience < now; });
  if (waiting >= most) {
    if (claims_.size() < most_claims || claims_.contains(caller)) claims_[caller] = now;
    return false;
  }
  if (claims_.empty()) return true;
  size_t callers = places_.size() + (places_.contains(caller) ? 0 : 1);
  for (const auto& [one, at] : claims_)
    if (one != caller && !places_.contains(one)) ++callers;
  const size_t share = std::max<size_t>(1, most / callers);
  const bool others_have_less = std::ranges::any_of(
      claims_, [&](const auto& claim) { return claim.first != caller && places_of(claim.first) < share; });
  if (others_have_less && places_of(caller) >= share) {
    claims_[caller] = now;
    return false;
  }
  claims_.erase(caller);
  return true;
}

void FairShare::left(const std::string* caller) {
  auto found = places_.find(caller);
  if (found != places_.end() && --found->second == 0) places_.erase(found);
}

size_t FairShare::places_of(const std::string* caller) const {
  auto found = places_.find(caller);
  return found == places_.end() ? 0 : found->second;
}

}  // namespace gantry::requests
