#include "agents/route.h"

#include <algorithm>
#include <utility>

#include "net/net.h"

namespace gantry::agents {
namespace {

/// Takes the target of an instance out of a list; null if it is not there.
std::shared_ptr<Target> extract(std::vector<std::shared_ptr<Target>>& list, InstanceId instance) {
  auto found = std::ranges::find(list, instance, [](const auto& target) { return target->instance(); });
  if (found == list.end()) return nullptr;
  std::shared_ptr<Target> target = std::move(*found);
  list.erase(found);
  return target;
}

}  // namespace

Target::Target(Names names, uint16_t port, std::shared_ptr<Dialer> dialer)
    : names_(names), port_(port), dialer_(std::move(dialer)), traffic_(std::make_shared<net::Traffic>()) {}

std::string_view to_string(Availability availability) {
  switch (availability) {
    case Availability::ready:
      return "ready";
    case Availability::starting:
      return "starting";
    case Availability::paused:
      return "paused";
    case Availability::stopped:
      return "stopped";
    case Availability::removed:
      return "removed";
  }
  return "removed";
}

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  release();
  route_ = std::move(other.route_);
  target_ = std::move(other.target_);
  end_ = other.end_;
  return *this;
}

void Lease::release() {
  if (route_ == nullptr) return;
  const std::shared_ptr<Route> route = std::move(route_);
  route_ = nullptr;
  route->release(*target_, end_);
}

Route::Route(AgentId agent, std::string name, Scope scope, std::vector<Listener*> listeners, Clock& clock)
    : agent_(agent),
      name_(std::move(name)),
      scope_(std::move(scope)),
      listeners_(std::move(listeners)),
      clock_(clock),
      spec_(std::make_shared<const core::AgentSpec>()) {}

std::shared_ptr<const core::AgentSpec> Route::spec() const {
  std::lock_guard lock(mutex_);
  return spec_;
}

Availability Route::availability() const {
  std::lock_guard lock(mutex_);
  if (intent_ != Availability::starting) return intent_;
  const bool is_ready = std::ranges::any_of(open_, [](const auto& target) { return !target->is_shut_; });
  return is_ready ? Availability::ready : Availability::starting;
}

Target* Route::least_loaded() const {
  if (intent_ != Availability::starting || is_open(breaker_)) return nullptr;
  Target* best = nullptr;
  for (size_t i = 0; i < open_.size(); ++i) {
    Target* target = open_[(turn_ + i) % open_.size()].get();
    if (target->is_shut_ || target->in_flight_ >= spec_->concurrency || is_open(target->breaker_)) continue;
    if (best == nullptr || target->in_flight_ < best->in_flight_) best = target;
  }
  return best;
}

std::optional<Lease> Route::try_acquire(OnNone on_none) {
  std::lock_guard lock(mutex_);
  Target* best = least_loaded();
  if (best == nullptr) {
    if (on_none == OnNone::notify) somebody_waits_ = true;
    return std::nullopt;
  }
  ++turn_;
  ++best->in_flight_;
  ++best->requests_total_;
  LeaseEnd end{.began = clock_.steady()};
  if (!breaker_.is_closed() || !best->breaker_.is_closed()) {
    end.probe = breaker_.began(end.began);
    end.probe = best->breaker_.began(end.began) || end.probe;
  }
  return Lease(shared_from_this(), best->shared_from_this(), end);
}

std::optional<SteadyTime> Route::reopens_at() const {
  std::lock_guard lock(mutex_);
  if (intent_ != Availability::starting || open_.empty()) return std::nullopt;
  if (is_open(breaker_)) return breaker_.reopens_at();
  std::optional<SteadyTime> first;
  for (const auto& target : open_) {
    if (target->is_shut_ || !is_open(target->breaker_)) continue;
    const auto at = target->breaker_.reopens_at();
    if (at && (!first || *at < *first)) first = at;
  }
  return first;
}

Breaker::State Route::breaker_state() const {
  std::lock_guard lock(mutex_);
  return breaker_.state(clock_.steady());
}

// One death is one failure, however many requests it took with it. Under the lock.
void Route::judge(Target& target, LeaseEnd end) {
  if (end.went == Went::well) {
    breaker_.succeeded();
    target.breaker_.succeeded();
    return;
  }
  const bool known = end.went == Went::died && std::exchange(target.told_of_death_, true);
  if (end.went != Went::unseen && !known) {
    const SteadyTime now = clock_.steady();
    breaker_.failed(now, spec_->breaker);
    target.breaker_.failed(now, spec_->breaker);
  }
  if (!end.probe) return;
  breaker_.probe_abandoned();
  target.breaker_.probe_abandoned();
}

