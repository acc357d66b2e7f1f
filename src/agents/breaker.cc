#include "agents/breaker.h"

#include <algorithm>

namespace gantry::agents {

std::string_view to_string(Breaker::State state) {
  switch (state) {
    case Breaker::State::closed:
      return "closed";
    case Breaker::State::open:
      return "open";
    case Breaker::State::half_open:
      return "half_open";
  }
  return "closed";
}

Breaker::State Breaker::state(SteadyTime now) const {
  if (!opens_until_) return State::closed;
  return probing_ || *opens_until_ <= now ? State::half_open : State::open;
}

bool Breaker::began(SteadyTime now) {
  if (!opens_until_ || *opens_until_ > now || probing_) return false;
  probing_ = true;
  return true;
}

void Breaker::half_open(SteadyTime now) {
  if (opens_until_ && !probing_) opens_until_ = std::min(*opens_until_, now);
}

void Breaker::succeeded() { *this = Breaker(); }

void Breaker::failed(SteadyTime now, const core::Breaker& policy) {
  ++failures_;
  if (policy.failures == 0) return;
  if (probing_) {
    open_for_ = std::min(open_for_ * 2, std::max(longest_open, policy.open));
  } else if (opens_until_ || failures_ < policy.failures) {
    // Those that were under way when it opened change nothing.
    return;
  } else {
    open_for_ = policy.open;
  }
  probing_ = false;
  opens_until_ = now + open_for_;
}

}  // namespace gantry::agents