void Route::release(Target& target, LeaseEnd end) {
  bool drained = false;
  bool tell = false;
  {
    std::lock_guard lock(mutex_);
    GANTRY_CHECK(target.in_flight_ > 0);
    --target.in_flight_;
    judge(target, end);
    if (end.went != Went::unseen) {
      const SteadyTime now = clock_.steady();
      window_.add(now, now - end.began);
      target.window_.add(now, now - end.began);
    }
    const bool is_draining = std::ranges::any_of(draining_, [&](const auto& one) { return one.get() == &target; });
    drained = is_draining && target.in_flight_ == 0;
    tell = take_waiting_if(!is_draining);
  }
  if (drained && on_drained_) on_drained_(target.instance());
  if (tell) wake();
}

bool Route::take_waiting_if(bool changed) {
  if (!changed || !somebody_waits_) return false;
  somebody_waits_ = false;
  return true;
}

void Route::wake() {
  const std::shared_ptr<Route> self = shared_from_this();
  for (Listener* listener : listeners_) listener->available(self);
}

Route::Load Route::load(InstanceId instance) const {
  std::lock_guard lock(mutex_);
  for (const auto* list : {&open_, &draining_})
    for (const auto& target : *list)
      if (target->instance() == instance)
        return {target->in_flight_, target->requests_total_, target->breaker_.state(clock_.steady())};
  return {};
}

Route::Use Route::use(InstanceId instance) const {
  std::lock_guard lock(mutex_);
  for (const auto* list : {&open_, &draining_})
    for (const auto& target : *list)
      if (target->instance() == instance)
        return {target->window_.read(clock_.steady()), target->traffic_->sent.load(std::memory_order_relaxed),
                target->traffic_->received.load(std::memory_order_relaxed)};
  return {};
}

RequestWindow::Reading Route::requests() const {
  std::lock_guard lock(mutex_);
  return window_.read(clock_.steady());
}

void Route::set_spec(std::shared_ptr<const core::AgentSpec> spec) {
  GANTRY_CHECK(spec != nullptr);
  bool tell = false;
  {
    std::lock_guard lock(mutex_);
    spec_ = std::move(spec);
    breaker_ = Breaker();  // what failed may be mended
    // A higher concurrency makes slots.
    tell = take_waiting_if(least_loaded() != nullptr);
  }
  if (tell) wake();
}

void Route::set_intent(Availability intent) {
  bool tell = false;
  bool is_gone = false;
  {
    std::lock_guard lock(mutex_);
    is_gone = intent == Availability::removed && intent_ != intent;
    tell = take_waiting_if(intent_ != intent);
    intent_ = intent;
  }
  if (tell) wake();
  if (!is_gone) return;
  const std::shared_ptr<Route> self = shared_from_this();
  for (Listener* listener : listeners_) listener->removed(self);
}

void Route::add(std::shared_ptr<Target> target) {
  bool tell = false;
  {
    std::lock_guard lock(mutex_);
    open_.push_back(std::move(target));
    breaker_.half_open(clock_.steady());
    tell = take_waiting_if(least_loaded() != nullptr);
  }
  const std::shared_ptr<Route> self = shared_from_this();
  for (Listener* listener : listeners_) listener->ready(self);
  if (tell) wake();
}

void Route::shut(InstanceId instance) {
  std::lock_guard lock(mutex_);
  for (const auto& target : open_)
    if (target->instance() == instance) target->is_shut_ = true;
}

bool Route::reopen(InstanceId instance) {
  bool tell = false;
  {
    std::lock_guard lock(mutex_);
    auto found = std::ranges::find(open_, instance, [](const auto& target) { return target->instance(); });
    if (found == open_.end()) return false;
    (*found)->is_shut_ = false;
    tell = take_waiting_if(true);
  }
  const std::shared_ptr<Route> self = shared_from_this();
  for (Listener* listener : listeners_) listener->ready(self);
  if (tell) wake();
  return true;
}

uint32_t Route::drain(InstanceId instance) {
  std::lock_guard lock(mutex_);
  if (std::shared_ptr<Target> target = extract(open_, instance)) draining_.push_back(std::move(target));
  for (const auto& target : draining_)
    if (target->instance() == instance) return target->in_flight_;
  return 0;
}

void Route::kill(InstanceId instance) {
  std::shared_ptr<Target> target;
  {
    std::lock_guard lock(mutex_);
    target = extract(open_, instance);
    if (target == nullptr) target = extract(draining_, instance);
    if (target == nullptr) return;
    target->alive_.store(false, std::memory_order_release);
  }
  const std::shared_ptr<Route> self = shared_from_this();
  for (Listener* listener : listeners_) listener->died(self, instance);
}

}  // namespace gantry::agents
